import Crypto

/// Recognises beginnings of token lists without storing the lists.
///
/// Digests are HMAC-SHA256 under a key of this process, so that somebody who reads a digest elsewhere cannot test
/// texts against it.
package struct PrefixHasher: Sendable {
    /// The digest of the first tokens of a list.
    package struct Digest: Hashable, Sendable { fileprivate let bytes: [UInt8] }

    private let key = SymmetricKey(size: .bits256)

    package init() {}

    /// Computes the digests of a list's beginnings.
    ///
    /// - Parameters:
    ///   - tokens: The list.
    ///   - lengths: The lengths of the beginnings.
    /// - Returns: The digests by length; lengths beyond the list's are left out.
    package func digests(of tokens: [Int32], at lengths: some Sequence<Int>) -> [Int: Digest] {
        var code = HMAC<SHA256>(key: key)
        var hashed = 0
        var digests: [Int: Digest] = [:]
        for length in Set(lengths).sorted() where (0...tokens.count).contains(length) {
            unsafe tokens[hashed..<length].withUnsafeBytes { unsafe code.update(data: $0) }
            hashed = length
            // The copy gives the digest up to here; `code` continues with the tokens that follow.
            let copy = code
            digests[length] = Digest(bytes: Array(copy.finalize()))
        }
        return digests
    }
}
