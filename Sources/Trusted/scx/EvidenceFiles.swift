#if Network
    import ArgumentParser
    import Foundation
    import SCXAttestation

    /// The files that evidence is verified with, of all commands that verify.
    struct EvidenceFiles: ParsableArguments {
        @Option(
            parsing: .upToNextOption,
            help: "Certificates and revocation lists, in PEM or DER. A quote holds its own certificates.")
        var certs: [String] = []

        @Option(
            help:
                "Directory with more: .pem, .der, .crt, .cer, .crl, and Intel's TCB infos and identities as .json."
        )
        var collateral: String?

        /// Reads the files.
        func files() throws -> [Collateral.File] {
            var paths = certs
            if let collateral {
                guard let found = Collateral.paths(in: collateral) else {
                    throw ValidationError("\(collateral): cannot be read as a directory.")
                }
                paths += found
            }
            guard paths.count <= Collateral.countLimit else {
                throw ValidationError("there are more than \(Collateral.countLimit) files with certificates.")
            }
            return try paths.map { path in
                Collateral.File(name: path, bytes: try Self.read(path, limit: Collateral.fileLimit))
            }
        }

        /// Reads a file, of which one byte more than a limit at the most: what takes the bytes refuses so many by its own
        /// number.
        static func read(_ path: String, limit: Int) throws -> [UInt8] {
            guard let file = FileHandle(forReadingAtPath: path) else {
                throw ValidationError("\(path): cannot be opened.")
            }
            defer { try? file.close() }
            do { return Array(try file.read(upToCount: limit + 1) ?? Data()) } catch {
                throw ValidationError("\(path): cannot be read.")
            }
        }

        /// Reads a policy.
        static func policy(_ path: String) throws -> Policy {
            do { return try Policy(try read(path, limit: Policy.limit)) } catch let error as PolicyError {
                throw ValidationError("\(path): \(error)")
            }
        }

        /// The time that '--at' names.
        static func moment(_ text: String) throws -> Instant {
            guard let time = Instant(text) else {
                throw ValidationError("'--at \(text)' is not a time such as 2026-02-03T12:00:00Z.")
            }
            return time
        }
    }
#endif
