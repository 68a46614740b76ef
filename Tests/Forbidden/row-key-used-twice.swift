// expect: 'key' consumed more than once
import SCXEncoding

func leak(_ key: consuming OneTimeRowKey, _ a: consuming Plaintext, _ b: consuming Plaintext) {
    _ = key.encode(a)
    _ = key.encode(b)
}
