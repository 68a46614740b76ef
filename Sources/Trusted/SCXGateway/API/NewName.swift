import SCXEncoding

/// A name that nobody can guess: the prefix and 128 random bits.
func newName(_ prefix: String) -> String { prefix + randomDigits(words: 2) }
