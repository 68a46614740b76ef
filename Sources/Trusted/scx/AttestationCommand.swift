#if Network
    import ArgumentParser
    import Foundation
    import SCXAttestation

    struct AttestationCommand: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "attestation",
            abstract: "Check evidence of machines with encrypted memory (SEV-SNP, TDX), on files alone.",
            discussion: """
                Everything that a check needs comes from files: nothing is fetched. docs/attestation.md lists the checks \
                with their numbers, and says what evidence proves and what it does not.
                """,
            subcommands: [Check.self, Measure.self])

        struct Check: ParsableCommand {
            static let configuration = CommandConfiguration(
                commandName: "check",
                abstract: "Decide over a SEV-SNP report or a TDX quote.",
                discussion: """
                    The exit status is 0 where everything holds, and 1 with a numbered line for each check that does not.
                    """)

            @Option(help: "The report, alone or with its table of certificates, or the quote.")
            var evidence: String

            @OptionGroup var files: EvidenceFiles

            @Option(
                help: "Check as of this time, such as 2026-02-03 or 2026-02-03T12:00:00Z (now if left out).")
            var at: String?

            @Option(help: "Policy in JSON; see docs/attestation.md.")
            var policy: String?

            @Option(help: "What the report data must be, in base 16; zeros are added up to 64 bytes.")
            var reportData: String?

            @Option(
                help:
                    "File with digests of evidence that was accepted before; gets this one where it is accepted."
            )
            var seen: String?

            @Flag(help: "Print the decision as JSON.")
            var json = false

            func run() throws {
                let time = try at.map(EvidenceFiles.moment) ?? .now
                var policy = try self.policy.map(EvidenceFiles.policy) ?? .standard
                if let reportData {
                    guard let bytes = Hex.bytes(reportData), let padded = Policy.padded(bytes) else {
                        throw ValidationError("'--report-data' is not 1 to 64 bytes in base 16.")
                    }
                    policy.reportData = padded
                }
                let bytes = try EvidenceFiles.read(evidence, limit: UnverifiedEvidence.limit)
                let memory = try seen.map(seenFile)
                var known = memory?.evidence ?? SeenEvidence()
                let collateral: Collateral
                do { collateral = try Collateral(try files.files()) } catch let error as Failures {
                    try report(AppraisalReport(failures: error.all, at: time))
                    return
                }
                let appraisal = Appraisal(bytes, with: collateral, policy: policy, at: time, seen: &known)
                if let accepted = appraisal.accepted {
                    do { try memory?.append(accepted.evidence.digest) } catch {
                        throw ValidationError("\(error)")
                    }
                }
                try report(AppraisalReport(appraisal, policy: policy, at: time))
            }

            private func report(_ report: AppraisalReport) throws {
                print(json ? try report.json() : report.text)
                if !report.accepted { throw ExitCode(1) }
            }

            private func seenFile(_ path: String) throws -> SeenFile {
                do { return try SeenFile(path) } catch {
                    throw ValidationError("\(error)")
                }
            }
        }

        struct Measure: ParsableCommand {
            static let configuration = CommandConfiguration(
                commandName: "measure",
                abstract: "Compute the launch measurement of a SEV-SNP guest that QEMU starts.")

            @Option(help: "The firmware, such as OVMF.amdsev.fd.")
            var firmware: String

            @Option(help: "The measurement of the firmware's own pages, where the file holds only its end.")
            var firmwareDigest: String?

            @Flag(help: "Print the measurement of the firmware's own pages alone.")
            var firmwareOnly = false

            @Option(help: "Kernel that is booted directly (with kernel-hashes=on).")
            var kernel: String?

            @Option(help: "Initial file system for the kernel.")
            var initrd: String?

            @Option(help: "The kernel's command line.")
            var append: String?

            @Option(help: "Number of virtual processors.")
            var vcpus = 1

            @Option(help: "Their kind as QEMU calls it, such as EPYC-v4.")
            var vcpuType: String?

            @Option(
                help: "Their family, model and stepping as CPUID function 1 gives them in EAX, in base 16.")
            var vcpuSignature: String?

            @Option(help: "The guest's SEV features, in base 16; bit 0 is SEV-SNP.")
            var guestFeatures = "1"

            func run() throws {
                let file = try EvidenceFiles.read(firmware, limit: Firmware.limit)
                do {
                    let image = try Firmware(file)
                    if firmwareOnly {
                        print(Hex.text(LaunchMeasurement.ofFirmware(image).digest))
                        return
                    }
                    let measurement = try LaunchMeasurement(
                        firmware: image, firmwareDigest: try digest(), kernel: try hashes(),
                        processors: vcpus,
                        processor: try processor(), features: try number(guestFeatures, "--guest-features"))
                    print(Hex.text(measurement.digest))
                } catch let error as MeasurementError {
                    throw ValidationError("\(firmware): \(error)")
                }
            }

            private func digest() throws -> [UInt8]? {
                guard let firmwareDigest else { return nil }
                guard let bytes = Hex.bytes(firmwareDigest), bytes.count == 48 else {
                    throw ValidationError("'--firmware-digest' is not 48 bytes in base 16.")
                }
                return bytes
            }

            private func hashes() throws -> LaunchMeasurement.Kernel? {
                guard let kernel else {
                    guard initrd == nil, append == nil else {
                        throw ValidationError("'--initrd' and '--append' need '--kernel'.")
                    }
                    return nil
                }
                return LaunchMeasurement.Kernel(
                    kernel: try digest(of: kernel), initrd: try digest(of: initrd), commandLine: append ?? "")
            }

            private func processor() throws -> ProcessorKind {
                if let vcpuSignature {
                    guard vcpuType == nil else {
                        throw ValidationError(
                            "'--vcpu-type' and '--vcpu-signature' say the same thing; give one.")
                    }
                    let value = try number(vcpuSignature, "--vcpu-signature")
                    guard let signature = UInt32(exactly: value) else {
                        throw ValidationError("'--vcpu-signature' has more than 32 bits.")
                    }
                    return ProcessorKind(signature: signature)
                }
                guard let vcpuType else {
                    throw ValidationError("give '--vcpu-type' or '--vcpu-signature'.")
                }
                guard let kind = ProcessorKind(name: vcpuType) else {
                    throw ValidationError(
                        "'--vcpu-type \(vcpuType)' is not one of \(ProcessorKind.names.joined(separator: ", "))."
                    )
                }
                return kind
            }

            private func number(_ text: String, _ option: String) throws -> UInt64 {
                guard let value = UInt64(text.hasPrefix("0x") ? String(text.dropFirst(2)) : text, radix: 16)
                else {
                    throw ValidationError("'\(option) \(text)' is not a number in base 16.")
                }
                return value
            }

            /// SHA-256 of a file of any size, of no bytes where there is none.
            private func digest(of path: String?) throws -> [UInt8] {
                var hash = LaunchMeasurement.FileHash()
                if let path {
                    guard let file = FileHandle(forReadingAtPath: path) else {
                        throw ValidationError("\(path): cannot be opened.")
                    }
                    defer { try? file.close() }
                    while let part = try file.read(upToCount: 1 << 20), !part.isEmpty { hash.update(part) }
                }
                return hash.finish()
            }
        }
    }
#endif
