import NIOCore
public import SCXLink

/// Bytes to and from one peer over TCP and mutual TLS 1.3.
///
/// The socket belongs to an event loop of NIO, which also encrypts and decrypts; the threads that read and write only
/// move bytes to and from its queues. Both queues are bounded: a peer that sends faster than is read is stopped by TCP,
/// and a write waits for a peer that reads too slowly.
///
/// ``close()`` must be called: dropping the last reference leaves the connection open.
public final class TLSStream: ByteStream {
    /// The peer in words for errors, as in `worker at example.org:7070`.
    public let peer: String

    private let monitor = Monitor(State())

    /// Received bytes that wait for a reader; more may come than this, as many as one pass of the event loop reads.
    static let receivedLimit = 8 << 20
    /// Bytes on their way to the system.
    private static let unsentLimit = 2 << 20
    private static let pieceBytes = 1 << 18

    private struct State: Sendable {
        var channel: (any Channel)?
        var isReady = false
        /// SHA-256 of the peer's public key, once the handshake is over.
        var key: [UInt8]?
        var isClosed = false
        /// Why nothing more will come; what was received before may still be read.
        var end: LinkError?
        var received = CircularBuffer<ByteBuffer>()
        var receivedBytes = 0
        /// The event loop has stopped to read from the socket.
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
        /// Where to ask for more.
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
                // If it failed, the channel's handler says why.
                self.monitor.update { $0.unsentBytes -= count }
            }
            sent += count
        }
    }

    /// Waits until `count` more bytes may be on their way.
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

    /// Ends the stream, keeping nothing that was received.
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

/// What the event loop, and those who connect, do with a stream.
extension TLSStream {
    /// Waits for the end of the handshake.
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

    /// Says that the handshake is over, unless the stream is.
    ///
    /// - Parameter key: SHA-256 of the peer's public key.
    /// - Returns: False when the stream has ended before.
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

    /// Whether the socket should not be read now; a reader will ask for more when there is room.
    func holdIfFull() -> Bool {
        monitor.update { state in
            state.isHeld = state.receivedBytes >= Self.receivedLimit
            return state.isHeld
        }
    }

    /// Notes why nothing more will come.
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
