import Crypto
import Foundation
import NIOCore
import NIOHTTP1
package import SCXAttestation
import SCXInference

/// Asks the owner of secrets for them, with evidence of this process.
package struct SecretsClient: Sendable {
    private let address: UpstreamAddress
    private let keyDigest: [UInt8]
    private let times: UpstreamTimes

    /// The largest answer that is read, in bytes.
    private static let answerLimit = 4 << 20
    private static let path = "/scx/secrets"

    /// - Parameters:
    ///   - address: Where the releaser is.
    ///   - keyDigest: SHA-256 of its public key, so that nobody else can give this process keys that he knows.
    ///   - times: How long the releaser may take.
    package init(_ address: UpstreamAddress, keyDigest: [UInt8], times: UpstreamTimes = UpstreamTimes()) {
        (self.address, self.keyDigest, self.times) = (address, keyDigest, times)
    }

    /// Fetches the secrets.
    ///
    /// - Parameters:
    ///   - statement: What runs here.
    ///   - source: Makes evidence.
    ///   - collateral: Certificates and documents that the releaser may lack.
    /// - Returns: What the releaser gave.
    /// - Throws: ``UpstreamFault``, `EvidenceError` or `SecretsError`, each in one line.
    package func fetch(
        statement: ServerStatement, source: some EvidenceSource, collateral: [[UInt8]]
    ) async throws -> Secrets {
        let (link, key) = try await UpstreamLink.open(address, times: times)
        defer { link.close() }
        guard Array(SHA256.hash(data: key)) == keyDigest else {
            throw UpstreamFault(
                "the server at the other end has another key than the one that was given for it")
        }
        let asked = try await ask(link, .GET, nil)
        guard let question = try? JSONDecoder().decode(Question.self, from: Data(asked)),
            let nonce = Hex.bytes(question.nonce), nonce.count == ReportData.nonceSize
        else { throw UpstreamFault("it asks no question, so it is no releaser of secrets") }
        let receiver = SecretsReceiver(nonce: nonce)
        let request = try receiver.request(statement: statement, source: source, collateral: collateral)
        return try receiver.open(try await ask(link, .POST, request.json))
    }

    private struct Question: Decodable { let nonce: String }

    /// Sends a request and reads its answer.
    private func ask(
        _ link: UpstreamLink, _ method: HTTPMethod, _ body: [UInt8]?
    ) async throws(UpstreamFault) -> [UInt8] {
        var headers: HTTPHeaders = [
            "host": address.authority, "accept": "application/json", "user-agent": "scx",
        ]
        if let body {
            headers.add(name: "content-type", value: "application/json")
            headers.add(name: "content-length", value: "\(body.count)")
        }
        link.expect(within: times.document, or: "it did not answer in time")
        let head = try await link.ask(
            HTTPRequestHead(version: .http1_1, method: method, uri: Self.path, headers: headers), body: body)
        let bytes = try await link.body(limit: Self.answerLimit)
        guard bytes.count <= Self.answerLimit else { throw UpstreamFault("its answer is too large") }
        link.endExpectation()
        try await link.end()
        guard head.status.code == 200 else { throw UpstreamFault(Self.fault(head.status.code, bytes)) }
        return bytes
    }

    /// What the releaser says of its refusal, as far as it can be shown.
    private static func fault(_ status: UInt, _ body: [UInt8]) -> String {
        struct Form: Decodable {
            struct Fault: Decodable { let message: String }
            let error: Fault
        }
        guard let form = try? JSONDecoder().decode(Form.self, from: Data(body)) else {
            return "it answers with status \(status)"
        }
        return form.error.message.printable(longest: 2000)
    }
}
