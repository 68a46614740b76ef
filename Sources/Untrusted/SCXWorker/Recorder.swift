public import SCXLink
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Records everything that a worker receives and sends; see `docs/transcript.md`.
///
/// It writes a tensor before the line that names it, and each line by one system call. So when the worker dies, the
/// transcript ends early but everything in it is right. It does not force the files to the disk, so the end may be
/// lost when the machine loses power. When writing fails, for example because the disk is full, recording ends with
/// one clear warning, and the worker goes on serving, so that its clients are not affected.
public final class Recorder: Sendable {
    private let directory: String
    private let warn: @Sendable (TranscriptError) -> Void
    private let start = ContinuousClock.now
    private let state: Mutex<State>

    fileprivate struct State: ~Copyable {
        let lines: OwnedDescriptor
        let tensors: OwnedDescriptor
        /// Bytes of `transcript.jsonl` up to the end of its last whole line.
        var lineBytes: Int
        /// Bytes of `transcript.bin`.
        var tensorBytes: Int
        var failure: TranscriptError?
    }

    /// Begins a run in a directory; makes the directory if it is not there, and continues a transcript that is.
    ///
    /// - Parameters:
    ///   - directory: Where to write, readable by this program's user alone.
    ///   - warn: Called once, from any thread, if recording fails later.
    /// - Throws: ``TranscriptError`` when the directory cannot be written, or another worker is recording there.
    public init(
        directory: String, warn: @escaping @Sendable (TranscriptError) -> Void = Recorder.print
    ) throws(TranscriptError) {
        self.directory = directory
        self.warn = warn
        guard unsafe mkdir(directory, 0o700) == 0 || errno == EEXIST else {
            throw .system(directory, "make this directory")
        }
        let lines = try OwnedDescriptor("\(directory)/transcript.jsonl")
        guard flock(lines.number, LOCK_EX | LOCK_NB) == 0 else {
            throw .file(
                path: directory, action: "record into it", reason: "another worker is recording there")
        }
        let tensors = try OwnedDescriptor("\(directory)/transcript.bin")
        let (lineBytes, tensorBytes) = (try lines.wholeLines(), tensors.size)
        var state = State(lines: lines, tensors: tensors, lineBytes: lineBytes, tensorBytes: tensorBytes)
        // The line that an earlier worker was writing when it died. Readers ignore it, but the next line must not
        // continue it.
        guard ftruncate(state.lines.number, state.lineBytes) == 0 else {
            throw .system(state.lines.path, "cut off its incomplete last line")
        }
        var now = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &now)
        let start = Transcript.Start(
            unixMicroseconds: now.tv_sec * 1_000_000 + now.tv_nsec / 1000, offset: state.tensorBytes)
        try state.append(start.line)
        self.state = Mutex(state)
    }

    /// Why recording has ended; nil while it goes on.
    public var failure: TranscriptError? { state.withLock { $0.failure } }

    /// Records one message of a connection.
    ///
    /// No other connection of this run has the same number.
    public func record(_ message: Message, direction: TranscriptEntry.Direction, connection: UInt64) {
        let failure = state.withLock { state -> TranscriptError? in
            guard state.failure == nil else { return nil }
            do throws(TranscriptError) {
                let elapsed = (ContinuousClock.now - start).components
                let entry = TranscriptEntry(
                    message, direction: direction, connection: connection,
                    microseconds: Int(elapsed.seconds) * 1_000_000
                        + Int(elapsed.attoseconds / 1_000_000_000_000),
                    offset: state.tensorBytes)
                try state.append(message.tensor)
                try state.append(entry.line)
                return nil
            } catch {
                state.failure = error
                // Removes the part of the line that was written, so that the transcript ends with a whole line;
                // readers could do without.
                _ = ftruncate(state.lines.number, state.lineBytes)
                return error
            }
        }
        if let failure { warn(failure) }
    }

    /// Prints to standard error that recording has ended.
    public static func print(_ failure: TranscriptError) {
        let text = Array("warning: RECORDING HAS ENDED, the transcript is incomplete: \(failure)\n".utf8)
        _ = unsafe text.withUnsafeBytes { unsafe write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}

extension Recorder.State {
    fileprivate mutating func append(_ line: String) throws(TranscriptError) {
        let bytes = Array((line + "\n").utf8)
        try unsafe lines.append(bytes.span.bytes)
        lineBytes += bytes.count
    }

    fileprivate mutating func append(_ tensor: Message.Tensor) throws(TranscriptError) {
        switch tensor {
        case .none: break
        case .floats(let values):
            try unsafe tensors.append(values.span.bytes)
            tensorBytes += values.count * MemoryLayout<Float>.stride
        case .words(let values):
            try unsafe tensors.append(values.span.bytes)
            tensorBytes += values.count * MemoryLayout<UInt32>.stride
        }
    }
}

/// The descriptor of a file that is only appended to; it is closed when this value is destroyed.
private struct OwnedDescriptor: ~Copyable {
    let path: String
    let number: Int32

    init(_ path: String) throws(TranscriptError) {
        self.path = path
        number = unsafe open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard number >= 0 else { throw .system(path, "write it") }
    }

    deinit { close(number) }

    var size: Int {
        var status = stat()
        return unsafe fstat(number, &status) == 0 ? Int(status.st_size) : 0
    }

    /// How many bytes there are up to the last newline, including it.
    func wholeLines() throws(TranscriptError) -> Int {
        var end = size
        var byte: UInt8 = 0
        while end > 0 {
            guard unsafe pread(number, &byte, 1, end - 1) == 1 else { throw .system(path, "read its end") }
            if byte == 0x0A { break }
            end -= 1
        }
        return end
    }

    func append(_ bytes: RawSpan) throws(TranscriptError) {
        try unsafe bytes.withUnsafeBytes { b throws(TranscriptError) in
            var done = 0
            while done < b.count {
                // A signal or a nearly full disk may make a call write less than it was asked to.
                let count = unsafe write(number, b.baseAddress.map { unsafe $0 + done }, b.count - done)
                if count < 0 {
                    if errno == EINTR { continue }
                    throw .system(path, "write it")
                }
                done += count
            }
        }
    }
}
