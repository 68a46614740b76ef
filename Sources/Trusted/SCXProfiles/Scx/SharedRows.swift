import SCXLink

/// A slot in which the worker keeps the rows of several sessions whose prompts were computed together.
///
/// Each of these sessions holds a reference until it has shared its keys or has ended. When the last reference is gone,
/// the slot is added to ``UnusedSlots``.
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
    private var next = UInt32.max - 1

    /// Returns a slot number that was not used before.
    ///
    /// The engine's numbers count up from 0, so these count down from the largest that names a slot on the link.
    fileprivate func draw() -> Slot {
        defer { next -= 1 }
        return Slot(number: next)
    }
}
