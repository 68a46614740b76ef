import ArgumentParser
import CSCXSystem
import Foundation

/// Replaces itself with another program, which the system kills when the process that started this command ends, even
/// by SIGKILL (Linux only).
///
/// Only a process itself can ask the system for this, so the laboratory starts its servers through this command.
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
