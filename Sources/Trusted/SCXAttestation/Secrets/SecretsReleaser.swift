import Crypto
import Foundation
import Synchronization

/// The owner's end: gives secrets to guests whose evidence satisfies a policy, encrypted to a key of each.
package final class SecretsReleaser: Sendable {
    private let secrets: Secrets
    private let policy: Policy
    private let files: [Collateral.File]
    private let roots: TrustRoots
    /// Questions that nobody answered yet, and when each was asked, in the order of asking.
    private let questions = Mutex<[(nonce: [UInt8], at: Instant)]>([])

    /// How long a question can be answered, in seconds: a guest's processor signs at once.
    package static let patience: Int64 = 120
    /// The most questions that are open at a time; a further one takes the place of the oldest.
    package static let mostQuestions = 1024

    /// - Parameters:
    ///   - secrets: What is given.
    ///   - policy: What evidence and statement must say.
    ///   - files: Certificates and collateral beside those that guests send.
    ///   - roots: The root keys that are trusted.
    package init(
        _ secrets: Secrets, policy: Policy, files: [Collateral.File] = [], roots: TrustRoots = .vendors
    ) {
        self.secrets = secrets
        self.policy = policy
        self.files = files
        self.roots = roots
    }

    /// A new question, which can be answered once.
    ///
    /// - Parameter time: The time.
    /// - Returns: 32 bytes.
    package func question(at time: Instant) -> [UInt8] {
        let nonce = ReportData.freshNonce()
        questions.withLock { questions in
            questions.removeAll { $0.at.advanced(by: Self.patience) < time }
            if questions.count >= Self.mostQuestions { questions.removeFirst() }
            questions.append((nonce, time))
        }
        return nonce
    }

    /// What became of a request.
    package struct Decision: Sendable {
        package let appraisal: ServerAppraisal
        /// The secrets, encrypted to the guest's key, in JSON; nil where a check did not hold.
        package let answer: [UInt8]?
    }

    /// Decides over a request.
    ///
    /// - Parameters:
    ///   - request: What a guest sent.
    ///   - time: The time at which everything must be valid.
    /// - Returns: The decision, with the answer where everything holds.
    package func decide(_ request: SecretsRequest, at time: Instant) -> Decision {
        // A question is used up by its first answer, whatever comes of it.
        let isOpen = questions.withLock { questions in
            guard let index = questions.firstIndex(where: { $0.nonce == request.document.nonce }) else {
                return false
            }
            return questions.remove(at: index).at.advanced(by: Self.patience) >= time
        }
        guard isOpen else {
            let failures = Failures(.replayed, "the evidence answers no open question; ask for a new one")
            return Decision(appraisal: ServerAppraisal(failures: failures), answer: nil)
        }
        let appraisal = ServerAppraisal(
            request.document, .secrets, key: request.key, nonce: request.document.nonce, files: files,
            policy: policy, roots: roots, at: time)
        guard let server = appraisal.server else { return Decision(appraisal: appraisal, answer: nil) }
        do {
            return Decision(
                appraisal: appraisal, answer: try seal(for: server, key: request.key, request.document.nonce))
        } catch {
            let failures = Failures(
                .documentForm, "the request's key is none to which secrets can be encrypted")
            return Decision(appraisal: ServerAppraisal(failures: failures), answer: nil)
        }
    }

    /// Encrypts the secrets to the key of a guest that was accepted.
    private func seal(for server: AttestedServer, key: [UInt8], _ nonce: [UInt8]) throws -> [UInt8] {
        let recipient = try Curve25519.KeyAgreement.PublicKey(rawRepresentation: key)
        var sender = try HPKE.Sender(
            recipientKey: recipient, ciphersuite: SealedSecrets.suite, info: SealedSecrets.info)
        let plain = try JSONEncoder().encode(secrets.values.mapValues { Data($0) })
        let sealed = SealedSecrets(
            encapsulatedKey: sender.encapsulatedKey,
            ciphertext: try sender.seal(plain, authenticating: Data(nonce)))
        return Array(try JSONEncoder().encode(sealed))
    }
}
