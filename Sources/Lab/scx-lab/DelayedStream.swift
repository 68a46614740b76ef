import Foundation
package import SCXLink

/// A stream whose written bytes arrive later: it simulates a link with a longer round trip, for measurements and
/// tests.
///
/// Bytes keep their order, and bytes that are written while others are on their way are not delayed further by these.
/// So the link's latency grows, and its bandwidth does not change.
package final class DelayedStream: ByteStream, @unchecked Sendable {
    private struct Piece {
        let bytes: [UInt8]
        let due: ContinuousClock.Instant
        let deadline: Deadline
    }

    private let inner: any ByteStream
    private let delay: Duration

    // This lock guards everything below.
    private let lock = NSCondition()
    private var pieces: [Piece] = []
    private var end: LinkError?

    /// Delays what is written to a stream.
    ///
    /// - Parameters:
    ///   - inner: The stream; nobody else may write to it.
    ///   - delay: How much later bytes arrive, and so by how much a round trip is longer.
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

    /// Passes on the bytes that are due, until the stream ends.
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
