#if os(Linux)
    import CSCXSystem
    import SCXLink
    import Synchronization
    import Testing

    #if canImport(Glibc)
        import Glibc
    #else
        import Musl
    #endif

    /// A peer that speaks the upgrade by hand, and keeps a view of the memory to rewrite it.
    @safe
    private final class HostilePeer: Sendable {
        static let headBytes = 4096
        let socket: SocketStream
        let descriptor: Int32
        let ringBytes: Int
        nonisolated(unsafe) private let memory: UnsafeMutableRawPointer

        init(_ socket: SocketStream, descriptor: Int32, ringBytes: Int) throws {
            self.socket = socket
            self.descriptor = descriptor
            self.ringBytes = ringBytes
            unsafe memory = try #require(
                unsafe cscx_memory_map(descriptor, Self.headBytes + 2 * ringBytes))
        }

        deinit { unsafe cscx_memory_unmap(memory, Self.headBytes + 2 * ringBytes) }

        /// Writes a word of the head: of ring 0 or 1, its counters at 0 and 128, its flags at 256 and 384.
        func set(_ offset: Int, _ value: UInt64) { unsafe cscx_store64(memory + offset, value) }
    }

    /// Sends a preamble, with a descriptor unless it is negative.
    private func sendPreamble(
        _ raw: Int32, magic: String = "SCXSHM01", ringBytes: UInt32, flags: UInt32 = 0, descriptor: Int32
    ) -> Int {
        var bytes = Array(magic.utf8)
        for word in [ringBytes, flags] {
            bytes += (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) }
        }
        return unsafe bytes.withUnsafeBytes {
            descriptor >= 0
                ? unsafe cscx_send_descriptor(raw, $0.baseAddress, $0.count, descriptor)
                : unsafe cscx_send(raw, $0.baseAddress, $0.count)
        }
    }

    /// A raw descriptor and a stream that are connected.
    private func rawPair() throws -> (Int32, SocketStream) {
        var ends: [Int32] = [-1, -1]
        try #require(
            unsafe ends.withUnsafeMutableBufferPointer { unsafe cscx_socket_pair($0.baseAddress) } == 0)
        return (ends[0], try SocketStream(descriptor: ends[1], name: "the peer"))
    }

    /// Both ends of one shared memory.
    private func pair(ringBytes: Int) throws -> (SharedMemoryStream, any ByteStream) {
        let (a, b) = try SocketStream.pair()
        let worker = Background { try? SharedMemoryStream.accept(upgrading: b) }
        let trusted = try SharedMemoryStream.upgrade(a, ringBytes: ringBytes)
        return (trusted, try #require(worker.value() ?? nil))
    }

    /// A stream on memory that the test made and may rewrite.
    private func attacked(ringBytes: Int = 1 << 14) throws -> (any ByteStream, HostilePeer) {
        let (raw, socket) = try rawPair()
        let descriptor = cscx_memory_create(HostilePeer.headBytes + 2 * ringBytes)
        try #require(descriptor >= 0)
        defer { cscx_close(descriptor) }
        try #require(sendPreamble(raw, ringBytes: UInt32(ringBytes), descriptor: descriptor) == 16)
        let stream = try SharedMemoryStream.accept(upgrading: socket)
        try #require(stream is SharedMemoryStream)
        return (
            stream,
            try HostilePeer(
                try SocketStream(descriptor: raw, name: "the worker"), descriptor: descriptor,
                ringBytes: ringBytes)
        )
    }

    @Suite("shared memory transport")
    struct SharedMemoryTests {
        @Test(
            "pieces of any size arrive as they were sent, also those larger than the ring",
            arguments: [(1, 4096), (100, 4096), (1 << 18, 4096), (1 << 20, 1 << 16), (1 << 20, 1 << 22)])
        func pieces(largest: Int, ringBytes: Int) throws {
            let (a, b) = try pair(ringBytes: ringBytes)
            let results = exchangePieces(a, b, largest: largest, total: min(1 << 19, largest * 500), seed: 3)
            #expect(results == [nil, nil, nil, nil])
        }

        @Test("messages cross it, in order")
        func messages() throws {
            let (a, b) = try pair(ringBytes: 4096)
            let echo = Background {
                failure { () throws(LinkError) in
                    for _ in 0..<200 { try b.send(try b.receive(10_000)) }
                }
            }
            for i in 0..<200 {
                let bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: i), count: 10_000)
                let sender = Background { failure { () throws(LinkError) in try a.send(bytes) } }
                #expect(try a.receive(10_000) == bytes)
                #expect(sender.value() == .some(nil))
            }
            #expect(echo.value() == .some(nil))
        }

        @Test("a silent peer, and one that takes nothing, end in a time-out")
        func deadlines() throws {
            let (a, b) = try pair(ringBytes: 4096)
            let start = ContinuousClock.now
            let soon = Deadline(after: .milliseconds(150))
            #expect(failure { () throws(LinkError) in _ = try a.receive(1, before: soon) }.isTimeOut)
            #expect(ContinuousClock.now - start >= .milliseconds(150))
            let much = [UInt8](repeating: 1, count: 4097)
            #expect(
                failure { () throws(LinkError) in try a.send(much, before: Deadline(after: .milliseconds(20)))
                }
                .isTimeOut)
            #expect(try b.receive(4096, before: Deadline(after: .zero)) == Array(much.prefix(4096)))
        }

        @Test("closing wakes readers and writers of both ends, after the bytes before")
        func closing() throws {
            let (a, b) = try pair(ringBytes: 4096)
            let own = Background { failure { () throws(LinkError) in _ = try a.receive(1, before: .never) } }
            let peer = Background {
                failure { () throws(LinkError) in _ = try b.receive(5000, before: .never) }
            }
            let writer = Background {
                failure { () throws(LinkError) in
                    try b.send([UInt8](repeating: 0, count: 4096))
                    try b.send([UInt8](repeating: 0, count: 4097), before: .never)
                }
            }
            usleep(30_000)
            try a.send([1, 2, 3])
            usleep(30_000)
            a.close()
            a.close()
            #expect(own.value() != nil)
            #expect(peer.value()??.isClosedByOther == true)
            #expect(writer.value()??.isClosedByOther == true)
            #expect(failure { () throws(LinkError) in try a.send([1]) }.isDisconnected)
        }

        @Test("what was written before the end is read")
        func endAfterBytes() throws {
            let (a, b) = try pair(ringBytes: 4096)
            try a.send([1, 2, 3])
            a.close()
            #expect(try b.receive(3) == [1, 2, 3])
            #expect(failure { () throws(LinkError) in _ = try b.receive(1) }.isDisconnected)
        }

        @Test("the death of a peer, which wakes nobody, ends a sleeping reader and a sleeping writer")
        func death() throws {
            let (stream, peer) = try attacked()
            let reader = Background {
                failure { () throws(LinkError) in _ = try stream.receive(1, before: .never) }
            }
            let writer = Background {
                failure { () throws(LinkError) in
                    try stream.send([UInt8](repeating: 0, count: 1 << 15), before: .never)
                }
            }
            usleep(150_000)
            peer.socket.close()
            #expect(reader.value()??.isClosedByOther == true)
            #expect(writer.value()??.isClosedByOther == true)
        }

        @Test("a connection that begins with a frame stays on its socket, and loses nothing")
        func ordinary() throws {
            let (a, b) = try SocketStream.pair()
            try a.send(Array("SCX1 and so on".utf8))
            let stream = try SharedMemoryStream.accept(upgrading: b)
            #expect(stream === b)
            #expect(try stream.receive(14) == Array("SCX1 and so on".utf8))
        }

        @Test(
            "a peer that sends too little is waited for until the deadline")
        func slowPreamble() throws {
            let (a, b) = try SocketStream.pair()
            try a.send(Array("SCX".utf8))
            let soon = Deadline(after: .milliseconds(30))
            #expect(
                failure { () throws(LinkError) in
                    _ = try SharedMemoryStream.accept(upgrading: b, before: soon)
                }.isTimeOut)
            try a.send(Array("SHM".utf8))
            #expect(
                failure { () throws(LinkError) in
                    _ = try SharedMemoryStream.accept(upgrading: b, before: soon)
                }.isTimeOut)
        }

        @Test("a worker that refuses, or is gone, is an error of the trusted side")
        func refused() throws {
            let (raw, socket) = try rawPair()
            var no: UInt8 = 0
            #expect(unsafe cscx_send(raw, &no, 1) == 1)
            let error = failure { () throws(LinkError) in _ = try SharedMemoryStream.upgrade(socket) }
            #expect(error == .incompatible("the peer: it takes no shared memory"))
            cscx_close(raw)
            #expect(
                failure { () throws(LinkError) in _ = try SharedMemoryStream.upgrade(socket) }.isDisconnected)
        }

        /// What is wrong about an upgrade.
        enum Fault: CaseIterable {
            case magic, flags, ringNotPowerOfTwo, ringTooSmall, ringTooLarge, ringZero, noDescriptor,
                notMemory,
                unsealed, tooSmall, tooLarge, pipe
        }

        @Test("an upgrade with anything wrong is refused", arguments: Fault.allCases)
        func faults(fault: Fault) throws {
            let (raw, socket) = try rawPair()
            defer { cscx_close(raw) }
            var ringBytes: UInt32 = 1 << 14
            var size = HostilePeer.headBytes + 2 << 14
            switch fault {
            case .ringNotPowerOfTwo: ringBytes = 3 << 12
            case .ringTooSmall: ringBytes = 1 << 11
            case .ringTooLarge: ringBytes = 1 << 31
            case .ringZero: ringBytes = 0
            case .tooSmall: size -= 4096
            case .tooLarge: size += 1
            default: size = HostilePeer.headBytes + 2 * Int(ringBytes)
            }
            var descriptor = cscx_memory_create(size)
            var extra: Int32 = -1
            switch fault {
            case .notMemory: descriptor = unsafe open("/dev/null", O_RDWR)
            case .unsealed:
                descriptor = unsafe shm_open("/scx-link-\(getpid())", O_RDWR | O_CREAT | O_EXCL, 0o600)
                unsafe shm_unlink("/scx-link-\(getpid())")
                #expect(ftruncate(descriptor, size) == 0)
            case .pipe:
                var ends: [Int32] = [0, 0]
                #expect(unsafe pipe(&ends) == 0)
                (descriptor, extra) = (ends[0], ends[1])
            default: break
            }
            #expect(descriptor >= 0)
            let sent = sendPreamble(
                raw, magic: fault == .magic ? "SCXSHM02" : "SCXSHM01", ringBytes: ringBytes,
                flags: fault == .flags ? 1 : 0, descriptor: fault == .noDescriptor ? -1 : descriptor)
            #expect(sent == 16)
            cscx_close(descriptor)
            if extra >= 0 { cscx_close(extra) }
            let error = failure { () throws(LinkError) in
                _ = try SharedMemoryStream.accept(upgrading: socket, before: Deadline(after: .seconds(3_600)))
            }
            #expect(error.isMalformed, "\(String(describing: error))")
        }

        @Test("an impossible counter ends the stream at once, for readers and writers")
        func impossibleCounters() throws {
            let capacity: UInt64 = 1 << 14
            for written in [capacity + 1, .max, 1 << 63, .max - capacity] {
                let (stream, peer) = try attacked()
                peer.set(0, written)
                #expect(failure { () throws(LinkError) in _ = try stream.receive(1) }.isMalformed)
                #expect(failure { () throws(LinkError) in _ = try stream.receive(1) }.isDisconnected)
            }
            for taken in [1, .max, 1 << 63] as [UInt64] {
                let (stream, peer) = try attacked()
                peer.set(512 + 128, taken)
                let much = [UInt8](repeating: 0, count: 1 << 15)
                #expect(failure { () throws(LinkError) in try stream.send(much) }.isMalformed)
            }
            // A counter that goes back.
            let (stream, peer) = try attacked()
            peer.set(0, 100)
            _ = try stream.receive(10)
            peer.set(0, 99)
            #expect(failure { () throws(LinkError) in _ = try stream.receive(100) }.isMalformed)
        }

        @Test("bytes on the socket beside the memory end the stream")
        func strayBytes() throws {
            let (stream, peer) = try attacked()
            try peer.socket.send([1])
            let error = failure { () throws(LinkError) in _ = try stream.receive(1) }
            // The byte that accepted the upgrade went the other way.
            #expect(error == .malformedFrame("bytes beside the shared memory"))
        }

        /// All eight words are rewritten; those that a peer may change are the first ring's 0 and the second's 128.
        ///
        /// The thread sanitizer takes the two mappings for unrelated memory, so that it says nothing about this
        /// race, nor about the rings' own order.
        @Test("a head that is rewritten during transfers ends them, one way or the other", arguments: 1...6)
        func scribbling(seed: UInt64) throws {
            let (stream, peer) = try attacked()
            let isPlausible = seed % 2 == 0
            let stopping = StopFlag()
            let scribbler = Background {
                var random = SeededNumbers(seed: seed)
                var counters: [UInt64] = [0, 0]
                while !stopping.isSet {
                    let offset = Int.random(in: 0..<8, using: &random) * 128
                    switch offset {
                    // Counters that could be right lead deeper than those that are refused at once.
                    case 0,
                        512 + 128 where isPlausible:
                        let which = offset == 0 ? 0 : 1
                        counters[which] &+= UInt64.random(in: 0...5000, using: &random)
                        peer.set(offset, counters[which])
                    default: peer.set(offset, random.next())
                    }
                }
                return true
            }
            let deadline = Deadline(after: .milliseconds(400))
            let reader = Background {
                failure { () throws(LinkError) in
                    while true { _ = try stream.receive(3000, before: deadline) }
                }
            }
            let writer = Background {
                failure { () throws(LinkError) in
                    let bytes = [UInt8](repeating: 0, count: 3000)
                    while true { try stream.send(bytes, before: deadline) }
                }
            }
            usleep(300_000)
            stream.close()
            #expect(reader.value()?.map { _ in true } == true)
            #expect(writer.value()?.map { _ in true } == true)
            stopping.set()
            #expect(scribbler.value() == true)
        }
    }

    private final class StopFlag: Sendable {
        private let flag = Atomic(false)
        var isSet: Bool { flag.load(ordering: .relaxed) }
        func set() { flag.store(true, ordering: .relaxed) }
    }

    extension LinkError {
        fileprivate var isClosedByOther: Bool { description.contains("the other end closed it") }
    }
#endif
