#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// What a worker saw, read from the two files that the worker's recorder wrote; see `docs/transcript.md`.
///
/// A transcript may come from a stranger, so everything is checked. One to which a worker is still writing is read up
/// to its last whole line. Entries are held in memory; a tensor is read from the file when it is asked for.
public struct Transcript: Sendable {
    /// The version of the transcript's format.
    public static let version = 2
    static let lineLimit = 4 << 20

    /// A run of the worker.
    public struct Start: Equatable, Sendable {
        /// Time of day in microseconds since 1970, UTC.
        public let unixMicroseconds: Int
        /// Bytes that `transcript.bin` had when the run began.
        public let offset: Int

        public init(unixMicroseconds: Int, offset: Int) {
            self.unixMicroseconds = unixMicroseconds
            self.offset = offset
        }

        /// The line of the file that begins the run, without the newline.
        public var line: String {
            #"{"kind":"start","version":\#(Transcript.version),"unixMicroseconds":\#(unixMicroseconds),"#
                + #""offset":\#(offset)}"#
        }
    }

    /// The runs of the worker, in order.
    public let starts: [Start]
    /// The messages, in the order in which the worker received and sent them.
    public let entries: [TranscriptEntry]
    /// Whether the last line is incomplete and was ignored: the worker was writing it, or died then.
    public let endsEarly: Bool
    private let tensors: InputFile

    /// Reads the transcript in a directory.
    ///
    /// - Throws: ``TranscriptError``, with the number of the first line that is wrong.
    public init(directory: String) throws(TranscriptError) {
        let lines = try InputFile("\(directory)/transcript.jsonl")
        tensors = try InputFile("\(directory)/transcript.bin")
        var reader = LineReader(path: lines.path)
        var chunk = [UInt8](repeating: 0, count: 1 << 20)
        var at = 0
        while true {
            var span = chunk.mutableSpan
            let count = try unsafe span.withUnsafeMutableBytes { b throws(TranscriptError) in
                try unsafe lines.read(b, at: at)
            }
            guard count > 0 else { break }
            try reader.take(chunk[..<count])
            at += count
        }
        // The worker writes a tensor before its line, so all tensors that the lines name are in the file by now.
        try reader.check(size: tensors.size())
        (starts, entries, endsEarly) = (reader.starts, reader.entries, !reader.rest.isEmpty)
    }

    /// The values of an entry's tensor, row by row; empty when it has none.
    ///
    /// Of a tensor that travelled in groups these are the values that the worker decoded.
    ///
    /// - Throws: ``TranscriptError`` when the tensor has no numbers, or cannot be read.
    public func floats(of entry: TranscriptEntry) throws(TranscriptError) -> [Float] {
        guard entry.isInGroups else { return try read(entry, .float32, zero: 0) }
        let words = try words(of: entry)
        do throws(LinkError) {
            return try EncodedTensor(received: words, entry.layouts).values
        } catch {
            throw .file(path: tensors.path, action: "read groups", reason: "\(error)")
        }
    }

    /// The values of an entry's tensor; empty when it has none.
    ///
    /// The answer to `headTopK` has the bits of the logits first, then the tokens.
    ///
    /// - Throws: ``TranscriptError`` when its elements are not uint32, or cannot be read.
    public func words(of entry: TranscriptEntry) throws(TranscriptError) -> [UInt32] {
        try read(entry, .uint32, zero: 0)
    }

    private func read<Element: BitwiseCopyable>(
        _ entry: TranscriptEntry, _ elements: ElementCode, zero: Element
    ) throws(TranscriptError) -> [Element] {
        guard entry.elements != .none else { return [] }
        guard entry.elements == elements else {
            throw .file(
                path: tensors.path, action: "read \(elements)", reason: "the tensor holds \(entry.elements)")
        }
        guard entry.offset <= tensors.size() - entry.byteCount else {
            throw .file(path: tensors.path, action: "read a tensor", reason: "it lies behind the file's end")
        }
        var values = [Element](repeating: zero, count: entry.rows * entry.channels)
        var span = values.mutableSpan
        let count = try unsafe span.withUnsafeMutableBytes { b throws(TranscriptError) in
            try unsafe tensors.read(b, at: entry.offset)
        }
        guard count == entry.byteCount else {
            throw .file(path: tensors.path, action: "read a tensor", reason: "the file ends in it")
        }
        return values
    }
}

/// Splits bytes into lines, and checks each line against those before it.
private struct LineReader {
    let path: String
    private(set) var starts: [Transcript.Start] = []
    private(set) var entries: [TranscriptEntry] = []
    /// A line that has not ended yet.
    private(set) var rest: [UInt8] = []
    private var number = 0
    /// The offset in `transcript.bin` at which the tensors of all lines so far end.
    private var end = 0
    /// The number of the line that set ``end``.
    private var last = 0

    init(path: String) { self.path = path }

    mutating func take(_ chunk: ArraySlice<UInt8>) throws(TranscriptError) {
        var chunk = chunk
        while let newline = chunk.firstIndex(of: 0x0A) {
            rest += chunk[..<newline]
            chunk = chunk[(newline + 1)...]
            number += 1
            try take(TranscriptLine(rest.span, number: number, path: path))
            rest.removeAll(keepingCapacity: true)
        }
        rest += chunk
        guard rest.count <= Transcript.lineLimit else {
            throw .line(number + 1, path: path, reason: "longer than \(Transcript.lineLimit) bytes")
        }
    }

    private mutating func take(_ line: TranscriptLine) throws(TranscriptError) {
        let tensor: Range<Int>
        if try line.text("kind") == "start" {
            guard try line.int("version") == Transcript.version else { throw line.fault("another version") }
            let start = Transcript.Start(
                unixMicroseconds: try line.int("unixMicroseconds"), offset: try line.int("offset"))
            starts.append(start)
            tensor = start.offset..<start.offset
        } else {
            guard !starts.isEmpty else { throw line.fault("a message before the first start") }
            var entry = try TranscriptEntry(line)
            entry.run = starts.count - 1
            entries.append(entry)
            guard entry.elements != .none else { return }
            let (bound, overflow) = entry.offset.addingReportingOverflow(entry.byteCount)
            guard !overflow else { throw line.fault("'offset' is missing or out of range") }
            tensor = entry.offset..<bound
        }
        guard tensor.lowerBound >= end else { throw line.fault("its tensor lies over one before it") }
        (end, last) = (tensor.upperBound, number)
    }

    func check(size: Int) throws(TranscriptError) {
        guard end <= size else {
            throw .line(last, path: path, reason: "its tensor lies behind the end of transcript.bin")
        }
    }
}

/// A regular file that is read at given offsets.
private final class InputFile: Sendable {
    let path: String
    private let descriptor: Int32

    init(_ path: String) throws(TranscriptError) {
        self.path = path
        // O_NONBLOCK: a named pipe would block here for ever, before it could be refused.
        descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw .system(path, "open it") }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw .file(path: path, action: "read it", reason: "not a regular file")
        }
    }

    deinit { close(descriptor) }

    func size() -> Int {
        var status = stat()
        return unsafe fstat(descriptor, &status) == 0 ? Int(status.st_size) : 0
    }

    /// Fills the buffer, as far as the file has bytes.
    func read(_ buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(TranscriptError) -> Int {
        var done = 0
        while done < buffer.count {
            let count = unsafe pread(
                descriptor, buffer.baseAddress.map { unsafe $0 + done }, buffer.count - done, offset + done)
            if count < 0 {
                if errno == EINTR { continue }
                throw .system(path, "read it")
            }
            if count == 0 { break }
            done += count
        }
        return done
    }
}

extension TranscriptError {
    /// Makes an error of the system call that has just failed and set `errno`.
    public static func system(_ path: String, _ action: String) -> TranscriptError {
        .file(path: path, action: action, reason: unsafe String(cString: strerror(errno)))
    }
}
