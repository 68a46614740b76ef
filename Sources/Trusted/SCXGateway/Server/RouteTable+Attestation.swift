import HTTPTypes
import SCXAttestation

extension RouteTable {
    /// Answers questions for evidence, at `/.well-known/scx-attestation?nonce=HEX`.
    ///
    /// Anybody may ask, because who has no proof yet must not show an API key.
    ///
    /// - Parameter document: Makes a document in JSON that answers a nonce of 32 bytes.
    package mutating func addAttestation(
        _ document: @escaping @Sendable (_ nonce: [UInt8]) async throws(APIError) -> [UInt8]
    ) {
        routes.append(
            Route(method: .get, path: AttestationDocument.path, isOpen: true, takesAnyHost: true) {
                request throws(APIError) in
                .bytes(
                    try await document(try Self.nonce(request.query)), type: AttestationDocument.mediaType,
                    headers: [APIHeader("cache-control", "no-store")])
            })
    }

    private static func nonce(_ query: String) throws(APIError) -> [UInt8] {
        let digits = query.split(separator: "&").last { $0.hasPrefix("nonce=") }?.dropFirst(6) ?? ""
        guard let nonce = Hex.bytes(String(digits)), nonce.count == ReportData.nonceSize else {
            throw .invalid(
                "'nonce' must be 32 bytes in base 16, which the asker chose at random: \(AttestationDocument.path)?nonce=HEX.",
                param: "nonce")
        }
        return nonce
    }
}
