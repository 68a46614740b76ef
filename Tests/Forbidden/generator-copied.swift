// expect: 'random' consumed more than once
import SCXEncoding

func leak(_ random: consuming SecureRandom) {
    var same = random
    var again = random
    _ = same.word() ^ again.word()
}
