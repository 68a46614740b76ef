/// A connection to one peer as a stream of bytes in each direction; each transport implements it.
///
/// At most one thread reads and one writes at a time. Calls block until all bytes have passed.
public protocol ByteStream: AnyObject, Sendable {
    /// Fills `buffer`.
    ///
    /// - Throws: ``LinkError/disconnected(_:)`` at the stream's end, ``LinkError/timedOut(_:)`` after the deadline.
    @unsafe func read(_ buffer: UnsafeMutableRawBufferPointer, before deadline: Deadline) throws(LinkError)

    /// Sends all of `buffer`.
    ///
    /// - Throws: As ``read(_:before:)``.
    @unsafe func write(_ buffer: UnsafeRawBufferPointer, before deadline: Deadline) throws(LinkError)

    /// Ends the stream: calls that wait on it and all later ones throw.
    ///
    /// Any thread may call it, and it may be called twice.
    func close()

    /// Who is at the other end, as far as that is known.
    var remoteEnd: RemoteEnd { get }
}

extension ByteStream {
    public var remoteEnd: RemoteEnd { RemoteEnd() }
}

/// A moment after which a call gives up.
public struct Deadline: Comparable, Sendable {
    private let moment: ContinuousClock.Instant?

    /// No deadline: calls wait for as long as it takes.
    public static let never = Deadline(moment: nil)

    private init(moment: ContinuousClock.Instant?) { self.moment = moment }

    /// Makes a deadline that passes after a duration from now.
    public init(after duration: Duration) { moment = .now + duration }

    /// Time that is left: nil when there is no deadline, zero when it has passed.
    public var remaining: Duration? { moment.map { max(.zero, $0 - .now) } }

    public static func < (a: Self, b: Self) -> Bool {
        switch (a.moment, b.moment) {
        case (let a?, let b?): a < b
        case (_?, nil): true
        case (nil, _): false
        }
    }
}

/// Sends and receives messages over a byte stream, as frames.
///
/// Each side copies a tensor once: from its array to the transport, and from there into a new array.
public struct MessageStream: Sendable {
    /// The stream over which the messages go.
    public let bytes: any ByteStream
    /// How long a message may take from its first byte on, in addition to one second for each MiB.
    private let patience: Duration

    /// Sends and receives messages over a stream.
    ///
    /// - Parameters:
    ///   - bytes: The stream.
    ///   - patience: How long a message may take from its first byte on, in addition to one second for each MiB.
    public init(_ bytes: any ByteStream, patience: Duration = .seconds(10)) {
        self.bytes = bytes
        self.patience = patience
    }

    private func deadline(_ byteCount: Int) -> Deadline {
        Deadline(after: patience + .seconds(byteCount >> 20))
    }

    /// Sends a message.
    public func send(_ message: Message) throws(LinkError) {
        switch message.tensor {
        case .none: try unsafe send(message, UnsafeRawBufferPointer(start: nil, count: 0))
        case .floats(let values):
            try unsafe values.span.bytes.withUnsafeBytes { b throws(LinkError) in try unsafe send(message, b)
            }
        case .words(let values):
            try unsafe values.span.bytes.withUnsafeBytes { b throws(LinkError) in try unsafe send(message, b)
            }
        }
    }

    private func send(_ message: Message, _ tensor: UnsafeRawBufferPointer) throws(LinkError) {
        precondition(message.fields.count <= FrameHead.payloadLimit, "MessageStream: fields too long")
        let deadline = deadline(tensor.count)
        var head = message.head
        precondition(tensor.count == head.tensorBytes, "MessageStream: the tensor does not have its shape")
        var sent = 0
        var fields = message.fields
        repeat {
            let part = min(tensor.count - sent, FrameHead.payloadLimit - fields.count)
            head.payloadBytes = fields.count + part
            let start = head.bytes + fields
            try unsafe start.span.bytes.withUnsafeBytes { b throws(LinkError) in
                try unsafe bytes.write(b, before: deadline)
            }
            if part > 0 {
                try unsafe bytes.write(
                    UnsafeRawBufferPointer(rebasing: tensor[sent..<sent + part]), before: deadline)
            }
            sent += part
            head.kind = .more
            head.fieldBytes = 0
            fields = []
        } while sent < tensor.count
    }

    /// Waits for the next message.
    ///
    /// - Parameters:
    ///   - deadline: The time by which the message's first byte must have come.
    ///   - later: Called when no byte has come by then; it returns a new deadline, or nil to give up.
    ///   - begin: Checks by the head whether the message may come, before memory is allocated for the rest of it.
    /// - Returns: The whole message.
    /// - Throws: ``LinkError``; the stream cannot be used any more then.
    public func receive(
        before deadline: Deadline, orElse later: () -> Deadline? = { nil },
        begin: (FrameHead) throws(LinkError) -> Void
    ) throws(LinkError) -> Message {
        // A peer may be silent for long only before the first byte; one that stops within a head has stalled.
        let first = try firstByte(before: deadline, orElse: later)
        let head = try FrameHead(bytes: first + read(FrameHead.byteCount - 1, before: self.deadline(0)))
        guard head.kind != .more else { throw .malformedFrame("the rest of a message that did not begin") }
        try begin(head)
        let rest = self.deadline(head.tensorBytes)
        let fields = try read(head.fieldBytes, before: rest)
        switch head.elements {
        case .none: return Message(head: head, fields: fields)
        case .float32:
            var values = [Float](repeating: 0, count: head.rows * head.channels)
            var span = values.mutableSpan
            try unsafe span.withUnsafeMutableBytes { b throws(LinkError) in
                try unsafe tensor(head, into: b, before: rest)
            }
            return Message(head: head, fields: fields, tensor: .floats(values))
        case .uint32:
            var values = [UInt32](repeating: 0, count: head.rows * head.channels)
            var span = values.mutableSpan
            try unsafe span.withUnsafeMutableBytes { b throws(LinkError) in
                try unsafe tensor(head, into: b, before: rest)
            }
            return Message(head: head, fields: fields, tensor: .words(values))
        }
    }

    /// Reads a tensor, whose first part is in the frame of `first`.
    private func tensor(
        _ first: FrameHead, into buffer: UnsafeMutableRawBufferPointer, before deadline: Deadline
    ) throws(LinkError) {
        var part = first.payloadBytes - first.fieldBytes
        var done = 0
        while true {
            if part > 0 {
                try unsafe bytes.read(
                    UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + part]), before: deadline)
            }
            done += part
            guard done < buffer.count else { return }
            let next = try head(before: deadline)
            var expected = first
            expected.kind = .more
            expected.fieldBytes = 0
            expected.payloadBytes = next.payloadBytes
            part = next.payloadBytes
            guard next == expected, part > 0, part <= buffer.count - done else {
                throw .malformedFrame("a frame that does not go on with the message before it")
            }
        }
    }

    private func firstByte(
        before deadline: Deadline, orElse later: () -> Deadline?
    ) throws(LinkError) -> [UInt8] {
        var deadline = deadline
        while true {
            do throws(LinkError) { return try read(1, before: deadline) } catch {
                // A time-out before the single byte has lost no bytes, so the stream can be read on.
                guard case .timedOut = error, let next = later() else { throw error }
                deadline = next
            }
        }
    }

    private func head(before deadline: Deadline) throws(LinkError) -> FrameHead {
        try FrameHead(bytes: read(FrameHead.byteCount, before: deadline))
    }

    private func read(_ count: Int, before deadline: Deadline) throws(LinkError) -> [UInt8] {
        guard count > 0 else { return [] }
        var result = [UInt8](repeating: 0, count: count)
        var span = result.mutableSpan
        try unsafe span.withUnsafeMutableBytes { b throws(LinkError) in
            try unsafe bytes.read(b, before: deadline)
        }
        return result
    }
}
