import CSCXSystem
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A byte stream through memory that two processes of one machine share, with a ring for each direction.
///
/// The Unix socket on which it began stays open and tells each side when the other has died. The memory's size is
/// sealed, so that a peer cannot end this process by truncating it. Each byte is copied once into this process's own
/// memory before anything looks at it.
///
/// At most one thread reads and one writes at a time; `close` may be called from any.
public final class SharedMemoryStream: ByteStream {
    /// Whether this system has memory whose size can be sealed.
    ///
    /// On other systems the link stays on the socket.
    public static var isAvailable: Bool {
        #if os(Linux)
            true
        #else
            false
        #endif
    }

    /// The size of a ring in bytes, unless the caller asks for another one.
    public static let defaultRingBytes = 1 << 22

    /// The first 8 bytes of the message that carries the memory's descriptor.
    ///
    /// The bytes of a ring and a zero follow, both little-endian.
    private static let magic = Array("SCXSHM01".utf8)
    private static let preambleBytes = 16
    private static let accepted: UInt8 = 1

    private let socket: SocketStream
    private let memory: SharedMemory
    // The reader is used only by the thread that reads, the writer only by the one that writes.
    nonisolated(unsafe) private var reader: RingEnd
    nonisolated(unsafe) private var writer: RingEnd
    private let isClosed = Atomic(false)

    private init(_ socket: SocketStream, _ memory: SharedMemory, isMaker: Bool) {
        self.socket = socket
        self.memory = memory
        // The side that asks sleeps at once when it waits, because the other side computes on all cores of this
        // machine meanwhile: the system would start no thread of the other side on a core where this one spins. The
        // side that answers spins for the next request.
        unsafe reader = RingEnd(
            memory.ring(isMaker ? 1 : 0), .reader, longestSpin: isMaker ? RingEnd.shortestSpin : 300_000)
        unsafe writer = RingEnd(memory.ring(isMaker ? 0 : 1), .writer, longestSpin: 40_000)
    }

    /// Moves a new connection from its socket to shared memory; called by the side that connected.
    ///
    /// - Parameters:
    ///   - socket: A Unix socket on which nothing was sent yet.
    ///   - ringBytes: Bytes of the ring in each direction: a power of two from 4 KiB to 16 MiB.
    ///   - deadline: Until when the other side must have answered.
    /// - Returns: The stream to use from now on.
    /// - Throws: ``LinkError``; the socket cannot be used any more then.
    public static func upgrade(
        _ socket: SocketStream, ringBytes: Int = defaultRingBytes,
        before deadline: Deadline = Deadline(after: .seconds(10))
    ) throws(LinkError) -> SharedMemoryStream {
        precondition(SharedMemory.isValid(ringBytes: ringBytes), "SharedMemoryStream: size of a ring")
        let descriptor = cscx_memory_create(SharedMemory.byteCount(ringBytes: ringBytes))
        guard descriptor >= 0 else { throw .system(socket.name, "make shared memory", descriptor) }
        defer { cscx_close(descriptor) }
        guard let memory = SharedMemory(descriptor: descriptor, ringBytes: ringBytes) else {
            throw .system(socket.name, "map shared memory", errno)
        }
        var preamble = FieldWriter()
        for byte in magic { preamble.add(byte) }
        preamble.add(UInt32(ringBytes))
        preamble.add(UInt32(0))
        let sent = unsafe preamble.bytes.withUnsafeBytes {
            unsafe cscx_send_descriptor(socket.descriptor, $0.baseAddress, $0.count, descriptor)
        }
        guard sent == preambleBytes else {
            throw .system(socket.name, "send it shared memory", sent < 0 ? Int32(clamping: sent) : EMSGSIZE)
        }
        var answer: UInt8 = 0
        try unsafe withUnsafeMutableBytes(of: &answer) { b throws(LinkError) in
            try unsafe socket.read(b, before: deadline)
        }
        guard answer == accepted else { throw .incompatible("\(socket.name): it takes no shared memory") }
        return SharedMemoryStream(socket, memory, isMaker: true)
    }

    /// Connects to a worker of this machine, through shared memory where the system has it.
    ///
    /// - Throws: ``LinkError``.
    public static func connect(path: String, before deadline: Deadline) throws(LinkError) -> any ByteStream {
        let socket = try UnixSocket.connect(path: path, before: deadline)
        return isAvailable ? try upgrade(socket) : socket
    }

    /// Moves a connection to shared memory if the other side asks for that first, and otherwise leaves it as it is.
    ///
    /// - Parameters:
    ///   - socket: A connection from which nothing was read yet.
    ///   - deadline: Until when the first bytes must have come.
    /// - Returns: The stream to use from now on.
    /// - Throws: ``LinkError``; ``LinkError/malformedFrame(_:)`` when the memory is not as it must be.
    public static func accept(
        upgrading socket: SocketStream, before deadline: Deadline = Deadline(after: .seconds(10))
    ) throws(LinkError) -> any ByteStream {
        // The first four bytes tell this from a frame, which begins with "SCX1".
        guard isAvailable, try socket.peek(4, before: deadline) == Array(magic.prefix(4)) else {
            return socket
        }
        _ = try socket.peek(preambleBytes, before: deadline)
        var descriptor: Int32 = -1
        var preamble = [UInt8](repeating: 0, count: preambleBytes)
        let received = unsafe preamble.withUnsafeMutableBytes {
            unsafe cscx_receive_descriptor(socket.descriptor, $0.baseAddress, $0.count, &descriptor)
        }
        defer { if descriptor >= 0 { cscx_close(descriptor) } }
        guard received == preambleBytes, Array(preamble.prefix(magic.count)) == magic else {
            throw .malformedFrame("neither a frame nor shared memory")
        }
        var fields = FieldReader(Array(preamble.dropFirst(magic.count)))
        let ringBytes = Int(try fields.take(UInt32.self))
        guard try fields.take(UInt32.self) == 0 else {
            throw .malformedFrame("unknown flags of shared memory")
        }
        guard SharedMemory.isValid(ringBytes: ringBytes) else {
            throw .malformedFrame("a shared ring of \(ringBytes) bytes")
        }
        guard descriptor >= 0 else { throw .malformedFrame("shared memory without exactly one descriptor") }
        switch cscx_memory_check(descriptor, SharedMemory.byteCount(ringBytes: ringBytes)) {
        case 0: break
        case -EPERM: throw .malformedFrame("shared memory whose size is not sealed")
        case -EFBIG: throw .malformedFrame("shared memory of another size than announced")
        default: throw .malformedFrame("a descriptor that is no shared memory")
        }
        guard let memory = SharedMemory(descriptor: descriptor, ringBytes: ringBytes) else {
            throw .malformedFrame("shared memory that cannot be mapped")
        }
        var answer = accepted
        try unsafe withUnsafeBytes(of: &answer) { b throws(LinkError) in
            try unsafe socket.write(b, before: deadline)
        }
        return SharedMemoryStream(socket, memory, isMaker: false)
    }

    @unsafe public func read(
        _ buffer: UnsafeMutableRawBufferPointer, before deadline: Deadline
    ) throws(LinkError) {
        try unsafe pass(buffer.count, &reader, before: deadline, sending: false) { ring, position, range in
            unsafe ring.copy(from: position, to: UnsafeMutableRawBufferPointer(rebasing: buffer[range]))
        }
    }

    @unsafe public func write(
        _ buffer: UnsafeRawBufferPointer, before deadline: Deadline
    ) throws(LinkError) {
        try unsafe pass(buffer.count, &writer, before: deadline, sending: true) { ring, position, range in
            unsafe ring.copy(UnsafeRawBufferPointer(rebasing: buffer[range]), to: position)
        }
    }

    /// Moves `count` bytes through one end with `copy`, step by step, and waits in between.
    private func pass(
        _ count: Int, _ end: inout RingEnd, before deadline: Deadline, sending: Bool,
        copy: (RingWords, UInt64, Range<Int>) -> Void
    ) throws(LinkError) {
        var done = 0
        var peerIsGone = false
        do throws(LinkError) {
            while done < count {
                if isClosed.load(ordering: .acquiring) {
                    throw .disconnected("\(socket.name): this end closed it")
                }
                let moved = try end.step(count - done) { copy($0, $1, done..<done + $2) }
                done += moved
                if moved > 0 { continue }
                // The end is reported only one step after it was seen, since the peer may have written bytes directly
                // before it closed.
                if peerIsGone { throw .disconnected("\(socket.name): the other end closed it") }
                // Sleep for short times only, since a peer that is killed wakes nobody.
                let slice = deadline.milliseconds(atMost: 100)
                guard slice > 0 else {
                    throw .timedOut("\(socket.name): it \(sending ? "took" : "sent") nothing in time")
                }
                end.wait(milliseconds: slice) { isClosed.load(ordering: .sequentiallyConsistent) }
                if !end.hasNews { peerIsGone = try socket.hasEnded() }
            }
        } catch {
            if case .malformedFrame = error { close() }
            throw error
        }
    }

    public var remoteEnd: RemoteEnd { socket.remoteEnd }

    public func close() {
        isClosed.store(true, ordering: .sequentiallyConsistent)
        socket.close()
        for index in 0...1 {
            memory.ring(index).wakeAnyway(.readerSleeps)
            memory.ring(index).wakeAnyway(.writerSleeps)
        }
    }

    deinit { close() }
}
