import SCXInference
import SCXLink

/// The slots of all connections, and the limits on their memory.
///
/// Before a slot grows, call ``check(adding:slots:)``; afterwards call ``keep(_:at:)``.
struct SlotMemory {
    private struct Place {
        let slot: WorkerSlot
        /// The bytes that the slot had when they were last counted.
        var byteCount: Int
    }

    private let maximumSlots: Int
    private let maximumBytes: Int
    private var places: [SlotKey: Place] = [:]
    /// Bytes of all slots.
    private(set) var byteCount = 0

    init(slots: Int, bytes: Int) {
        maximumSlots = slots
        maximumBytes = bytes
    }

    var count: Int { places.count }

    subscript(key: SlotKey) -> WorkerSlot? { places[key]?.slot }

    /// Checks that slots may grow.
    ///
    /// - Parameters:
    ///   - bytes: How many bytes they would grow by in all; negative when they shrink.
    ///   - slots: How many of them are new.
    /// - Throws: ``LinkError/workerFull(_:)`` when that would exceed a limit.
    func check(adding bytes: Int, slots: Int = 0) throws(LinkError) {
        guard slots == 0 || slots <= maximumSlots - places.count else {
            throw .workerFull("\(places.count) sessions of at most \(maximumSlots)")
        }
        guard bytes <= 0 || bytes <= maximumBytes - byteCount else {
            throw .workerFull("\(byteCount) bytes of at most \(maximumBytes), and \(bytes) more are needed")
        }
    }

    /// Counts the bytes of a slot that has changed, and adds the slot if it is new.
    mutating func keep(_ slot: WorkerSlot, at key: SlotKey) {
        let bytes = slot.byteCount
        byteCount += bytes - (places[key]?.byteCount ?? 0)
        places[key] = Place(slot: slot, byteCount: bytes)
    }

    mutating func remove(_ key: SlotKey) { byteCount -= places.removeValue(forKey: key)?.byteCount ?? 0 }

    mutating func remove(connection: UInt64) {
        for key in places.keys where key.connection == connection { remove(key) }
    }
}
