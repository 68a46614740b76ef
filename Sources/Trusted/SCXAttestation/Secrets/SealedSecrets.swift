import Crypto
import Foundation

/// Secrets that only one attested guest can read, by HPKE (RFC 9180): Curve25519, HKDF-SHA256, ChaCha20-Poly1305.
///
/// The nonce of the guest's evidence is authenticated with them, so that an older answer is not taken for this one.
struct SealedSecrets: Codable {
    let encapsulatedKey: Data
    let ciphertext: Data

    static let suite = HPKE.Ciphersuite.Curve25519_SHA256_ChachaPoly
    static let info = Data("swift-scx secrets 1".utf8)

    /// The most that all secrets take in JSON, in bytes.
    static let limit = 1024 * 1024
}

/// Secrets by name, such as the key of stored sessions, as their owner gives them to a guest.
///
/// A description of it says nothing of the values.
package struct Secrets: Sendable, CustomStringConvertible, CustomReflectable {
    /// The values by name.
    package let values: [String: [UInt8]]

    /// - Parameter values: By name: 1 to 64 small letters, digits and hyphens.
    /// - Throws: ``SecretsError`` for another name, and where all together are too large.
    package init(_ values: [String: [UInt8]]) throws(SecretsError) {
        for name in values.keys.sorted() where !Self.isName(name) {
            throw SecretsError(
                "'\(name.prefix(64))' is not a name of 1 to 64 small letters, digits and hyphens")
        }
        let size = values.reduce(0) { $0 + $1.key.utf8.count + $1.value.count }
        guard size <= SealedSecrets.limit / 2 else {
            throw SecretsError("the secrets have \(size) bytes; at most \(SealedSecrets.limit / 2) are taken")
        }
        self.values = values
    }

    package static func isName(_ name: String) -> Bool {
        (1...64).contains(name.utf8.count)
            && name.utf8.allSatisfy {
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0)
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || $0 == UInt8(ascii: "-")
            }
    }

    package var description: String { "secrets: \(values.keys.sorted().joined(separator: ", "))" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

/// Why secrets were not given or not taken, in one line that holds none of them.
package struct SecretsError: Error, Equatable, Sendable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}
