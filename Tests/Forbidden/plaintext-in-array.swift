// expect: does not conform to protocol 'Copyable'
import SCXEncoding

func leak(_ x: consuming Plaintext) -> [Plaintext] {
    [x]
}
