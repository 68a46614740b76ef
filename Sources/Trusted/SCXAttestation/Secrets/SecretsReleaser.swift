import Crypto
import Foundation
import Synchronization

/// The owner's end: gives secrets to guests whose evidence satisfies a policy, encrypted to a key of each.
package final class SecretsReleaser: Sendable {
    private let secrets: Secrets
    private let policy: Policy
    private let files: [Collateral.File]
    private let roots: TrustRoots
    /// Authenticates questions, so that none has to be remembered before it is answered.
    private let key = SymmetricKey(size: .bits256)
    /// The questions that were answered with secrets within the time in which they could be answered again.
    private let answered = Mutex<[[UInt8]: Instant]>([:])

    /// How long a question can be answered, in seconds: a guest's processor signs at once.
    package static let patience: Int64 = 120
    /// The most answers within that time.
    package static let mostAnswers = 65_536

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
    /// - Returns: 32 bytes: the time in seconds, 8 bytes at random, and 16 that authenticate both.
    package func question(at time: Instant) -> [UInt8] {
        let seconds = (0..<8).map { UInt8(truncatingIfNeeded: time.seconds >> (56 - 8 * $0)) }
        let body = seconds + ReportData.freshNonce().prefix(8)
        return body + tag(of: body)
    }

    private func tag(of body: [UInt8]) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: body, using: key).prefix(16))
    }

    /// Whether a nonce is a question of this releaser's that can still be answered.
    private func isOpen(_ nonce: [UInt8], at time: Instant) -> Bool {
        let body = Array(nonce.prefix(16))
        // Compared in full, whatever the first difference is.
        let difference = zip(tag(of: body), nonce.suffix(16)).reduce(0) { $0 | ($1.0 ^ $1.1) }
        guard difference == 0 else { return false }
        let asked = body.prefix(8).reduce(Int64(0)) { $0 << 8 | Int64($1) }
        return (asked...asked + Self.patience).contains(time.seconds)
    }

    /// Remembers that a question was answered.
    ///
    /// - Returns: False where it was answered before, or too many were.
    private func use(_ nonce: [UInt8], at time: Instant) -> Bool {
        answered.withLock { answered in
            answered = answered.filter { $0.value.advanced(by: Self.patience) >= time }
            guard answered.count < Self.mostAnswers, answered[nonce] == nil else { return false }
            answered[nonce] = time
            return true
        }
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
        func repeated() -> Decision {
            let failures = Failures(.replayed, "the evidence answers no open question; ask for a new one")
            return Decision(appraisal: ServerAppraisal(failures: failures), answer: nil)
        }
        guard isOpen(request.document.nonce, at: time) else { return repeated() }
        let appraisal = ServerAppraisal(
            request.document, .secrets, key: request.key, nonce: request.document.nonce, files: files,
            policy: policy, roots: roots, at: time)
        guard let server = appraisal.server else { return Decision(appraisal: appraisal, answer: nil) }
        guard use(request.document.nonce, at: time) else { return repeated() }
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
