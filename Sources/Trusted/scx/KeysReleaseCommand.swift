#if Network
    import ArgumentParser
    import Foundation
    import Logging
    import SCXAttestation
    import SCXGateway

    extension KeysCommand {
        struct Release: AsyncParsableCommand {
            static let configuration = CommandConfiguration(
                commandName: "release",
                abstract: "Give secrets to servers whose evidence satisfies a policy.",
                discussion: """
                    Runs where the owner of the secrets is, until it is ended. 'scx serve --secrets-from' asks; each answer \
                    is encrypted to a key of the process that asked. docs/attestation.md has the rest.
                    """)

            @Option(help: "Policy in JSON; see docs/attestation.md.")
            var policy: String

            @Option(
                help:
                    "A secret as NAME=FILE, of a file that only its owner can read; may be given more than once. 'scx serve' knows \(SecretFiles.known.joined(separator: ", "))."
            )
            var secret: [String] = []

            @OptionGroup var evidence: EvidenceFiles

            @Option(help: "Address to listen on.")
            var host = "127.0.0.1"

            @Option(help: "Port to listen on; 0 takes a free one.")
            var port = 8443

            @Option(help: "Certificate for HTTPS, PEM ('scx keys new' makes one).")
            var httpsCert: String

            @Option(help: "The private key to it, PEM.")
            var httpsKey: String

            @Flag(help: "Give secrets also where the policy names no measurement, so to any software.")
            var anyMeasurement = false

            func validate() throws {
                guard (0...65_535).contains(port) else {
                    throw ValidationError("'--port \(port)' is out of range: 0 to 65535.")
                }
                guard !secret.isEmpty else { throw ValidationError("'--secret NAME=FILE' is missing.") }
            }

            func run() async throws {
                let secrets = try secrets()
                let demands = try EvidenceFiles.policy(policy)
                let summary = PolicySummary(demands)
                guard anyMeasurement || !summary.allowsAnySoftware else {
                    throw ValidationError(
                        "\(policy): names no measurement for a kind of evidence, so that any software would get the secrets; name measurements, or give '--any-measurement'."
                    )
                }
                for line in summary.open { standardError("note: \(line)") }
                let releaser = SecretsReleaser(secrets, policy: demands, files: try evidence.files())
                var options = GatewayServer.Options()
                (options.host, options.port) = (host, port)
                let key = GatewayServer.TLSKey.files(certificate: httpsCert, key: httpsKey)
                options.tls = key
                // No client has an API key: evidence says who may have what.
                options.isInsecure = true
                options.limits.hosts += [host.lowercased(), ProcessInfo.processInfo.hostName.lowercased()]
                options.endsWithSignals = true
                let digest = Hex.text(try key.publicKeyDigest())
                let logger = Logger(label: "scx") { RedactedLog(label: $0, level: .info, format: .text) }
                let routes = RouteTable(
                    secretsQuestion: { Hex.text(releaser.question(at: .now)) },
                    decide: { Self.decide($0, $1, releaser, secrets, logger) })
                let server = GatewayServer(
                    options: options, routes: routes,
                    observer: ServerObserver(
                        metrics: ServerMetrics(model: "", profiles: []), logger: logger))
                try await server.run { [host] port in
                    let name = host.contains(":") ? "[\(host)]" : host
                    standardOutput(
                        """
                        scx gives secrets (\(secrets.values.keys.sorted().joined(separator: ", "))) at https://\(name):\(port)

                          scx serve --attest --secrets-from https://\(name):\(port) --secrets-key \(digest) ...

                        """)
                }
            }

            private static func decide(
                _ key: String, _ document: String, _ releaser: SecretsReleaser, _ secrets: Secrets,
                _ logger: Logger
            ) -> RouteTable.SecretsDecision {
                let failures: [Failure]
                do throws(Failures) {
                    let decision = releaser.decide(try SecretsRequest(key: key, document: document), at: .now)
                    if let answer = decision.answer, let server = decision.appraisal.server {
                        logger.notice(
                            "secrets given",
                            metadata: [
                                "names": "\(secrets.values.keys.sorted().joined(separator: ", "))",
                                "measurement": "\(Hex.text(server.evidence.evidence.measurement))",
                            ])
                        return .given(answer)
                    }
                    failures = decision.appraisal.failures
                } catch { failures = error.all }
                logger.warning(
                    "no secrets given",
                    metadata: ["failed": "\(failures.map { "\($0.check.number)" }.joined(separator: ", "))"])
                return .refused(failures.map(\.description))
            }

            /// The secrets that the options name.
            private func secrets() throws -> Secrets {
                var values: [String: [UInt8]] = [:]
                for text in secret {
                    let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                    guard parts.count == 2, !parts[1].isEmpty else {
                        throw ValidationError("'--secret \(text)' is not NAME=FILE.")
                    }
                    let (name, path) = (String(parts[0]), String(parts[1]))
                    guard values[name] == nil else {
                        throw ValidationError("'--secret \(name)=…' is given twice.")
                    }
                    let mode =
                        try? FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
                    guard let mode, let bytes = FileManager.default.contents(atPath: path) else {
                        throw ValidationError("'--secret \(name)': \(path) cannot be read.")
                    }
                    guard mode & 0o077 == 0 else {
                        throw ValidationError("'--secret \(name)': others may read \(path); 'chmod 600' it.")
                    }
                    values[name] = Array(bytes)
                }
                do { return try Secrets(values) } catch { throw ValidationError("'--secret': \(error).") }
            }
        }
    }
#endif
