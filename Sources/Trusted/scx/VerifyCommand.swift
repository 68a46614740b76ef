#if Network
    import ArgumentParser
    import Foundation
    import SCXAttestation
    import SCXProxy

    struct VerifyCommand: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "verify",
            abstract: "Verify an attested server, and say what was checked.",
            discussion: """
                Connects over TLS 1.3, asks for evidence with a fresh nonce, and decides whether a machine with encrypted \
                memory signed it for the key of this connection, and whether it is what the policy asks for. Sends nothing \
                else. The exit status is 0 where everything holds, and 1 with a numbered line for each check that does not; \
                docs/attestation.md lists them.
                """)

        @Argument(help: "The server, as https://HOST or https://HOST:PORT.")
        var server: ServerAddress

        @Option(help: "Policy in JSON, as 'scx policy' makes it. Without one, any software is accepted.")
        var policy: String?

        @OptionGroup var files: EvidenceFiles

        @Option(
            help: "Check as of this time, such as 2026-02-03 or 2026-02-03T12:00:00Z (now if left out).")
        var at: String?

        @Flag(help: "Print the decision as JSON.")
        var json = false

        func run() async throws {
            let time = try at.map(EvidenceFiles.moment) ?? .now
            let policy = try self.policy.map(EvidenceFiles.policy) ?? .standard
            let verifier = ServerVerifier(policy: policy, files: try files.files(), now: { time })
            let verification: Verification
            do throws(UpstreamFault) {
                verification = try await UnverifiedConnection(to: server.address).verified(by: verifier)
            } catch {
                standardError("\(server.address): \(error)")
                throw ExitCode(1)
            }
            var digest: [UInt8]?
            if case .accepted(let connection) = verification { digest = connection.keyDigest }
            let report = AppraisalReport(verification.appraisal, policy: policy, at: time, keyDigest: digest)
            print(json ? try report.json() : report.text)
            if !report.accepted { throw ExitCode(1) }
        }
    }

    /// The address of an attested server on a command line.
    struct ServerAddress: ExpressibleByArgument {
        let address: UpstreamAddress

        init?(argument: String) {
            guard let address = UpstreamAddress(argument) else { return nil }
            self.address = address
        }
    }
#endif
