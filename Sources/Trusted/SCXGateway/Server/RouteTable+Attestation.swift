import HTTPTypes

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
            Route(method: .get, path: "/.well-known/scx-attestation", isOpen: true, takesAnyHost: true) {
                request throws(APIError) in
                .bytes(
                    try await document(try Self.nonce(request.query)),
                    type: "application/vnd.swift-scx.attestation+json",
                    headers: [APIHeader("cache-control", "no-store")])
            })
    }

    private static func nonce(_ query: String) throws(APIError) -> [UInt8] {
        let digits = query.split(separator: "&").last { $0.hasPrefix("nonce=") }?.dropFirst(6) ?? ""
        let values = digits.utf8.map { Character(Unicode.Scalar($0)).hexDigitValue }
        guard values.count == 64, !values.contains(nil) else {
            throw .invalid(
                "'nonce' must be 32 bytes in base 16, which the asker chose at random: /.well-known/scx-attestation?nonce=HEX.",
                param: "nonce")
        }
        return stride(from: 0, to: 64, by: 2).map { UInt8((values[$0] ?? 0) << 4 | (values[$0 + 1] ?? 0)) }
    }
}
