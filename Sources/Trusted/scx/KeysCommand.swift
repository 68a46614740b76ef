#if Network
    import ArgumentParser
    import Foundation
    import SCXCertificates

    struct KeysCommand: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "keys",
            abstract: "Make and exchange certificates of workers, and give secrets to attested servers.",
            discussion: """
                On each of the two machines run 'scx keys new --out DIR', carry each cert.pem (never key.pem) to the \
                other machine, compare the fingerprints, and run 'scx keys trust CERT --in DIR' there. Then each side \
                takes exactly the other's certificate, whatever host name or authority it claims.
                """,
            subcommands: [New.self, Show.self, Trust.self, Release.self])

        struct New: ParsableCommand {
            static let configuration = CommandConfiguration(
                commandName: "new", abstract: "Make a private key and its certificate.")

            @Option(help: "Directory for key.pem, which stays secret, and cert.pem, which is for the peers.")
            var out: String

            @Option(help: "Whom the certificate names (this machine's name if left out).")
            var name: String?

            @Option(help: "Host name or address that it is for; may be given more than once.")
            var host: [String] = []

            @Option(help: "Days until it expires.")
            var days = 365

            @Flag(help: "Overwrite the key that is there. Peers that trust the old one must be told.")
            var force = false

            func validate() throws {
                guard (1...3650).contains(days) else {
                    throw ValidationError("'--days \(days)' is not between 1 and 3650.")
                }
            }

            func run() throws {
                let directory = KeyDirectory(out)
                let name = name ?? String(ProcessInfo.processInfo.hostName.prefix(64))
                try directory.save(KeyPair(name: name, hosts: host, days: days), replacing: force)
                try show(directory.certificate)
                print(
                    "\nGive \(directory.certificate) to the other side. \(directory.key) never leaves this machine."
                )
            }
        }

        struct Show: ParsableCommand {
            static let configuration = CommandConfiguration(
                commandName: "show",
                abstract: "Print whom certificates name, their dates and their fingerprints."
            )

            @Argument(help: "PEM files with certificates.")
            var files: [String]

            func run() throws {
                for (number, file) in files.enumerated() {
                    if number > 0 { print() }
                    try show(file)
                }
            }
        }

        struct Trust: ParsableCommand {
            static let configuration = CommandConfiguration(
                commandName: "trust",
                abstract: "Trust a peer's certificate.",
                discussion: "Compare the fingerprint with what 'scx keys show' prints on the peer's machine.")

            @Argument(help: "The peer's cert.pem.")
            var certificate: String

            @Option(
                name: .customLong("in"),
                help: "Directory that 'scx keys new' made; trusted.pem is kept in it.")
            var directory: String

            func run() throws {
                let directory = KeyDirectory(directory)
                for (certificate, isNew) in try directory.trust(certificate) {
                    print("file         \(directory.trusted)\(isNew ? "" : " (was there already)")")
                    print(certificate)
                }
            }
        }
    }

    /// Prints the certificates that a file holds.
    private func show(_ file: String) throws {
        for certificate in try KeyDirectory.certificates(file) {
            print("file         \(file)")
            print(certificate)
        }
    }
#endif
