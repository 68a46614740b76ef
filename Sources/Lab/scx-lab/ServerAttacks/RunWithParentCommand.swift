import ArgumentParser
import CSCXSystem
import Foundation

/// Becomes another program that the system kills when this program's parent ends, however that ends (Linux).
///
/// The laboratory starts its servers by this command, since a child has to ask for it by itself.
struct RunWithParentCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run-with-parent", abstract: "Run a program that ends with this program's parent.",
        shouldDisplay: false)

    @Argument(help: "The parent's process number.")
    var parent: Int32

    @Argument(parsing: .captureForPassthrough, help: "The program and its arguments.")
    var command: [String]

    func run() throws {
        guard let program = command.first else { throw ValidationError("give a program.") }
        #if os(Linux)
            guard cscx_die_with_parent(parent) == 0 else {
                throw ValidationError("process \(parent), which was to be the parent, has ended.")
            }
        #endif
        var words: [UnsafeMutablePointer<CChar>?] = unsafe command.map { unsafe strdup($0) }
        unsafe words.append(nil)
        unsafe execv(program, &words)
        throw ValidationError("cannot run '\(program)': \(unsafe String(cString: strerror(errno))).")
    }
}
