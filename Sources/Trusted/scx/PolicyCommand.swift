#if Network
    import ArgumentParser
    import Foundation
    import SCXAttestation

    struct PolicyCommand: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "policy",
            abstract: "Write and explain policies: what a server's evidence must say.",
            discussion: "A policy is a file in JSON, whose keys docs/attestation.md lists.",
            subcommands: [New.self, Show.self])

        struct New: ParsableCommand {
            static let configuration = CommandConfiguration(
                commandName: "new",
                abstract: "Write a policy from values, or from evidence that is verified.",
                discussion: """
                    '--from-evidence' takes over the measurements of a report or a quote, and its versions as the oldest that \
                    are accepted, where it verifies with '--certs' and '--collateral' and is not in debug mode.
                    """)

            @Option(
                help:
                    "The kind of evidence: snp or tdx. May be given twice; that of the evidence if left out.")
            var kind: [PolicyDraft.Kind] = []

            @Option(
                parsing: .upToNextOption,
                help:
                    "Launch measurements that are allowed, of 48 bytes in base 16; 'scx attestation measure' makes them."
            )
            var measurement: [String] = []

            @Option(help: "A report or a quote whose measurements and versions are taken over.")
            var fromEvidence: String?

            @OptionGroup var files: EvidenceFiles

            @Option(help: "Verify that evidence as of this time (now if left out).")
            var at: String?

            @Option(
                help: "A profile in which the server may answer, such as sealed. May be given several times.")
            var profile: [String] = []

            @Option(
                help: "The address of a worker that the server may use. May be given several times.")
            var worker: [String] = []

            @Option(
                help:
                    "The address of a peer that may prepare pads for the server. May be given several times. (none, where workers are named)"
            )
            var peer: [String] = []

            @Flag(help: "The server may use no worker but a process of its own.")
            var noWorkers = false

            @Option(help: "SHA-256 of the model's files in base 16. May be given several times.")
            var modelDigest: [String] = []

            @Option(help: "The revision from which the server is built. May be given several times.")
            var revision: [String] = []

            @Option(
                help: "Write the policy to this file, which must not be there. (default: standard output)")
            var out: String?

            func validate() throws {
                guard !kind.isEmpty || fromEvidence != nil else {
                    throw ValidationError("give '--kind', or '--from-evidence'.")
                }
                for text in measurement where Hex.bytes(text)?.count != 48 {
                    throw ValidationError("'--measurement \(text)' is not 48 bytes in base 16.")
                }
                for text in modelDigest where Hex.bytes(text)?.count != 32 {
                    throw ValidationError("'--model-digest \(text)' is not 32 bytes in base 16.")
                }
                guard worker.isEmpty || !noWorkers else {
                    throw ValidationError("'--worker' and '--no-workers' contradict each other.")
                }
            }

            func run() throws {
                var draft = PolicyDraft(kinds: kind)
                if let evidence = try fromEvidence.map(verified) {
                    let own: PolicyDraft.Kind = if case .snp = evidence { .snp } else { .tdx }
                    guard kind.isEmpty || kind.contains(own) else {
                        throw ValidationError(
                            "'--kind' does not name \(own.rawValue), of which the evidence is.")
                    }
                    draft.takeOver(evidence)
                }
                draft.allow(measurements: measurement.compactMap { Hex.bytes($0) })
                draft.require(
                    profiles: profile, workers: noWorkers ? [] : worker.isEmpty ? nil : worker, peers: peer,
                    models: modelDigest.map { $0.lowercased() }, revisions: revision)
                let json: String
                do { json = try draft.json() } catch { throw ValidationError("\(error)") }
                try write(json + "\n")
                for line in PolicySummary(try Policy(Array(json.utf8))).open {
                    standardError("note: \(line)")
                }
            }

            private func verified(_ path: String) throws -> VerifiedEvidence {
                let bytes = try EvidenceFiles.read(path, limit: UnverifiedEvidence.limit)
                let time = try at.map(EvidenceFiles.moment) ?? .now
                var seen = SeenEvidence()
                let appraisal: Appraisal
                do {
                    appraisal = Appraisal(
                        bytes, with: try Collateral(try files.files()), at: time, seen: &seen)
                } catch let error as Failures {
                    throw refusal(path, error.all)
                }
                guard let accepted = appraisal.accepted else { throw refusal(path, appraisal.failures) }
                return accepted.evidence
            }

            private func refusal(_ path: String, _ failures: [Failure]) -> any Error {
                standardError("\(path): the evidence is not accepted, so that nothing is taken over:")
                for failure in failures { standardError("  \(failure)") }
                return ExitCode(1)
            }

            private func write(_ text: String) throws {
                guard let out else { return standardOutput(text) }
                do {
                    try Data(text.utf8).write(to: URL(filePath: out), options: .withoutOverwriting)
                } catch {
                    throw ValidationError("'--out \(out)': the file is there already, or cannot be written.")
                }
            }
        }

        struct Show: ParsableCommand {
            static let configuration = CommandConfiguration(
                commandName: "show", abstract: "Say in words what a policy demands, and what it leaves open.")

            @Argument(help: "The policy.")
            var file: String

            func run() throws {
                let summary = PolicySummary(try EvidenceFiles.policy(file))
                for line in summary.demands { print("demands  \(line)") }
                for line in summary.open { print("open     \(line)") }
            }
        }
    }

    extension PolicyDraft.Kind: ExpressibleByArgument {}
#endif
