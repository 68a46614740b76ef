import ArgumentParser
import SCXLink

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

struct LinkBenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "link-bench", abstract: "Measure the same-host transports between two processes.",
        discussion: """
            'In turn' has one message follow the other; 'after a pause' has both processes asleep when it begins. One way \
            counts the time until the last byte is acknowledged.
            """)

    @Option(help: "Bytes of a shared ring: a power of two from 4096 to 16777216.")
    var ring = SharedMemoryStream.defaultRingBytes

    func validate() throws {
        guard (4096...(1 << 24)).contains(ring), ring.nonzeroBitCount == 1 else {
            throw ValidationError("'--ring \(ring)' is not a power of two from 4096 to 16777216.")
        }
    }

    func run() throws {
        try measure(ringBytes: nil)
        if SharedMemoryStream.isAvailable { try measure(ringBytes: ring) }
    }

    /// Measures a stream to another process that echoes: on the socket, or through shared memory.
    private func measure(ringBytes: Int?) throws {
        let directory = "/tmp/scx-lab-\(getpid())"
        guard unsafe mkdir(directory, 0o700) == 0 else { throw ValidationError("cannot make \(directory)") }
        defer { unsafe rmdir(directory) }
        let listener = try UnixListener(path: "\(directory)/link")
        defer { listener.close() }
        let echo = try spawn(["link-bench-echo", listener.path, String(ringBytes ?? 0)])
        defer {
            kill(echo, SIGTERM)  // It has ended, unless something failed.
            waitpid(echo, nil, 0)
        }
        let socket = try listener.accept(before: Deadline(after: .seconds(10)))
        let stream = ringBytes == nil ? socket : try SharedMemoryStream.accept(upgrading: socket)
        defer { stream.close() }
        try LinkBench(stream: stream).report(ringBytes == nil ? "socket" : "shared memory")
    }

    /// Starts this program another time.
    private func spawn(_ arguments: [String]) throws -> pid_t {
        #if os(Linux)
            let program = "/proc/self/exe"
        #else
            let program = CommandLine.arguments[0]
        #endif
        var words: [UnsafeMutablePointer<CChar>?] = unsafe []
        for word in ["scx-lab"] + arguments { unsafe words.append(strdup(word)) }
        defer { unsafe words.forEach { unsafe free($0) } }
        unsafe words.append(nil)
        var process = pid_t()
        let code = unsafe posix_spawn(&process, program, nil, nil, words, environ)
        guard code == 0 else { throw ValidationError("cannot start \(program) again: error \(code)") }
        return process
    }
}

/// The process at the other end of `link-bench`.
struct LinkBenchEchoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "link-bench-echo", abstract: "The other process of link-bench.", shouldDisplay: false)

    @Argument var path: String
    @Argument var ring: Int

    func run() throws {
        let socket = try UnixSocket.connect(path: path, before: Deadline(after: .seconds(10)))
        let stream: any ByteStream =
            ring == 0 ? socket : try SharedMemoryStream.upgrade(socket, ringBytes: ring)
        LinkBench(stream: stream).serve()
    }
}
