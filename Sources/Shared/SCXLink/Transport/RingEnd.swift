/// One end of a ring of bytes in shared memory: its writer or its reader.
///
/// An end keeps its true counter in its own memory and only publishes it in the shared memory. It checks the peer's
/// counter each time that it reads it. So a peer that writes anything into the memory can at most cause wrong bytes
/// to be read from the ring.
struct RingEnd {
    enum Role { case reader, writer }

    /// Bytes that are copied before the counter is published, so that both ends can copy at the same time.
    private static let chunk = 1 << 18
    /// The shortest time that this end spins, watching the peer's counter, before it sleeps, in nanoseconds.
    static let shortestSpin: UInt32 = 2_000

    private let ring: RingWords
    private let role: Role
    private let longestSpin: UInt32
    /// The number of bytes that this end has moved since the stream began.
    private var own: UInt64 = 0
    /// The number of bytes that this end can move now, as of its last look at the peer's counter.
    private var available: Int
    private var spin: UInt32
    /// How many waits in a row have ended in sleep, although this end had spun before.
    private var vainSpins = 0

    /// Makes one end of a ring.
    ///
    /// - Parameters:
    ///   - ring: The bytes and both ends' counters.
    ///   - role: Which end this is.
    ///   - longestSpin: How many nanoseconds to spin before sleeping, which costs both ends 10 to 50 µs. While it
    ///     spins, this end gives its core to any other thread that is ready to run.
    init(_ ring: RingWords, _ role: Role, longestSpin: UInt32) {
        self.ring = ring
        self.role = role
        self.longestSpin = longestSpin
        spin = longestSpin
        available = role == .reader ? 0 : ring.capacity
    }

    private var ownWord: RingWords.Word { role == .reader ? .taken : .written }
    private var peerWord: RingWords.Word { role == .reader ? .written : .taken }
    private var ownFlag: RingWords.Word { role == .reader ? .readerSleeps : .writerSleeps }
    private var peerFlag: RingWords.Word { role == .reader ? .writerSleeps : .readerSleeps }

    /// The value that the peer's counter must have for `available` bytes to be movable.
    private var expected: UInt64 {
        role == .reader ? own &+ UInt64(available) : own &+ UInt64(available) &- UInt64(ring.capacity)
    }

    /// Moves as many of `count` bytes as can be moved now, at most a chunk, and returns how many.
    ///
    /// `move` copies a number of bytes from, or to, a position of the ring.
    ///
    /// - Throws: ``LinkError/malformedFrame(_:)`` when the peer's counter has an impossible value.
    mutating func step(_ count: Int, _ move: (RingWords, UInt64, Int) -> Void) throws(LinkError) -> Int {
        if available < min(count, Self.chunk) { try look() }
        let part = min(count, available, Self.chunk)
        guard part > 0 else { return 0 }
        move(ring, own, part)
        own &+= UInt64(part)
        available -= part
        ring.set(ownWord, own)
        ring.wake(peerFlag)
        return part
    }

    /// Whether the peer's counter has changed since the last step.
    var hasNews: Bool { ring.count(peerWord) != expected }

    /// Reads the peer's counter, which must never fall nor exceed what the ring can hold.
    private mutating func look() throws(LinkError) {
        let grown = ring.count(peerWord) &- expected
        guard grown <= UInt64(ring.capacity - available) else {
            throw .malformedFrame("an impossible counter in the shared memory")
        }
        available += Int(grown)
    }

    /// Waits until the peer's counter changes; may return early.
    ///
    /// `mustStop` is called directly before sleeping, when the peer can already wake this end.
    mutating func wait(milliseconds: Int32, mustStop: () -> Bool) {
        let seen = expected
        ring.spin(peerWord, while: seen, nanoseconds: spin)
        guard ring.count(peerWord) == seen else {
            spin = longestSpin
            vainSpins = 0
            return
        }
        // When the peer computes for long, spinning only wastes a core, so this end soon spins briefly only. A long
        // spin now and then finds out whether that has changed.
        vainSpins &+= 1
        spin = vainSpins.isMultiple(of: 16) ? longestSpin : max(Self.shortestSpin, spin / 2)
        ring.announceSleep(ownFlag)
        // The other end publishes its counter before it looks at this end's flag, and this end sets its flag before
        // it looks at the counter. So at least one of the two sees the other's change.
        if ring.count(peerWord) == seen, !mustStop() { ring.sleep(ownFlag, milliseconds: milliseconds) }
        ring.retractSleep(ownFlag)
    }
}
