import SwiftASN1

/// What an authority signs, and its signature: the form that certificates and revocation lists have in common (RFC 5280,
/// sections 4.1.1 and 5.1.1).
struct SignedFields {
    /// What the signature covers, in DER.
    let content: [UInt8]
    let signature: [UInt8]
    private let outerAlgorithm: ASN1Node

    /// Reads one such structure in DER.
    ///
    /// - Parameters:
    ///   - encoded: The whole of it.
    ///   - limit: The most bytes that it may have.
    ///   - read: Reads the fields that are signed.
    /// - Returns: What `read` gives.
    /// - Throws: ``FormError``, the errors of SwiftASN1, and those of `read`.
    static func read<Value>(
        _ encoded: [UInt8], limit: Int,
        _ read: (inout ASN1NodeCollection.Iterator, SignedFields) throws -> Value
    ) throws -> Value {
        guard encoded.count <= limit else { throw FormError("it has more than \(limit) bytes") }
        return try DER.sequence(DER.parse(encoded), identifier: .sequence) { parts in
            guard let content = parts.next(), let outer = parts.next() else {
                throw FormError("parts are missing")
            }
            let signature = try ASN1BitString(derEncoded: &parts)
            guard signature.paddingBits == 0 else { throw FormError("the signature is not whole bytes") }
            let envelope = SignedFields(
                content: Array(content.encodedBytes), signature: Array(signature.bytes),
                outerAlgorithm: outer)
            return try DER.sequence(content, identifier: .sequence) { try read(&$0, envelope) }
        }
    }

    /// The algorithm that the signed fields name, which must be the one beside the signature.
    ///
    /// - Throws: ``FormError`` where they differ or nobody here knows it.
    func algorithm(_ signed: ASN1Node) throws -> SignatureAlgorithm {
        guard signed.encodedBytes == outerAlgorithm.encodedBytes else {
            throw FormError("it names two signature algorithms")
        }
        return try SignatureAlgorithm(signed)
    }
}
