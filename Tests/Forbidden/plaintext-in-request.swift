// expect: cannot convert value of type 'Plaintext' to expected argument type 'EncodedTensor'
import SCXEncoding
import SCXLink

func leak(_ x: consuming Plaintext) -> Request {
    Request(.headTopK(count: 1), x)
}
