import Foundation
package import SCXInference
package import SCXLink
import Synchronization

extension RemoteLink {
    /// Makes a link to a worker process that this program starts: the `scx-worker` beside this program.
    ///
    /// - Parameters:
    ///   - checkpoint: The model that it serves.
    ///   - arguments: Further arguments for the worker, besides model and socket.
    /// - Throws: ``LinkError/unreachable(_:)`` when its private directory cannot be made.
    package convenience init(ownWorkerFor checkpoint: Checkpoint, arguments: [String]) throws(LinkError) {
        self.init(to: try WorkerProcess(servingFrom: checkpoint, arguments: arguments), checkpoint)
    }

    /// Makes a link to a worker process of this program that other links may use too.
    ///
    /// - Parameters:
    ///   - worker: The process.
    ///   - checkpoint: The model that it serves.
    ///   - owners: Where it is recorded as a main worker.
    package convenience init(
        to worker: WorkerProcess, _ checkpoint: Checkpoint, owners: OwnerSeparation = OwnerSeparation()
    ) {
        self.init(
            digest: checkpoint.digest(), model: checkpoint.configuration, patience: .ownProcess,
            connect: owners.guarding(.worker, name: WorkerProcess.name) { deadline throws(LinkError) in
                try worker.connect(before: deadline)
            })
    }
}

extension WorkerProcess {
    /// Describes the process of the `scx-worker` beside this program, for a model.
    package convenience init(servingFrom checkpoint: Checkpoint, arguments: [String]) throws(LinkError) {
        try self.init(
            program: "\(executableFolder())/scx-worker",
            arguments: ["--model", checkpoint.directory] + arguments)
    }
}

/// The folder of this program's executable.
package func executableFolder() -> String {
    #if os(Linux)
        let link = "/proc/self/exe"
    #else
        guard let link = Bundle.main.executablePath else { return "" }
    #endif
    guard let path = unsafe realpath(link, nil) else { return "" }
    defer { unsafe free(path) }
    let name = unsafe String(cString: path)
    return name.lastIndex(of: "/").map { String(name[..<$0]) } ?? ""
}

/// A worker process that this program starts on a private socket, and that ends when this program ends.
///
/// The worker reads its standard input, a pipe whose other end only this process holds. When this process ends, in
/// whatever way, the pipe closes and the worker ends too. A worker that has died is started again by ``start()``.
package final class WorkerProcess: Sendable {
    private let program: String
    private let arguments: [String]
    /// The directory of the socket, which only its owner can enter.
    private let directory: String
    private let running = Mutex<Running?>(nil)

    private struct Running: @unchecked Sendable {
        let process: Process
        let input: Pipe
        var hasServed = false
    }

    /// The name of this worker in messages to the user.
    package static let name = "own process"

    /// The path of the worker's socket.
    package var socket: String { "\(directory)/worker.sock" }

    /// Makes the private directory; does not start the worker yet.
    ///
    /// - Parameters:
    ///   - program: The path of `scx-worker`.
    ///   - arguments: Its arguments, without the socket.
    /// - Throws: ``LinkError/unreachable(_:)`` when the directory cannot be made.
    package init(program: String, arguments: [String]) throws(LinkError) {
        self.program = program
        self.arguments = arguments
        var template = Array("\(NSTemporaryDirectory())/scx-XXXXXX".utf8CString)
        // mkdtemp makes it with mode 0700.
        guard unsafe mkdtemp(&template) != nil else {
            throw .unreachable("cannot make a private directory in \(NSTemporaryDirectory())")
        }
        directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Connects to the worker; starts it first if it does not run.
    ///
    /// - Throws: ``LinkError/disconnected(_:)`` while it loads its model, ``LinkError/unreachable(_:)`` when it
    ///   cannot be started or has ended before it could serve.
    package func connect(before deadline: Deadline) throws(LinkError) -> any ByteStream {
        try start()
        let stream = try SharedMemoryStream.connect(path: socket, before: deadline)
        running.withLock { $0?.hasServed = true }
        return stream
    }

    private func start() throws(LinkError) {
        try running.withLock { running throws(LinkError) in
            if let running {
                if running.process.isRunning { return }
                // A worker that ended by itself, for example because a file is missing, would end again. One that was
                // killed may not.
                guard running.hasServed || running.process.terminationReason == .uncaughtSignal else {
                    throw .unreachable("\(program) ended before it could serve")
                }
            }
            let process = Process()
            let input = Pipe()
            process.executableURL = URL(filePath: program)
            process.arguments = arguments + ["--listen", "unix:\(socket)", "--end-with-input"]
            process.standardInput = input
            do { try process.run() } catch {
                throw .unreachable("cannot start \(program)")
            }
            running = Running(process: process, input: input)
        }
    }

    /// The worker's process number, for tests.
    package var processIdentifier: Int32? { running.withLock { $0?.process.processIdentifier } }

    deinit {
        running.withLock { running in
            try? running?.input.fileHandleForWriting.close()
            running?.process.terminate()
        }
        try? FileManager.default.removeItem(atPath: directory)
    }
}
