// side: untrusted
// expect: type 'Message' has no member 'headTopK'
import SCXLink

func leak(_ answer: EncodedTensor) -> Request {
    Request(.headTopK(count: 1), answer)
}
