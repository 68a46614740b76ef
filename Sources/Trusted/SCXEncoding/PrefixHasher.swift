import Crypto

/// Recognises beginnings of token lists without holding the lists.
///
/// HMAC-SHA256 under a key of this process, so that who reads a digest elsewhere cannot try texts on it.
package struct PrefixHasher: Sendable {
    /// Of the first tokens of a list.
    package struct Digest: Hashable, Sendable { fileprivate let bytes: [UInt8] }

    private let key = SymmetricKey(size: .bits256)

    package init() {}

    /// The digests of a list's beginnings.
    ///
    /// - Parameters:
    ///   - tokens: The list.
    ///   - lengths: Of the beginnings.
    /// - Returns: By length; those that the list does not have are left out.
    package func digests(of tokens: [Int32], at lengths: some Sequence<Int>) -> [Int: Digest] {
        var code = HMAC<SHA256>(key: key)
        var hashed = 0
        var digests: [Int: Digest] = [:]
        for length in Set(lengths).sorted() where (0...tokens.count).contains(length) {
            unsafe tokens[hashed..<length].withUnsafeBytes { unsafe code.update(data: $0) }
            hashed = length
            // The copy goes on with what comes after.
            let copy = code
            digests[length] = Digest(bytes: Array(copy.finalize()))
        }
        return digests
    }
}
