// expect: no exact matches in call to initializer
import SCXEncoding
import SCXLink

func leak(_ x: consuming Plaintext) -> Request {
    Request(.headTopK(count: 1), x)
}
