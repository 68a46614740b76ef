import Dispatch
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Writes lines to a file, off the path of those who have something to say.
///
/// When the file is slower than they are, lines are dropped and counted.
final class LineWriter: Sendable {
    private struct State {
        var pending: [UInt8] = []
        var dropped = 0
        var isScheduled = false
    }

    private let descriptor: Int32
    private let limit: Int
    private let queue = DispatchQueue(label: "scx lines", qos: .utility)
    private let state = Mutex(State())

    /// Starts with nothing to write.
    ///
    /// - Parameters:
    ///   - descriptor: An open file, closed with the writer.
    ///   - limit: Most bytes that wait.
    init(descriptor: Int32, limit: Int = 4 << 20) {
        self.descriptor = descriptor
        self.limit = limit
    }

    deinit {
        writePending()
        close(descriptor)
    }

    /// Lines that were not written.
    var dropped: Int { state.withLock { $0.dropped } }

    /// Takes a line without its end.
    func append(_ line: String) {
        let schedules = state.withLock { state -> Bool in
            guard state.pending.count + line.utf8.count < limit else {
                state.dropped += 1
                return false
            }
            state.pending += line.utf8
            state.pending.append(UInt8(ascii: "\n"))
            defer { state.isScheduled = true }
            return !state.isScheduled
        }
        guard schedules else { return }
        queue.async { [self] in writePending() }
    }

    /// Returns when all lines so far are written.
    func flush() { queue.sync { writePending() } }

    private func writePending() {
        let bytes = state.withLock { state -> [UInt8] in
            var bytes: [UInt8] = []
            swap(&bytes, &state.pending)
            state.isScheduled = false
            return bytes
        }
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            // A full disk must not stop the server.
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }
}
