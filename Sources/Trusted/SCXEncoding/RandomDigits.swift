/// Makes random hexadecimal digits that nobody can guess, 16 for each word, never all zero.
package func randomDigits(words: Int) -> String {
    var random = SystemRandomNumberGenerator()
    return (0..<words).map { _ in
        let digits = String(UInt64.random(in: 1 ... .max, using: &random), radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }.joined()
}
