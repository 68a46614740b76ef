import CSCXSystem
import SCXLink

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// An offer to move a connection to shared memory, which may break the rules.
struct SharedMemoryOffer: Sendable {
    /// What is wrong with it.
    let name: String
    var magic = "SCXSHM01"
    var ringBytes: UInt32 = 4096
    var last: UInt32 = 0
    /// Bytes of the memory; right for a ring of 4 KiB.
    var size = 4096 + 2 * 4096
    var isSealed = true
    /// Whether the memory's descriptor is sent.
    var hasDescriptor = true

    static let good = SharedMemoryOffer(name: "a good offer")

    static let bad: [SharedMemoryOffer] = [
        SharedMemoryOffer(name: "memory that is too small", size: 4096 + 4096),
        SharedMemoryOffer(name: "memory that is too large", size: 4096 + 3 * 4096),
        SharedMemoryOffer(name: "memory whose size is not sealed", isSealed: false),
        SharedMemoryOffer(name: "another version", magic: "SCXSHM02"),
        SharedMemoryOffer(name: "a last word that is not 0", last: 1),
        SharedMemoryOffer(name: "a ring of 4097 bytes", ringBytes: 4097, size: 4096 + 2 * 4097),
        SharedMemoryOffer(name: "a ring of 2 KiB", ringBytes: 2048, size: 4096 + 2 * 2048),
        SharedMemoryOffer(name: "a ring of 0 bytes", ringBytes: 0, size: 4096),
        SharedMemoryOffer(name: "a ring of 32 MiB", ringBytes: 1 << 25, size: 4096 + 2 << 25),
        SharedMemoryOffer(name: "no memory", hasDescriptor: false),
    ]

    /// Whether a worker takes the offer; otherwise it must close the connection.
    func isTaken(at path: String, patience: Duration) throws -> Bool {
        let connection = try OfferedConnection(path, self)
        return try connection.answer(patience: patience) == 1
    }

    /// Whether a worker that has taken the offer ends the connection when the client's counter says a number.
    func isEnded(at path: String, whenWritten written: UInt64, patience: Duration) throws -> Bool {
        let connection = try OfferedConnection(path, self)
        try demand(try connection.answer(patience: patience) == 1, "an offer that is right is not taken")
        try connection.write(counter: written)
        return try connection.answer(patience: patience) == nil
    }
}

/// A socket over which an offer was sent, with its memory.
private struct OfferedConnection: ~Copyable {
    private let socket: Int32
    private let memory: Int32
    private let size: Int

    init(_ path: String, _ offer: SharedMemoryOffer) throws {
        socket = unsafe cscx_unix_connect(path)
        size = offer.size
        memory = offer.isSealed ? cscx_memory_create(offer.size) : Self.unsealed(offer.size)
        try demand(socket >= 0 && memory >= 0, "no connection to \(path), or no memory to share")
        var bytes = Array(offer.magic.utf8) + wire(offer.ringBytes) + wire(offer.last)
        let (socket, memory) = (socket, memory)
        let sent = unsafe bytes.withUnsafeMutableBytes {
            offer.hasDescriptor
                ? unsafe cscx_send_descriptor(socket, $0.baseAddress, $0.count, memory)
                : unsafe cscx_send(socket, $0.baseAddress, $0.count)
        }
        try demand(sent == bytes.count, "the offer cannot be sent")
    }

    deinit {
        if socket >= 0 { cscx_close(socket) }
        if memory >= 0 { cscx_close(memory) }
    }

    /// Memory that anybody can make smaller: a file without a name.
    private static func unsealed(_ size: Int) -> Int32 {
        var template = Array("/tmp/scx-offer-XXXXXX".utf8CString)
        let file = unsafe template.withUnsafeMutableBufferPointer { name -> Int32 in
            guard let start = name.baseAddress else { return -1 }
            let file = unsafe mkstemp(start)
            unsafe unlink(start)
            return file
        }
        return file >= 0 && ftruncate(file, off_t(size)) == 0 ? file : -1
    }

    /// Waits for one byte.
    ///
    /// - Returns: Nil when the worker closes the connection.
    func answer(patience: Duration) throws -> UInt8? {
        let deadline = ContinuousClock.now + patience
        var byte: UInt8 = 0
        while ContinuousClock.now < deadline {
            let count = unsafe cscx_receive(socket, &byte, 1)
            if count == 1 { return byte }
            guard count == -Int(EAGAIN) || count == -Int(EWOULDBLOCK) else { return nil }
            _ = cscx_wait(socket, 0, 100)
        }
        throw ConformanceFailure("the worker neither answers nor closes")
    }

    /// Says that so many bytes were written to the ring from client to worker, and wakes the worker.
    func write(counter: UInt64) throws {
        guard let start = unsafe cscx_memory_map(memory, size) else {
            throw ConformanceFailure("the memory cannot be mapped")
        }
        defer { unsafe cscx_memory_unmap(start, size) }
        unsafe cscx_store64(start, counter)
        unsafe cscx_store32(start + 256, 0)
        unsafe cscx_futex_wake(start + 256)
    }
}
