// expect: 'noise' consumed more than once
import SCXEncoding

func leak(_ noise: consuming OneTimeNoise, _ random: inout SecureRandom) {
    _ = OneTimeRowKey(rows: 1, redundant: Plaintext(rows: 0, channels: 4), noise: noise, random: &random)
    _ = OneTimeRowKey(rows: 1, redundant: Plaintext(rows: 0, channels: 4), noise: noise, random: &random)
}
