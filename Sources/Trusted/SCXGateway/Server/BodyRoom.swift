import SCXInference
import Synchronization

/// Memory for the bodies of all requests that are read or answered.
///
/// A body is held until its request is answered, so many large ones could take all memory there is. Small ones always have
/// room: there are never more of them than connections.
final class BodyRoom: Sendable {
    private let bytes: Int
    private let used = Mutex(0)

    /// Makes room.
    ///
    /// - Parameter bytes: For all large bodies together.
    init(bytes: Int = 512 << 20) { self.bytes = bytes }

    /// Bytes in use.
    var usedBytes: Int { used.withLock { $0 } }

    /// Room for a body.
    ///
    /// - Parameter count: Its bytes.
    /// - Returns: Gives the room back when it is freed; nil for a small body, which needs none.
    /// - Throws: ``APIError``, 503, when there is no room now.
    func take(_ count: Int) throws(APIError) -> Lease? {
        guard count > WorkPool.quickBytes else { return nil }
        let lease = Lease(self)
        try lease.grow(to: count)
        return lease
    }

    private func add(_ count: Int) -> Bool {
        used.withLock { used in
            guard count <= 0 || used + count <= bytes else { return false }
            used += count
            return true
        }
    }

    /// The room that one body has.
    final class Lease: Sendable {
        private let room: BodyRoom
        private let bytes = Mutex(0)

        fileprivate init(_ room: BodyRoom) { self.room = room }

        deinit { _ = room.add(-bytes.withLock { $0 }) }

        /// Takes more room, or gives some back.
        ///
        /// - Throws: ``APIError``, 503, when there is no more.
        func grow(to count: Int) throws(APIError) {
            let isTaken = bytes.withLock { bytes in
                guard room.add(count - bytes) else { return false }
                bytes = count
                return true
            }
            guard isTaken else {
                throw APIError(
                    status: 503, "other requests have too large bodies now", type: "overloaded_error",
                    code: "no_room_for_body", retryAfter: 2)
            }
        }
    }
}

extension JSON {
    /// Bytes of memory that the value takes, about.
    var memorySize: Int {
        var bytes = 0
        var pending = [self]
        while let value = pending.popLast() {
            bytes += MemoryLayout<JSON>.stride
            switch value {
            case .string(let text): bytes += text.utf8.count
            case .array(let values): pending += values
            case .object(let members):
                for member in members {
                    bytes += MemoryLayout<JSON.Member>.stride + member.name.utf8.count
                    pending.append(member.value)
                }
            default: break
            }
        }
        return bytes
    }
}
