/// A name that nobody can guess: the prefix and 128 random bits.
func newName(_ prefix: String) -> String {
    var random = SystemRandomNumberGenerator()
    let words = (0..<2).map { _ in
        let digits = String(random.next(), radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
    return prefix + words.joined()
}
