import Crypto
import NIOCore
import NIOHTTP1
package import SCXAttestation

/// A connection over TLS 1.3 to somebody, of whom a public key is known and nothing else.
///
/// It can be asked for one thing, its evidence, and the question holds nothing of the user's. Only ``verified(by:)`` makes of it
/// an ``AttestedConnection``, which can send requests, and uses it up, so that a question and its answer count once.
package struct UnverifiedConnection: ~Copyable, Sendable {
    private let link: UpstreamLink
    private let key: [UInt8]
    private let address: UpstreamAddress
    private let times: UpstreamTimes

    /// Connects, and agrees on TLS 1.3 with whoever answers.
    ///
    /// The certificate is judged by no authority: evidence will say whose key it is.
    package init(to address: UpstreamAddress, times: UpstreamTimes = UpstreamTimes())
        async throws(UpstreamFault)
    {
        (link, key) = try await UpstreamLink.open(address, times: times)
        (self.address, self.times) = (address, times)
    }

    /// Asks for evidence with a fresh nonce, and decides over it.
    ///
    /// - Returns: A connection for requests, or a list of what does not hold; then the connection is closed.
    package consuming func verified(by verifier: ServerVerifier) async -> Verification {
        let nonce = ReportData.freshNonce()
        let appraisal: ServerAppraisal
        do throws(Failures) {
            let document = try await document(nonce)
            appraisal = ServerAppraisal(
                document, key: key, nonce: nonce, files: verifier.files, policy: verifier.policy,
                roots: verifier.roots, at: verifier.now())
        } catch {
            appraisal = ServerAppraisal(failures: error)
        }
        guard let server = appraisal.server else {
            link.close()
            return .refused(appraisal)
        }
        let digest = Array(SHA256.hash(data: key))
        return .accepted(
            AttestedConnection(link, server, appraisal, keyDigest: digest, address: address))
    }

    /// The document that the server hands out for a nonce.
    private func document(_ nonce: [UInt8]) async throws(Failures) -> AttestationDocument {
        let bytes: [UInt8]
        link.expect(
            within: times.document,
            or: "it did not come within \(times.document.nanoseconds / 1_000_000_000) seconds")
        do throws(UpstreamFault) {
            let question = HTTPRequestHead(
                version: .http1_1, method: .GET,
                uri: "\(AttestationDocument.path)?nonce=\(Hex.text(nonce))",
                headers: [
                    "host": address.authority, "accept": AttestationDocument.mediaType, "user-agent": "scx",
                ])
            var head = try await link.ask(question)
            // Many may ask for evidence at a time; the same question is asked again until the time is over.
            while head.status == .serviceUnavailable, head.isKeepAlive {
                _ = try await link.body(limit: AttestationDocument.limit)
                try await link.end()
                do { try await Task.sleep(for: .seconds(1)) } catch { throw UpstreamFault(error) }
                head = try await link.ask(question)
            }
            guard head.status.code == 200 else {
                throw UpstreamFault(
                    (300..<400).contains(head.status.code)
                        ? "the answer is a redirect (\(head.status.code)), which is not followed"
                        : "the answer has status \(head.status.code)")
            }
            // The reader of documents refuses one that is too large, by a number of its own.
            bytes = try await link.body(limit: AttestationDocument.limit)
            link.endExpectation()
            if bytes.count <= AttestationDocument.limit { try await link.end() }
        } catch {
            throw Failures(.documentMissing, "the server gives no document of attestation: \(error)")
        }
        return try AttestationDocument(bytes)
    }
}

/// What became of a connection that asked for evidence.
package enum Verification: Sendable {
    case accepted(AttestedConnection)
    case refused(ServerAppraisal)

    /// What was decided over the server.
    package var appraisal: ServerAppraisal {
        switch self {
        case .accepted(let connection): connection.appraisal
        case .refused(let appraisal): appraisal
        }
    }
}

/// A connection to a server whose evidence was accepted, for the key of this very connection.
///
/// Only ``UnverifiedConnection/verified(by:)`` makes one.
package final class AttestedConnection: Sendable {
    package let server: AttestedServer
    package let appraisal: ServerAppraisal
    /// SHA-256 of the server's public key.
    package let keyDigest: [UInt8]
    let address: UpstreamAddress
    let link: UpstreamLink

    fileprivate init(
        _ link: UpstreamLink, _ server: AttestedServer, _ appraisal: ServerAppraisal, keyDigest: [UInt8],
        address: UpstreamAddress
    ) {
        (self.link, self.server, self.appraisal) = (link, server, appraisal)
        (self.keyDigest, self.address) = (keyDigest, address)
    }

    /// Whether a request can be sent.
    var isOpen: Bool { link.isOpen }

    /// Ends the connection, also in the middle of an answer.
    package func close() { link.close() }
}
