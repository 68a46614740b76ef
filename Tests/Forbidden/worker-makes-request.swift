// side: untrusted
// expect: 'Request' initializer is inaccessible due to 'package' protection level
import SCXLink

func leak(_ answer: EncodedTensor) -> Request {
    Request(.headTopK(count: 1), answer)
}
