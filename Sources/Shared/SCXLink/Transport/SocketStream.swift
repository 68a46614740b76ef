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
    /// The name of the other end in error texts: a path or an address.
    let name: String
    // `close` shuts the socket down, but the descriptor stays open as long as this object lives. Otherwise a thread
    // that waits on the number could find another file there.
    let descriptor: Int32
    /// The path to which the socket was connected; nil for other sockets.
    private let path: String?
    private let isClosed = Atomic(false)

    /// Takes over a connected stream socket.
    ///
    /// - Parameters:
    ///   - descriptor: The socket. It is closed together with this object, and at once if this throws.
    ///   - name: The name of the other end in error texts.
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

    /// The socket's path, and the process that listened there when this side connected.
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

    /// If a call's result `code` says that it would have blocked, waits until it can be repeated; throws for every
    /// other code.
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

    /// Waits until there are `count` bytes, and returns them without removing them from the stream.
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
                // The socket counts as readable, so waiting for it would return at once; this sleeps instead.
                guard deadline.milliseconds(atMost: 1) > 0 else {
                    throw .timedOut("\(name): it sent nothing in time")
                }
                usleep(1000)
            }
        }
    }

    /// Whether the other end is gone, or this one was closed.
    ///
    /// - Throws: ``LinkError/malformedFrame(_:)`` when there are bytes to read, since none may come when this is
    ///   called.
    func hasEnded() throws(LinkError) -> Bool {
        var byte: UInt8 = 0
        let seen = unsafe cscx_peek(descriptor, &byte, 1)
        guard seen <= 0 else { throw .malformedFrame("bytes beside the shared memory") }
        return seen != -Int(EAGAIN)
    }
}

extension Deadline {
    /// Time left in milliseconds, rounded up, as system calls take it: zero only when the deadline has passed.
    func milliseconds(atMost limit: Int32) -> Int32 {
        guard let remaining else { return limit }
        guard remaining > .zero else { return 0 }
        return Int32(clamping: min(Int64(limit), Int64(remaining / .milliseconds(1)) + 1))
    }
}

extension LinkError {
    /// Makes the error of a failed system call.
    ///
    /// It names the stream, the action, and the system's error number, which may be negative.
    static func system(_ name: String, _ action: String, _ code: Int32) -> LinkError {
        .disconnected("\(name): cannot \(action): \(unsafe String(cString: strerror(abs(code))))")
    }
}
