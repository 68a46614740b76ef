import Crypto

/// A server whose evidence was accepted: for its key, in answer to a question of the verifier's.
///
/// Only ``ServerAppraisal`` makes one, so that who asks for one cannot talk to a server that was not verified.
package struct AttestedServer: Sendable {
    package let evidence: AcceptedEvidence
    package let statement: ServerStatement

    fileprivate init(_ evidence: AcceptedEvidence, _ statement: ServerStatement) {
        self.evidence = evidence
        self.statement = statement
    }
}

/// What became of a server's document.
package struct ServerAppraisal: Sendable {
    /// All checks that did not hold.
    package let failures: [Failure]
    /// What was decided over the evidence; nil where it was not reached.
    package let appraisal: Appraisal?
    /// What the server says of itself, where it can be read, whatever was decided.
    package let statement: ServerStatement?
    /// The server where everything holds.
    package let server: AttestedServer?

    /// Decides over a document.
    ///
    /// - Parameters:
    ///   - document: What the server sent.
    ///   - purpose: What the key is for.
    ///   - key: The public key that the server proved to have: for a channel, the one of this very TLS connection.
    ///   - nonce: The question, made for this document alone.
    ///   - files: Certificates and collateral that the verifier has, beside those of the document.
    ///   - policy: What evidence and statement must say. Its `reportData` is not used.
    ///   - roots: The root keys that are trusted.
    ///   - at: The time at which everything must be valid.
    package init(
        _ document: AttestationDocument, _ purpose: ReportData.Purpose = .channel, key: [UInt8],
        nonce: [UInt8],
        files: [Collateral.File] = [], policy: Policy, roots: TrustRoots = .vendors, at: Instant
    ) {
        var failures = FailureList()
        failures.require(
            document.keyDigest == SHA256.hash(data: key).bytes, .channelKey,
            "the evidence is for the key of another server than the one at the other end")
        failures.require(
            document.nonce == nonce, .reportData, "the evidence answers another question (a wrong nonce)")
        var said: ServerStatement?
        do throws(Failures) {
            let statement = try ServerStatement(document.statement)
            said = statement
            policy.runs?.check(statement, &failures)
        } catch {
            failures.add(error)
        }
        statement = said
        var appraised: Appraisal?
        do throws(Failures) {
            let sent = document.collateral.enumerated().map { index, bytes in
                Collateral.File(name: "the server's file \(index + 1)", bytes: bytes)
            }
            var exact = policy
            exact.reportData = ReportData.bytes(
                purpose, key: key, nonce: nonce, statement: document.statement)
            // The nonce is of this question alone, so that nothing can have been seen before.
            var seen = SeenEvidence()
            let appraisal = Appraisal(
                document.evidence, with: try Collateral(files + sent), policy: exact, roots: roots, at: at,
                seen: &seen)
            failures.add(appraisal.failures)
            appraised = appraisal
        } catch {
            failures.add(error)
        }
        self.failures = failures.all
        appraisal = appraised
        if let accepted = appraised?.accepted, let said, failures.all.isEmpty {
            server = AttestedServer(accepted, said)
        } else {
            server = nil
        }
    }

    /// Whether evidence whose signatures hold binds the statement, for the key and the question.
    package var isStatementBound: Bool {
        appraisal?.verified != nil && !failures.contains { [.reportData, .channelKey].contains($0.check) }
    }

    /// A decision over a server that gave no document.
    package init(failures: Failures) {
        self.failures = failures.all
        (appraisal, statement, server) = (nil, nil, nil)
    }
}
