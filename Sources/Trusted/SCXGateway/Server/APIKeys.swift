import Crypto
import Foundation

/// The keys that clients show, by name.
///
/// Only digests stay in memory, and all are compared for every request, so that the time taken says nothing.
package struct APIKeys: Sendable {
    private let digests: [(name: String, digest: SHA256.Digest)]

    /// Shortest key that is taken.
    private static let fewestCharacters = 16

    /// No keys: everybody who can connect may ask.
    package static let none = APIKeys(digests: [])

    private init(digests: [(name: String, digest: SHA256.Digest)]) { self.digests = digests }

    package var isEmpty: Bool { digests.isEmpty }

    /// Reads a file with a name and a key in each line; `#` begins a comment.
    ///
    /// - Throws: ``ServerError`` when the file cannot be read, others than its owner may read it, or a line is no name and
    ///   key.
    package init(file: String) throws(ServerError) {
        let attributes = try? FileManager.default.attributesOfItem(atPath: file)
        guard let mode = attributes?[.posixPermissions] as? Int,
            let bytes = FileManager.default.contents(atPath: file)
        else { throw ServerError("'--api-keys \(file)': cannot be read") }
        guard mode & 0o077 == 0 else {
            throw ServerError("'--api-keys \(file)': others may read it; 'chmod 600' it")
        }
        var digests: [(name: String, digest: SHA256.Digest)] = []
        for (number, line) in String(decoding: bytes, as: UTF8.self).split(
            separator: "\n", omittingEmptySubsequences: false
        ).enumerated() {
            let words = line.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)[0]
                .split(whereSeparator: \.isWhitespace)
            guard !words.isEmpty else { continue }
            guard words.count == 2, words[1].utf8.count >= Self.fewestCharacters else {
                throw ServerError(
                    "'--api-keys \(file)', line \(number + 1): not a name and a key of \(Self.fewestCharacters) "
                        + "characters or more")
            }
            digests.append((String(words[0]), SHA256.hash(data: Data(words[1].utf8))))
        }
        guard !digests.isEmpty else { throw ServerError("'--api-keys \(file)': has no key") }
        self.digests = digests
    }

    /// The name of a key; nil when there is no such key.
    package func name(of key: String) -> String? {
        let digest = SHA256.hash(data: Data(key.utf8))
        var found: String?
        // Digests compare in constant time.
        for entry in digests where entry.digest == digest { found = entry.name }
        return found
    }
}

/// Why a server cannot start.
package struct ServerError: Error, Equatable, Sendable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}
