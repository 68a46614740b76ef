import Foundation
import SCXLink

/// Two ends of a byte stream inside one process.
final class PipeStream: ByteStream, @unchecked Sendable {
    /// Bytes on their way in one direction.
    private final class Channel: @unchecked Sendable {
        let condition = NSCondition()
        var bytes: [UInt8] = []
        var taken = 0
        var isClosed = false
    }

    private let inbound: Channel
    private let outbound: Channel
    /// Called with this end and the number of bytes that it has sent so far, before more are sent.
    private let onWrite: @Sendable (PipeStream, Int) -> Void
    private var written = 0

    private init(
        _ inbound: Channel, _ outbound: Channel, _ onWrite: @escaping @Sendable (PipeStream, Int) -> Void
    ) {
        self.inbound = inbound
        self.outbound = outbound
        self.onWrite = onWrite
    }

    static func pair(onWrite: @escaping @Sendable (PipeStream, Int) -> Void) -> (PipeStream, PipeStream) {
        let (a, b) = (Channel(), Channel())
        return (PipeStream(a, b, onWrite), PipeStream(b, a, { _, _ in }))
    }

    @unsafe func read(
        _ buffer: UnsafeMutableRawBufferPointer, before deadline: Deadline
    ) throws(LinkError) {
        inbound.condition.lock()
        defer { inbound.condition.unlock() }
        while inbound.bytes.count - inbound.taken < buffer.count {
            if inbound.isClosed { throw .disconnected("the other end is closed") }
            let seconds = min(deadline.remaining.map { $0 / .seconds(1) } ?? 1, 1)
            guard seconds > 0 else { throw .timedOut("nothing came") }
            _ = inbound.condition.wait(until: Date(timeIntervalSinceNow: seconds))
        }
        unsafe buffer.copyBytes(from: inbound.bytes[inbound.taken..<inbound.taken + buffer.count])
        inbound.taken += buffer.count
        if inbound.taken > 1 << 20 {
            inbound.bytes.removeFirst(inbound.taken)
            inbound.taken = 0
        }
    }

    @unsafe func write(_ buffer: UnsafeRawBufferPointer, before deadline: Deadline) throws(LinkError) {
        onWrite(self, written)
        written += buffer.count
        outbound.condition.lock()
        defer { outbound.condition.unlock() }
        guard !outbound.isClosed else { throw .disconnected("the other end is closed") }
        unsafe outbound.bytes.append(contentsOf: buffer)
        outbound.condition.broadcast()
    }

    func close() {
        for channel in [inbound, outbound] {
            channel.condition.withLock {
                channel.isClosed = true
                channel.condition.broadcast()
            }
        }
    }
}
