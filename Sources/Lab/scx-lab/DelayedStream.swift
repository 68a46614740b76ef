import Foundation
package import SCXLink

/// A stream whose written bytes arrive later: a link with a longer round trip, for measurements and tests.
///
/// Bytes keep their order, and those that are written while others are on their way are delayed by no more than these: it
/// is the time of a link that grows, not what it carries in a second.
package final class DelayedStream: ByteStream, @unchecked Sendable {
    private struct Piece {
        let bytes: [UInt8]
        let due: ContinuousClock.Instant
        let deadline: Deadline
    }

    private let inner: any ByteStream
    private let delay: Duration

    // All below is guarded by it.
    private let lock = NSCondition()
    private var pieces: [Piece] = []
    private var end: LinkError?

    /// Delays what is written to a stream.
    ///
    /// - Parameters:
    ///   - inner: The stream, which nobody else writes to.
    ///   - delay: How much later bytes arrive, which is what a round trip takes longer.
    package init(_ inner: any ByteStream, by delay: Duration) {
        (self.inner, self.delay) = (inner, delay)
        let thread = Thread { [self] in deliver() }
        thread.name = "scx delay"
        thread.start()
    }

    package var remoteEnd: RemoteEnd { inner.remoteEnd }

    @unsafe package func read(
        _ buffer: UnsafeMutableRawBufferPointer, before deadline: Deadline
    ) throws(LinkError) {
        try unsafe inner.read(buffer, before: deadline)
    }

    @unsafe package func write(
        _ buffer: UnsafeRawBufferPointer, before deadline: Deadline
    ) throws(LinkError) {
        let bytes = unsafe Array(buffer)
        let failure = lock.withLock { () -> LinkError? in
            if let end { return end }
            pieces.append(Piece(bytes: bytes, due: .now + delay, deadline: deadline))
            lock.signal()
            return nil
        }
        if let failure { throw failure }
    }

    package func close() { finish(.disconnected("closed on this side")) }

    private func finish(_ error: LinkError) {
        lock.withLock {
            end = end ?? error
            lock.signal()
        }
        inner.close()
    }

    /// Hands on what is due, until the stream ends.
    private func deliver() {
        while true {
            let piece = lock.withLock { () -> Piece? in
                while pieces.isEmpty, end == nil { lock.wait() }
                return end == nil ? pieces.removeFirst() : nil
            }
            guard let piece else { return }
            let wait = (piece.due - .now) / .seconds(1)
            if wait > 0 { Thread.sleep(forTimeInterval: wait) }
            do throws(LinkError) {
                try unsafe piece.bytes.span.bytes.withUnsafeBytes { bytes throws(LinkError) in
                    try unsafe inner.write(bytes, before: piece.deadline)
                }
            } catch {
                finish(error)
            }
        }
    }
}
