package import SCXAttestation

/// What is known of the server at the other end, by the last verification.
package enum TrustState: Sendable {
    /// Nothing was verified yet.
    case unverified
    case accepted(Accepted)
    case refused(Refused)

    /// A server that was accepted.
    package struct Accepted: Sendable {
        package let appraisal: ServerAppraisal
        package let server: AttestedServer
        /// SHA-256 of the key that the last verified connection had.
        package let keyDigest: [UInt8]
        /// Since when it has been accepted without a refusal.
        package let since: Instant
        /// When it was verified last.
        package let checked: Instant
    }

    /// A server that was not accepted, or could not be asked.
    package struct Refused: Sendable {
        /// The checks that did not hold; none where there was no connection.
        package let failures: [Failure]
        /// Why there was no connection.
        package let fault: UpstreamFault?
        package let since: Instant
        package let checked: Instant

        /// One line for each thing that is wrong.
        package var lines: [String] {
            failures.map { "\($0)" } + (fault.map { ["no connection: \($0)"] } ?? [])
        }
    }

    package var isAccepted: Bool {
        if case .accepted = self { true } else { false }
    }
}

/// Why a request was not sent, or has no answer.
package enum RequestFault: Error, Sendable {
    /// The server is not accepted now; nothing was sent.
    case notAccepted(TrustState)
    /// Too many requests wait for a connection; nothing was sent.
    case busy
    /// The connection could not be made, or broke before an answer began.
    case broken(UpstreamFault)
}
