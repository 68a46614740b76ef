#if !Network
    import ArgumentParser

    /// What this program says where it would need what was left out of it.
    enum WithoutNetwork {
        /// An error in one line.
        ///
        /// - Parameter what: What was asked for, as the beginning of a sentence.
        /// - Returns: An error that says how to build a program that has it.
        static func error(_ what: String) -> ValidationError {
            ValidationError(
                "\(what) needs the trait 'Network', which this build left out; run: swift build -c release")
        }
    }

    /// Stands where `scx serve` would be.
    struct ServeCommand: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "serve", abstract: "Answer OpenAI clients over HTTP. (left out of this build)")

        @Argument(parsing: .allUnrecognized, help: .hidden)
        var rest: [String] = []

        func run() throws { throw WithoutNetwork.error("'scx serve'") }
    }

    /// Stands where `scx keys` would be.
    struct KeysCommand: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "keys",
            abstract:
                "Make and exchange the certificates of a worker on another machine. (left out of this build)")

        @Argument(parsing: .allUnrecognized, help: .hidden)
        var rest: [String] = []

        func run() throws { throw WithoutNetwork.error("'scx keys'") }
    }
#endif
