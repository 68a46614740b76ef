import SCXLink

/// A slot of no session, in which the worker keeps the rows of several sessions whose prompts were computed together.
///
/// Each session keeps a reference until it has shared its keys or has ended. When none is left, the slot's number goes
/// to ``UnusedSlots``.
final class SharedRows {
    let slot: Slot
    private let unused: UnusedSlots

    init(_ unused: UnusedSlots) {
        slot = unused.draw()
        self.unused = unused
    }

    deinit { unused.slots.append(slot) }
}

/// The slots of ``SharedRows`` that no session needs any more, and that the worker has not released yet.
///
/// Not thread-safe: one forward pass owns it.
final class UnusedSlots {
    var slots: [Slot] = []
    private var next = UInt32.max

    /// A number that no slot had before. The engine counts from 0 upwards, so these are counted downwards.
    fileprivate func draw() -> Slot {
        defer { next -= 1 }
        return Slot(number: next)
    }
}
