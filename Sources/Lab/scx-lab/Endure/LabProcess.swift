import SCXProfiles
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A program that is started, killed and started again.
///
/// What it prints goes to a file. Its standard input is a pipe whose other end this process holds, so that a worker
/// ends together with this process. Foundation's `Process` is not used, because it notices an end by a descriptor
/// that children which are started later keep open.
final class LabProcess: Sendable {
    let name: String
    private let program: String
    private let arguments: [String]
    private let environment: [String: String]
    private let log: String
    private let running = Mutex<Running?>(nil)
    private let ended = Mutex<Int32>(-1)

    private struct Running {
        let number: pid_t
        /// This process's end of the pipe to its standard input.
        let input: Int32
    }

    /// Why a program cannot be started.
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// Describes a program; does not start it.
    ///
    /// - Parameters:
    ///   - name: Its name in reports, and that of its log.
    ///   - program: Its absolute path, or its file name in this program's folder.
    ///   - arguments: Its arguments.
    ///   - environment: Variables that are added to this process's.
    ///   - folder: Where its log is written.
    init(
        _ name: String, program: String, arguments: [String], environment: [String: String] = [:],
        logs folder: String
    ) {
        self.name = name
        self.program = program.hasPrefix("/") ? program : "\(executableFolder())/\(program)"
        self.arguments = arguments
        self.environment = environment
        log = "\(folder)/\(name).log"
    }

    deinit { kill() }

    /// Its process number; nil while it does not run.
    var number: Int32? {
        running.withLock { running in
            guard let current = running else { return nil }
            var status: Int32 = 0
            guard unsafe waitpid(current.number, &status, WNOHANG) == 0 else {
                ended.withLock { $0 = Self.exitStatus(status) }
                close(current.input)
                running = nil
                return nil
            }
            return current.number
        }
    }

    /// Starts it unless it runs.
    ///
    /// - Throws: ``Failure`` when the program or the log's folder is not there.
    func start() throws(Failure) {
        guard number == nil else { return }
        let new = try spawn()
        running.withLock { $0 = new }
    }

    private func spawn() throws(Failure) -> Running {
        let output = unsafe open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard output >= 0 else { throw Failure(description: "'\(log)' cannot be written") }
        defer { close(output) }
        var ends: [Int32] = [-1, -1]
        guard unsafe pipe(&ends) == 0 else { throw Failure(description: "no pipe is left") }
        // The child gets its end of the pipe as standard input; no other child must get either end.
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        #if canImport(Darwin)
            var actions: posix_spawn_file_actions_t?
            var attributes: posix_spawnattr_t?
        #else
            var actions = unsafe posix_spawn_file_actions_t()
            var attributes = posix_spawnattr_t()
        #endif
        unsafe posix_spawn_file_actions_init(&actions)
        unsafe posix_spawnattr_init(&attributes)
        defer {
            unsafe posix_spawn_file_actions_destroy(&actions)
            unsafe posix_spawnattr_destroy(&attributes)
        }
        // Threads of libraries block signals, and children would inherit that.
        var none = sigset_t()
        unsafe sigemptyset(&none)
        unsafe posix_spawnattr_setsigmask(&attributes, &none)
        unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        for (from, to) in [(ends[0], 0), (output, 1), (output, 2)] as [(Int32, Int32)] {
            unsafe posix_spawn_file_actions_adddup2(&actions, from, to)
        }
        var number = pid_t()
        let code = unsafe Self.withStrings([program] + arguments) { words in
            unsafe Self.withStrings(variables) { variables in
                unsafe posix_spawn(&number, program, &actions, &attributes, words, variables)
            }
        }
        close(ends[0])
        guard code == 0 else {
            close(ends[1])
            throw Failure(description: "cannot start '\(program)': \(unsafe String(cString: strerror(code)))")
        }
        return Running(number: number, input: ends[1])
    }

    /// The environment of the child.
    private var variables: [String] {
        var variables: [String] = []
        var next = unsafe environ
        while let variable = unsafe next.pointee {
            let text = unsafe String(cString: variable)
            if !environment.keys.contains(where: { text.hasPrefix("\($0)=") }) { variables.append(text) }
            unsafe next += 1
        }
        return variables + environment.map { "\($0.key)=\($0.value)" }
    }

    /// Calls `body` with strings as the list of pointers that C expects.
    @unsafe private static func withStrings<Result>(
        _ strings: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Result
    ) -> Result {
        var pointers: [UnsafeMutablePointer<CChar>?] = unsafe strings.map { unsafe strdup($0) }
        defer { unsafe pointers.forEach { unsafe free($0) } }
        unsafe pointers.append(nil)
        return unsafe pointers.withUnsafeMutableBufferPointer { list in
            guard let start = list.baseAddress else { preconditionFailure("LabProcess: an empty list") }
            return unsafe body(start)
        }
    }

    /// Kills it at once (SIGKILL).
    ///
    /// - Returns: False when it did not run.
    @discardableResult
    func kill() -> Bool { end(SIGKILL) }

    /// Asks it to end (SIGTERM), and waits until it has ended.
    @discardableResult
    func terminate() -> Bool { end(SIGTERM) }

    private func end(_ signal: Int32) -> Bool {
        guard number != nil, let current = running.withLock({ $0.take() }) else { return false }
        #if canImport(Glibc)
            let isSent = Glibc.kill(current.number, signal) == 0
        #elseif canImport(Musl)
            let isSent = Musl.kill(current.number, signal) == 0
        #else
            let isSent = Darwin.kill(current.number, signal) == 0
        #endif
        // It is this process's child and nobody has waited for it yet, so no other process can have its number.
        _ = waitpid(current.number, nil, 0)
        close(current.input)
        return isSent
    }

    /// Waits until it has ended by itself.
    ///
    /// - Returns: Its exit status; -1 when it did not run, or was killed.
    func wait() -> Int32 {
        guard let current = running.withLock({ $0.take() }) else { return -1 }
        var status: Int32 = 0
        defer { close(current.input) }
        guard unsafe waitpid(current.number, &status, 0) == current.number else { return -1 }
        return Self.exitStatus(status)
    }

    /// The exit status of the process that ``number`` found ended; -1 when it was killed, or none ended by itself.
    var status: Int32 { ended.withLock { $0 } }

    private static func exitStatus(_ status: Int32) -> Int32 { status & 0x7f == 0 ? status >> 8 & 0xff : -1 }

    /// The last lines of what it printed.
    var lastLines: String {
        let file = unsafe open(log, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return "" }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let size = lseek(file, 0, SEEK_END)
        lseek(file, max(0, size - off_t(bytes.count)), SEEK_SET)
        let count = unsafe read(file, &bytes, bytes.count)
        let text = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
        return text.split(separator: "\n").suffix(3).joined(separator: " | ")
    }
}
