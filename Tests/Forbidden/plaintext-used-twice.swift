// expect: consumed more than once
import SCXEncoding

func leak(_ x: consuming Plaintext) {
    _ = x.sendInClear()
    _ = x.sendInClear()
}
