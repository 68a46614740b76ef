#if Network
    import ArgumentParser
    import Foundation
    import SCXAttestation
    import SCXCertificates
    import SCXGateway

    /// The flags with which a server proves what it is and where it runs.
    struct AttestFlags: ParsableArguments {
        @Flag(
            help: ArgumentHelp(
                "Serve HTTPS with a key that is made in this process, and evidence of this machine for it.",
                discussion:
                    "For confidential guests (SEV-SNP, TDX). Clients ask through 'scx proxy', which verifies first."
            ))
        var attest = false

        @Option(help: "Directory in which the kernel makes reports.")
        var attestReports = TSMReports.standardDirectory

        @Option(
            help:
                "Directory with certificates, revocation lists and Intel's documents to hand out with the evidence. (default: none)"
        )
        var attestCollateral: String?

        @Option(help: "The revision of the source from which this program was built, for policies.")
        var revision = "unknown"

        @Option(
            help:
                "Fetch secrets at https://HOST:PORT, where 'scx keys release' runs, before anything else. (default: none)"
        )
        var secretsFrom: String?

        @Option(help: "SHA-256 of that server's public key, which it prints.")
        var secretsKey: String?

        /// Whether evidence of this machine is needed.
        var isUsed: Bool { attest || secretsFrom != nil }

        func validate() throws {
            guard isUsed || attestCollateral == nil else {
                throw ValidationError("'--attest-collateral' needs '--attest' or '--secrets-from'.")
            }
            guard (secretsFrom == nil) == (secretsKey == nil) else {
                throw ValidationError("'--secrets-from' and '--secrets-key' go together.")
            }
            _ = try releaser()
        }

        /// What is handed out with evidence.
        func collateral() throws -> [[UInt8]] {
            try attestCollateral.map { try AttestedIdentity.collateral(in: $0) } ?? []
        }

        /// A server's own key, and what proves it.
        struct Proof: Sendable {
            let tls: GatewayServer.TLSKey
            let identity: AttestedIdentity
            let statement: ServerStatement

            /// The document for a nonce, in JSON.
            func document(_ nonce: [UInt8]) async throws(APIError) -> [UInt8] {
                do { return try await identity.document(answering: nonce).json } catch let error
                    as EvidenceError
                {
                    throw APIError(
                        status: 503, "No evidence could be had: \(error).", type: "server_error",
                        code: "no_evidence")
                } catch {
                    throw APIError(
                        status: 503, "Too many ask for evidence.", type: "overloaded_error",
                        code: "server_overloaded", retryAfter: 1)
                }
            }
        }

        /// Makes the server's key, and the first evidence for it, which its certificate carries.
        ///
        /// - Parameters:
        ///   - statement: What runs here.
        ///   - hosts: The names under which the server is asked.
        /// - Returns: The key, and what answers questions for evidence.
        /// - Throws: `EvidenceError` or `CertificateError`, in one line.
        func proof(of statement: ServerStatement, hosts: [String]) throws -> Proof {
            let source = try TSMReports(directory: attestReports)
            let collateral = try collateral()
            var identity: AttestedIdentity?
            let pair = try KeyPair(
                name: "scx, attested", hosts: hosts.filter(KeyPair.isHost), from: .now - 3600,
                to: .now + 365 * 86_400
            ) { key in
                let proven = AttestedIdentity(
                    key: key, statement: statement, source: source, collateral: collateral,
                    eventLog: AttestedIdentity.firmwareLog())
                identity = proven
                return KeyPair.Extension(
                    identifier: AttestationDocument.certificateExtension,
                    value: try proven.document(nonce: ReportData.noNonce).certificateExtensionValue)
            }
            guard let identity else { preconditionFailure("AttestFlags: no identity was made") }
            return Proof(
                tls: .own(certificate: pair.certificate, key: pair.key), identity: identity,
                statement: statement)
        }
    }
#endif
