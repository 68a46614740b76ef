import CSCXSystem

/// Memory that two processes map, with a ring of bytes for each direction.
///
/// The first page holds the counters and flags of both ends (``RingWords``); the bytes of the two rings follow.
@safe
final class SharedMemory: Sendable {
    /// The sizes that a ring may have, in bytes; a size is a power of two.
    static let ringLimits = (1 << 12)...(1 << 24)
    private static let headBytes = 4096

    let ringBytes: Int
    // Mapped from init to deinit. The peer may change any byte at any time.
    nonisolated(unsafe) private let base: UnsafeMutableRawPointer

    static func isValid(ringBytes: Int) -> Bool {
        ringLimits.contains(ringBytes) && ringBytes.nonzeroBitCount == 1
    }

    static func byteCount(ringBytes: Int) -> Int { headBytes + 2 * ringBytes }

    /// Maps memory whose size has been checked; nil when the system refuses.
    init?(descriptor: Int32, ringBytes: Int) {
        precondition(Self.isValid(ringBytes: ringBytes), "SharedMemory: size of a ring")
        guard let base = unsafe cscx_memory_map(descriptor, Self.byteCount(ringBytes: ringBytes)) else {
            return nil
        }
        unsafe self.base = base
        self.ringBytes = ringBytes
    }

    deinit { unsafe cscx_memory_unmap(base, Self.byteCount(ringBytes: ringBytes)) }

    /// One of the two rings: 0 carries bytes from the side that made the memory, 1 to it.
    func ring(_ index: Int) -> RingWords {
        precondition(index == 0 || index == 1, "SharedMemory: there are two rings")
        return unsafe RingWords(
            memory: self, words: base + index * RingWords.byteCount,
            bytes: UnsafeMutableRawBufferPointer(
                start: base + Self.headBytes + index * ringBytes, count: ringBytes))
    }
}

/// A ring in shared memory: its bytes and four words, each of which has a pair of cache lines to itself.
///
/// Nothing that is read from here can be trusted, not even to have the same value when it is read again.
@safe
struct RingWords: @unchecked Sendable {
    static let byteCount = 4 * 128

    private let memory: SharedMemory  // Keeps the pointers valid.
    private let words: UnsafeMutableRawPointer
    private let bytes: UnsafeMutableRawBufferPointer

    fileprivate init(
        memory: SharedMemory, words: UnsafeMutableRawPointer, bytes: UnsafeMutableRawBufferPointer
    ) {
        self.memory = memory
        unsafe self.words = words
        unsafe self.bytes = bytes
    }

    var capacity: Int { unsafe bytes.count }

    /// The offset of each word in the first page, in bytes.
    enum Word: Int {
        /// How many bytes the writer has put into the ring since the stream began.
        case written = 0
        /// How many bytes the reader has taken out since the stream began.
        case taken = 128
        /// 1 while the reader sleeps until `written` changes.
        case readerSleeps = 256
        /// 1 while the writer sleeps until `taken` changes.
        case writerSleeps = 384
    }

    func count(_ word: Word) -> UInt64 { unsafe cscx_load64(words + word.rawValue) }

    func set(_ word: Word, _ count: UInt64) { unsafe cscx_store64(words + word.rawValue, count) }

    func spin(_ word: Word, while seen: UInt64, nanoseconds: UInt32) {
        unsafe cscx_spin64(words + word.rawValue, seen, nanoseconds)
    }

    func announceSleep(_ flag: Word) { unsafe cscx_store32(words + flag.rawValue, 1) }

    func retractSleep(_ flag: Word) { unsafe cscx_store32(words + flag.rawValue, 0) }

    func sleep(_ flag: Word, milliseconds: Int32) {
        unsafe cscx_futex_wait(words + flag.rawValue, 1, UInt32(max(0, milliseconds)))
    }

    /// Wakes the other end if its flag says that it sleeps.
    func wake(_ flag: Word) {
        if unsafe cscx_load32(words + flag.rawValue) != 0 { wakeAnyway(flag) }
    }

    func wakeAnyway(_ flag: Word) {
        unsafe cscx_store32(words + flag.rawValue, 0)
        unsafe cscx_futex_wake(words + flag.rawValue)
    }

    /// Copies bytes out of the ring; `position` counts bytes from the beginning of the stream.
    func copy(from position: UInt64, to target: UnsafeMutableRawBufferPointer) {
        precondition(target.count <= capacity, "RingWords: more than the ring holds")
        let start = Int(position & UInt64(capacity - 1))
        let first = min(target.count, capacity - start)
        unsafe UnsafeMutableRawBufferPointer(rebasing: target[..<first]).copyMemory(
            from: UnsafeRawBufferPointer(rebasing: bytes[start..<start + first]))
        unsafe UnsafeMutableRawBufferPointer(rebasing: target[first...]).copyMemory(
            from: UnsafeRawBufferPointer(rebasing: bytes[..<(target.count - first)]))
    }

    /// Copies bytes into the ring; `position` counts bytes from the beginning of the stream.
    func copy(_ source: UnsafeRawBufferPointer, to position: UInt64) {
        precondition(source.count <= capacity, "RingWords: more than the ring holds")
        let start = Int(position & UInt64(capacity - 1))
        let first = min(source.count, capacity - start)
        unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[start..<start + first]).copyMemory(
            from: UnsafeRawBufferPointer(rebasing: source[..<first]))
        unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[..<(source.count - first)]).copyMemory(
            from: UnsafeRawBufferPointer(rebasing: source[first...]))
    }
}
