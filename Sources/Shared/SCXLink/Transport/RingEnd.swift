/// One end of a byte ring in shared memory: its writer, or its reader.
///
/// Believes its own counter, which it keeps here and only publishes there, and checks the peer's each time that it reads it: a
/// peer that writes anything into the memory gets at most wrong bytes out of the ring.
struct RingEnd {
    enum Role { case reader, writer }

    /// Bytes that are copied before the other end is told, so that both copy at the same time.
    private static let chunk = 1 << 18
    /// The shortest time to watch for the other end before sleeping, in nanoseconds.
    static let shortestSpin: UInt32 = 2_000

    private let ring: RingWords
    private let role: Role
    private let longestSpin: UInt32
    /// Bytes that this end has moved since the beginning.
    private var own: UInt64 = 0
    /// Bytes that may be moved now, as of the last look at the peer's counter.
    private var available: Int
    private var spin: UInt32
    /// Waits in a row that spinning did not end.
    private var vainSpins = 0

    /// - Parameters:
    ///   - ring: The bytes and both ends' counters.
    ///   - role: Which end this is.
    ///   - longestSpin: How many nanoseconds to watch for the other end before sleeping, which costs both ends 10 to 50 µs.
    ///     Who watches gives its core to any thread that waits for one.
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

    /// The peer's counter as it must be when `available` bytes can be moved.
    private var expected: UInt64 {
        role == .reader ? own &+ UInt64(available) : own &+ UInt64(available) &- UInt64(ring.capacity)
    }

    /// Moves as many of `count` bytes as can be moved now, a chunk at most, and returns how many.
    ///
    /// `move` copies a number of bytes from, or to, a position of the ring.
    ///
    /// - Throws: ``LinkError/malformedFrame(_:)`` when the peer's counter is impossible.
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

    /// Reads the peer's counter, which only ever grows, and never past what the ring holds.
    private mutating func look() throws(LinkError) {
        let grown = ring.count(peerWord) &- expected
        guard grown <= UInt64(ring.capacity - available) else {
            throw .malformedFrame("an impossible counter in the shared memory")
        }
        available += Int(grown)
    }

    /// Waits until the peer's counter changes; may return early.
    ///
    /// `mustStop` is asked just before sleeping, when this end can already be woken.
    mutating func wait(milliseconds: Int32, mustStop: () -> Bool) {
        let seen = expected
        ring.spin(peerWord, while: seen, nanoseconds: spin)
        guard ring.count(peerWord) == seen else {
            spin = longestSpin
            vainSpins = 0
            return
        }
        // Where the peer computes for long, watching only burns a core. A long spin now and then finds out that this has
        // changed.
        vainSpins &+= 1
        spin = vainSpins.isMultiple(of: 16) ? longestSpin : max(Self.shortestSpin, spin / 2)
        ring.announceSleep(ownFlag)
        // The other end publishes its counter before it looks at the flag, so one of the two sees the other.
        if ring.count(peerWord) == seen, !mustStop() { ring.sleep(ownFlag, milliseconds: milliseconds) }
        ring.retractSleep(ownFlag)
    }
}
