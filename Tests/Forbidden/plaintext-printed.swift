// expect: argument type 'Plaintext' does not conform to expected type 'Copyable'
import SCXEncoding

func leak(_ x: consuming Plaintext) {
    print(x)
}
