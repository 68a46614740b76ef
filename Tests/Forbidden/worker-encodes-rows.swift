// side: untrusted
// expect: incorrect argument label in call (have 'encodedRows:channels:values:'
import SCXLink

func leak() -> EncodedTensor {
    EncodedTensor(encodedRows: 1, channels: 1, values: [0])
}
