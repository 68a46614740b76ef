// expect: noncopyable 'x' cannot be consumed when captured by an escaping closure
import SCXEncoding

func leak(_ x: consuming Plaintext) -> () -> Void {
    { _ = x.sendInClear() }
}
