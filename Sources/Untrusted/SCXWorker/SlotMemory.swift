import SCXInference
import SCXLink

/// The slots of all connections, within limits.
///
/// Who lets a slot grow asks ``check(adding:slots:)`` first and says ``keep(_:at:)`` afterwards.
struct SlotMemory {
    private struct Place {
        let slot: WorkerSlot
        /// Its bytes when they were last counted.
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

    /// Decides whether the slots may grow.
    ///
    /// - Parameters:
    ///   - bytes: How much they would grow in all; negative when they shrink.
    ///   - slots: How many of them are new.
    /// - Throws: ``LinkError/workerFull(_:)``.
    func check(adding bytes: Int, slots: Int = 0) throws(LinkError) {
        guard slots == 0 || slots <= maximumSlots - places.count else {
            throw .workerFull("\(places.count) sessions of at most \(maximumSlots)")
        }
        guard bytes <= 0 || bytes <= maximumBytes - byteCount else {
            throw .workerFull("\(byteCount) bytes of at most \(maximumBytes), and \(bytes) more are needed")
        }
    }

    /// Counts a slot that has changed, and keeps it if it is new.
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
