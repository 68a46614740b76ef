public import ArgumentParser
import Foundation

/// An option that a command does not have.
///
/// ArgumentParser tells of a missing value or of values that do not go together before it tells of an unknown option, so
/// that a misspelled option is reported as a missing one. ``parseAsRoot(_:of:)`` reports the misspelled one.
public struct UnknownOption: Error, CustomStringConvertible {
    /// As it was written, such as `--promt`.
    public let option: String
    /// The command and its subcommands, such as `scx generate`.
    public let command: String

    public var description: String {
        "Unknown option '\(option)'\n  See '\(command) --help' for more information."
    }

    /// Parses a command line.
    ///
    /// - Parameters:
    ///   - arguments: Without the program's name; nil for those of this process.
    ///   - root: The program's command.
    /// - Returns: The command that the arguments name, with its options.
    /// - Throws: ``UnknownOption`` where there is one, and otherwise ArgumentParser's error.
    public static func parseAsRoot(
        _ arguments: [String]? = nil, of root: any ParsableCommand.Type
    ) throws -> any ParsableCommand {
        do { return try root.parseAsRoot(arguments) } catch {
            guard root.exitCode(for: error) == .validationFailure,
                let unknown = first(in: arguments ?? Array(CommandLine.arguments.dropFirst()), of: root)
            else { throw error }
            throw unknown
        }
    }

    /// Runs a program: parses the command line of this process, runs the command, and ends with a message where that fails.
    ///
    /// - Parameter root: The program's command.
    public static func main(_ root: any ParsableCommand.Type) {
        do {
            var command = try parseAsRoot(of: root)
            try command.run()
        } catch {
            guard let message = Self.message(of: error) else { root.exit(withError: error) }
            FileHandle.standardError.write(Data((message + "\n").utf8))
            root.exit(withError: ExitCode.validationFailure)
        }
    }

    /// What is said of an error beside which the usage of the program itself would say nothing.
    ///
    /// - Parameter error: What ``parseAsRoot(_:of:)`` or a command that runs threw.
    /// - Returns: The message for an unknown option and for a `ValidationError` of a running command; nil for all else.
    public static func message(of error: any Error) -> String? {
        switch error {
        case let error as UnknownOption: "Error: \(error)"
        case let error as ValidationError: "Error: \(error.message)"
        default: nil
        }
    }

    // MARK: Finding it

    /// What ArgumentParser says of a command and those below it.
    private struct Command: Decodable {
        let commandName: String
        let arguments: [Argument]?
        let subcommands: [Command]?
    }

    private struct Argument: Decodable {
        let names: [Name]?
    }

    private struct Name: Decodable {
        let name: String
    }

    private struct Dump: Decodable {
        let command: Command
    }

    /// Options that the parser knows without a command's declaring them.
    private static let general: Set<String> = [
        "help", "version", "generate-completion-script", "experimental-dump-help",
    ]

    /// The first option that the command named by the arguments does not have.
    private static func first(
        in arguments: [String], of root: any ParsableCommand.Type
    ) -> UnknownOption? {
        guard let dump = try? JSONDecoder().decode(Dump.self, from: Data(root._dumpHelp().utf8)) else {
            return nil
        }
        var command = dump.command
        var path = command.commandName
        var rest = arguments[...]
        while let name = rest.first, let next = command.subcommands?.first(where: { $0.commandName == name })
        {
            (command, path) = (next, path + " " + name)
            rest = rest.dropFirst()
        }
        // Hidden commands are not among those that are known here.
        if let name = rest.first, !name.hasPrefix("-"), command.subcommands?.isEmpty == false { return nil }
        let known = general.union((command.arguments ?? []).flatMap { $0.names ?? [] }.map(\.name))
        let options = rest.prefix { $0 != "--" }.filter { $0.hasPrefix("--") }
        let unknown = options.first { !known.contains(String($0.dropFirst(2).prefix { $0 != "=" })) }
        return unknown.map { UnknownOption(option: String($0.prefix { $0 != "=" }), command: path) }
    }
}
