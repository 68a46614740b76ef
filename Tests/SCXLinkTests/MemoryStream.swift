import SCXLink
import Synchronization

/// A stream that reads what was written to it, or given at first.
final class MemoryStream: ByteStream {
    private let state: Mutex<(bytes: [UInt8], at: Int)>

    init(_ bytes: [UInt8] = []) { state = Mutex((bytes, 0)) }

    /// All that it was given, read or not.
    var bytes: [UInt8] { state.withLock { $0.bytes } }

    var unread: Int { state.withLock { $0.bytes.count - $0.at } }

    @unsafe func read(_ buffer: UnsafeMutableRawBufferPointer, before deadline: Deadline) throws(LinkError) {
        let part: ArraySlice<UInt8>? = state.withLock { state in
            guard state.bytes.count - state.at >= buffer.count else { return nil }
            defer { state.at += buffer.count }
            return state.bytes[state.at..<state.at + buffer.count]
        }
        guard let part else { throw .disconnected("the stream ended") }
        unsafe buffer.copyBytes(from: part)
    }

    @unsafe func write(_ buffer: UnsafeRawBufferPointer, before deadline: Deadline) throws(LinkError) {
        state.withLock { unsafe $0.bytes.append(contentsOf: buffer) }
    }

    func close() { state.withLock { $0.at = $0.bytes.count } }
}

extension MemoryStream {
    static func bytes(of message: Message) throws(LinkError) -> [UInt8] {
        let stream = MemoryStream()
        try MessageStream(stream).send(message)
        return stream.bytes
    }
}

extension MessageStream {
    /// The next message, whatever it is.
    func receiveAny() throws(LinkError) -> Message {
        try receive(before: .never) { head throws(LinkError) in
            // A flipped bit must not ask a test for gigabytes.
            guard head.tensorBytes <= 1 << 26 else { throw .malformedFrame("too large for a test") }
        }
    }
}
