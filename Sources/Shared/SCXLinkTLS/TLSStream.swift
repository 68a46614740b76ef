import NIOCore
public import SCXLink

/// Bytes to and from one peer over TCP and mutual TLS 1.3.
///
/// The socket belongs to an event loop of NIO, which also encrypts and decrypts. The threads that call
/// ``read(_:before:)`` and ``write(_:before:)`` only move bytes from and to the stream's queues. Both queues have
/// limits: when a peer sends faster than this side reads, TCP stops the peer, and a write waits for a peer that reads
/// too slowly.
///
/// ``close()`` must be called: dropping the last reference leaves the connection open.
public final class TLSStream: ByteStream {
    /// The name of the peer for error texts, such as `worker at example.org:7070`.
    public let peer: String

    private let monitor = Monitor(State())

    /// How many received bytes may wait for a reader before the socket is no longer read; one pass of the event loop
    /// may add more than this.
    static let receivedLimit = 8 << 20
    /// The most bytes that may be waiting to be sent.
    private static let unsentLimit = 2 << 20
    private static let pieceBytes = 1 << 18

    private struct State: Sendable {
        var channel: (any Channel)?
        var isReady = false
        /// SHA-256 of the peer's public key, once the handshake is over.
        var key: [UInt8]?
        var isClosed = false
        /// Why nothing more will be received; bytes that were received before may still be read.
        var end: LinkError?
        var received = CircularBuffer<ByteBuffer>()
        var receivedBytes = 0
        /// Whether the event loop has stopped reading from the socket.
        var isHeld = false
        var unsentBytes = 0

        mutating func take(atMost count: Int) -> Result<Taken, LinkError>? {
            if isClosed, let end { return .failure(end) }
            guard !received.isEmpty else { return end.map { .failure($0) } }
            let first = received.startIndex
            guard let bytes = received[first].readSlice(length: min(count, received[first].readableBytes))
            else {
                return nil
            }
            if received[first].readableBytes == 0 { received.removeFirst() }
            receivedBytes -= bytes.readableBytes
            guard isHeld, receivedBytes < TLSStream.receivedLimit / 2 else {
                return .success(Taken(bytes: bytes, resume: nil))
            }
            isHeld = false
            return .success(Taken(bytes: bytes, resume: channel))
        }
    }

    private struct Taken: Sendable {
        let bytes: ByteBuffer
        /// The channel to tell that there is room for more.
        let resume: (any Channel)?
    }

    init(peer: String) { self.peer = peer }

    @unsafe public func read(
        _ buffer: UnsafeMutableRawBufferPointer, before deadline: Deadline
    ) throws(LinkError) {
        var done = 0
        while done < buffer.count {
            let missing = buffer.count - done
            guard let outcome = monitor.wait(before: deadline, for: { $0.take(atMost: missing) }) else {
                throw .timedOut("\(peer) sent nothing in time")
            }
            let taken = try outcome.get()
            unsafe taken.bytes.withUnsafeReadableBytes { bytes in
                unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[done...]).copyMemory(from: bytes)
            }
            done += taken.bytes.readableBytes
            taken.resume?.read()
        }
    }

    @unsafe public func write(
        _ buffer: UnsafeRawBufferPointer, before deadline: Deadline
    ) throws(LinkError) {
        var sent = 0
        while sent < buffer.count {
            let count = min(buffer.count - sent, Self.pieceBytes)
            let channel = try reserve(count, before: deadline)
            var piece = channel.allocator.buffer(capacity: count)
            unsafe piece.writeBytes(UnsafeRawBufferPointer(rebasing: buffer[sent..<sent + count]))
            channel.writeAndFlush(piece).whenComplete { _ in
                // If the write failed, the channel's handler sets the reason.
                self.monitor.update { $0.unsentBytes -= count }
            }
            sent += count
        }
    }

    /// Waits until `count` more bytes may wait to be sent.
    private func reserve(_ count: Int, before deadline: Deadline) throws(LinkError) -> any Channel {
        let outcome = monitor.wait(before: deadline) { state -> Result<any Channel, LinkError>? in
            if let end = state.end { return .failure(end) }
            guard let channel = state.channel, state.unsentBytes + count <= Self.unsentLimit else {
                return nil
            }
            state.unsentBytes += count
            return .success(channel)
        }
        guard let outcome else { throw .timedOut("\(peer) took nothing in time") }
        return try outcome.get()
    }

    /// The key and the address of the peer, and its process where it runs on this machine.
    public var remoteEnd: RemoteEnd {
        var end = RemoteEnd()
        let (key, channel) = monitor.update { ($0.key, $0.channel) }
        end.key = key
        guard let remote = channel?.remoteAddress, let host = remote.ipAddress, let port = remote.port else {
            return end
        }
        end.address = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        if let own = channel?.localAddress, let ownPort = own.port,
            host.hasPrefix("127.") || own.ipAddress == host
        {
            end.process = LocalProcess(loopbackPort: ownPort, other: port)
        }
        return end
    }

    public func close() { fail(.disconnected("\(peer): closed on this side")) }

    /// Ends the stream and drops what was received.
    func fail(_ error: LinkError) {
        let channel = monitor.update { state in
            state.end = state.end ?? error
            state.isClosed = true
            state.received.removeAll()
            state.receivedBytes = 0
            return state.channel
        }
        channel?.close(promise: nil)
    }
}

/// What the event loop, and those who connect, call on a stream.
extension TLSStream {
    /// Waits until the handshake is over.
    func waitUntilReady(before deadline: Deadline) throws(LinkError) {
        let outcome = monitor.wait(before: deadline) { state -> Result<Void, LinkError>? in
            if let end = state.end { return .failure(end) }
            return state.isReady ? .success(()) : nil
        }
        guard let outcome else {
            fail(.timedOut("\(peer) does not answer"))
            throw .timedOut("\(peer) does not answer")
        }
        try outcome.get()
    }

    /// Gives the stream its channel, unless it has one or was closed before it had one.
    func attach(_ channel: any Channel) -> Bool {
        monitor.update { state in
            guard state.channel == nil, state.end == nil else { return false }
            state.channel = channel
            return true
        }
    }

    /// Notes that the handshake is over, unless the stream has ended.
    ///
    /// - Parameter key: SHA-256 of the peer's public key.
    /// - Returns: False when the stream had ended before.
    func becomeReady(key: [UInt8]) -> Bool {
        monitor.update { state in
            state.isReady = state.end == nil
            state.key = key
            return state.isReady
        }
    }

    var isReady: Bool { monitor.update { $0.isReady } }

    func receive(_ bytes: ByteBuffer) {
        monitor.update { state in
            guard !state.isClosed, bytes.readableBytes > 0 else { return }
            state.received.append(bytes)
            state.receivedBytes += bytes.readableBytes
        }
    }

    /// Whether the event loop should stop reading the socket for now; a reader resumes it when there is room.
    func holdIfFull() -> Bool {
        monitor.update { state in
            state.isHeld = state.receivedBytes >= Self.receivedLimit
            return state.isHeld
        }
    }

    /// Sets why nothing more will be received, unless a reason is set already.
    ///
    /// - Returns: The first reason.
    @discardableResult
    func finish(_ error: LinkError) -> LinkError {
        monitor.update { state in
            let end = state.end ?? error
            state.end = end
            return end
        }
    }
}
