#if !Network
    import ArgumentParser

    /// The errors of a build without the package trait `Network`.
    enum WithoutNetwork {
        /// Makes an error of one line that says how to build a program with the missing part.
        ///
        /// - Parameter what: What was asked for, as the beginning of a sentence.
        /// - Returns: The error.
        static func error(_ what: String) -> ValidationError {
            ValidationError(
                "\(what) needs the trait 'Network', which this build left out; run: swift build -c release")
        }
    }

    /// Takes the place of `scx serve` in a build without network, and says that it is missing.
    struct ServeCommand: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "serve", abstract: "Answer OpenAI clients over HTTP. (left out of this build)")

        @Argument(parsing: .allUnrecognized, help: .hidden)
        var rest: [String] = []

        func run() throws { throw WithoutNetwork.error("'scx serve'") }
    }

    /// Takes the place of `scx keys` in a build without network, and says that it is missing.
    struct KeysCommand: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "keys",
            abstract:
                "Make and exchange the certificates of a worker on another machine. (left out of this build)")

        @Argument(parsing: .allUnrecognized, help: .hidden)
        var rest: [String] = []

        func run() throws { throw WithoutNetwork.error("'scx keys'") }
    }

    /// Takes the place of `scx attestation` in a build without network, and says that it is missing.
    struct AttestationCommand: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "attestation",
            abstract: "Check evidence of machines with encrypted memory. (left out of this build)")

        @Argument(parsing: .allUnrecognized, help: .hidden)
        var rest: [String] = []

        func run() throws { throw WithoutNetwork.error("'scx attestation'") }
    }

    /// Takes the place of `scx verify` in a build without network, and says that it is missing.
    struct VerifyCommand: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "verify",
            abstract: "Verify an attested server, and say what was checked. (left out of this build)")

        @Argument(parsing: .allUnrecognized, help: .hidden)
        var rest: [String] = []

        func run() throws { throw WithoutNetwork.error("'scx verify'") }
    }

    /// Takes the place of `scx proxy` in a build without network, and says that it is missing.
    struct ProxyCommand: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "proxy",
            abstract:
                "Be an OpenAI endpoint that sends only to a server that is verified. (left out of this build)"
        )

        @Argument(parsing: .allUnrecognized, help: .hidden)
        var rest: [String] = []

        func run() throws { throw WithoutNetwork.error("'scx proxy'") }
    }

    /// Takes the place of `scx policy` in a build without network, and says that it is missing.
    struct PolicyCommand: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "policy",
            abstract:
                "Write and explain policies: what a server's evidence must say. (left out of this build)")

        @Argument(parsing: .allUnrecognized, help: .hidden)
        var rest: [String] = []

        func run() throws { throw WithoutNetwork.error("'scx policy'") }
    }
#endif
