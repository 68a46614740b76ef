// expect: 'random' consumed more than once
import SCXEncoding

func leak(_ random: consuming SecureRandom) {
    let same = random
    let again = random
    _ = (same.self, again.self)
}
