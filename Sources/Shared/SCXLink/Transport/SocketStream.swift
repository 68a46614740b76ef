import CSCXSystem
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A connected stream socket.
public final class SocketStream: ByteStream {
    /// What errors call the other end: a path or an address.
    let name: String
    // Shut down by `close`, but kept open for as long as this object lives: a thread that waits on the number must
    // not find another file behind it.
    let descriptor: Int32
    /// The path that it was connected by; nil for others.
    private let path: String?
    private let isClosed = Atomic(false)

    /// Takes a connected stream socket over.
    ///
    /// - Parameters:
    ///   - descriptor: The socket. It is closed together with this object, and at once if this throws.
    ///   - name: What errors call the other end.
    /// - Throws: ``LinkError/disconnected(_:)`` when it is no socket.
    public convenience init(descriptor: Int32, name: String) throws(LinkError) {
        try self.init(descriptor: descriptor, name: name, path: nil)
    }

    init(descriptor: Int32, name: String, path: String?) throws(LinkError) {
        let code = cscx_prepare_socket(descriptor)
        guard code == 0 else {
            cscx_close(descriptor)
            throw .system(name, "use its socket", code)
        }
        self.descriptor = descriptor
        self.name = name
        self.path = path
    }

    deinit { cscx_close(descriptor) }

    /// Makes two sockets that are connected to each other.
    public static func pair() throws(LinkError) -> (SocketStream, SocketStream) {
        var ends: (Int32, Int32) = (-1, -1)
        let code = unsafe withUnsafeMutableBytes(of: &ends) {
            unsafe cscx_socket_pair($0.assumingMemoryBound(to: Int32.self).baseAddress)
        }
        guard code == 0 else { throw .system("a pair of sockets", "make it", code) }
        let first = try SocketStream(descriptor: ends.0, name: "the other end")
        return (first, try SocketStream(descriptor: ends.1, name: "the other end"))
    }

    @unsafe public func read(
        _ buffer: UnsafeMutableRawBufferPointer, before deadline: Deadline
    ) throws(LinkError) {
        var done = 0
        while done < buffer.count {
            guard let start = buffer.baseAddress else { return }
            let received = unsafe cscx_receive(descriptor, start + done, buffer.count - done)
            if received == 0 { throw .disconnected("\(name): the other end closed it") }
            if received > 0 {
                done += received
            } else {
                try wait(after: received, toWrite: false, before: deadline)
            }
        }
    }

    @unsafe public func write(
        _ buffer: UnsafeRawBufferPointer, before deadline: Deadline
    ) throws(LinkError) {
        var done = 0
        while done < buffer.count {
            guard let start = buffer.baseAddress else { return }
            let sent = unsafe cscx_send(descriptor, start + done, buffer.count - done)
            if sent >= 0 {
                done += sent
            } else {
                try wait(after: sent, toWrite: true, before: deadline)
            }
        }
    }

    /// The path, and the process that listened there when this was connected.
    public var remoteEnd: RemoteEnd {
        var end = RemoteEnd()
        end.path = path
        end.process = LocalProcess(number: cscx_peer_process(descriptor))
        return end
    }

    public func close() {
        isClosed.store(true, ordering: .releasing)
        cscx_shutdown(descriptor)
    }

    /// Waits after a call that returned `code`, if that says only that the call came too early.
    func wait(after code: Int, toWrite: Bool, before deadline: Deadline) throws(LinkError) {
        if isClosed.load(ordering: .acquiring) { throw .disconnected("\(name): this end closed it") }
        let code = Int32(clamping: code)
        guard code == -EAGAIN || code == -EWOULDBLOCK else {
            throw .system(name, toWrite ? "write to it" : "read from it", code)
        }
        let left = deadline.milliseconds(atMost: 1 << 30)
        guard left > 0 else {
            throw .timedOut("\(name): it \(toWrite ? "took" : "sent") nothing in time")
        }
        let ready = cscx_wait(descriptor, toWrite ? 1 : 0, left)
        guard ready >= 0 else { throw .system(name, "wait for it", ready) }
    }

    /// Looks at the first bytes without taking them, and waits until there are `count`.
    func peek(_ count: Int, before deadline: Deadline) throws(LinkError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        while true {
            let seen = unsafe bytes.withUnsafeMutableBytes {
                unsafe cscx_peek(descriptor, $0.baseAddress, $0.count)
            }
            if seen == count { return bytes }
            if seen == 0 { throw .disconnected("\(name): the other end closed it") }
            if seen < 0 {
                try wait(after: seen, toWrite: false, before: deadline)
            } else {
                // The socket counts as readable, so that waiting for it would not wait.
                guard deadline.milliseconds(atMost: 1) > 0 else {
                    throw .timedOut("\(name): it sent nothing in time")
                }
                usleep(1000)
            }
        }
    }

    /// Whether the other end is gone, or this one was closed.
    ///
    /// - Throws: ``LinkError/malformedFrame(_:)`` when bytes wait to be read, which none may where this is asked.
    func hasEnded() throws(LinkError) -> Bool {
        var byte: UInt8 = 0
        let seen = unsafe cscx_peek(descriptor, &byte, 1)
        guard seen <= 0 else { throw .malformedFrame("bytes beside the shared memory") }
        return seen != -Int(EAGAIN)
    }
}

extension Deadline {
    /// Time left, rounded up, as the system's calls take it: zero only when the deadline has passed.
    func milliseconds(atMost limit: Int32) -> Int32 {
        guard let remaining else { return limit }
        guard remaining > .zero else { return 0 }
        return Int32(clamping: min(Int64(limit), Int64(remaining / .milliseconds(1)) + 1))
    }
}

extension LinkError {
    /// A failed system call: what it was about, what it was to do, and the system's number, negative or not.
    static func system(_ name: String, _ action: String, _ code: Int32) -> LinkError {
        .disconnected("\(name): cannot \(action): \(unsafe String(cString: strerror(abs(code))))")
    }
}
