import Crypto

/// What a guest lets its processor sign: that a key, a question and a statement belong to it.
///
/// The 64 bytes are SHA-512 of a label for the purpose, SHA-256 of the key, the nonce, and SHA-256 of the statement. All parts have
/// fixed sizes, so that no two of them can be taken for others.
package enum ReportData {
    /// What the key is for.
    ///
    /// Evidence for one purpose is refused for another.
    package enum Purpose: String, Sendable {
        /// The public key (SubjectPublicKeyInfo, DER) of the server's end of TLS.
        case channel = "swift-scx attestation: key of a TLS server"
        /// A public key to which secrets are encrypted.
        case secrets = "swift-scx attestation: key that secrets are encrypted to"
    }

    /// The size of a nonce, in bytes.
    package static let nonceSize = 32
    /// Stands for a nonce where nobody asked a question: in certificates.
    package static let noNonce = [UInt8](repeating: 0, count: nonceSize)

    /// What the guest hands to its processor.
    ///
    /// - Parameters:
    ///   - purpose: What the key is for.
    ///   - key: The public key, in the form that the purpose says.
    ///   - nonce: 32 bytes that the verifier chose at random.
    ///   - statement: The exact bytes of what the server says of itself.
    /// - Returns: 64 bytes.
    package static func bytes(
        _ purpose: Purpose, key: [UInt8], nonce: [UInt8], statement: [UInt8]
    ) -> [UInt8] {
        precondition(nonce.count == nonceSize, "ReportData: nonce of \(nonce.count) bytes")
        var hash = SHA512()
        hash.update(data: SHA256.hash(data: Array(purpose.rawValue.utf8)).bytes)
        hash.update(data: SHA256.hash(data: key).bytes)
        hash.update(data: nonce)
        hash.update(data: SHA256.hash(data: statement).bytes)
        return hash.finalize().bytes
    }

    /// A nonce from the system's generator.
    package static func freshNonce() -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<nonceSize).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    }
}

extension Digest {
    var bytes: [UInt8] { Array(self) }
}
