import SCXLink
import Synchronization
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Numbers from a seed (xorshift).
struct SeededNumbers: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state &* 0x2545_F491_4F6C_DD1D
    }
}

/// A closure that runs on a thread of its own, since calls that block may not hold a task's thread.
final class Background<Result: Sendable>: Sendable {
    private let result = Mutex<Result?>(nil)
    private let done = Atomic(false)

    init(_ body: @escaping @Sendable () -> Result) {
        let start: @Sendable () -> Void = { [self] in
            let value = body()
            result.withLock { $0 = value }
            done.store(true, ordering: .releasing)
        }
        runOnThread(start)
    }

    /// What the closure returned; nil if it has not within the limit.
    func value(within limit: Duration = .seconds(3_600)) -> Result? {
        let end = ContinuousClock.now + limit
        while !done.load(ordering: .acquiring) {
            guard ContinuousClock.now < end else { return nil }
            usleep(500)
        }
        return result.withLock { $0 }
    }
}

private final class ThreadBody: Sendable {
    let run: @Sendable () -> Void

    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

private func runOnThread(_ body: @escaping @Sendable () -> Void) {
    #if canImport(Darwin)
        var thread: pthread_t?
    #else
        var thread = pthread_t()
    #endif
    let context = unsafe Unmanaged.passRetained(ThreadBody(body)).toOpaque()
    let code = unsafe pthread_create(
        &thread, nil,
        { context in
            #if canImport(Darwin)
                unsafe Unmanaged<ThreadBody>.fromOpaque(context).takeRetainedValue().run()
            #else
                if let context = unsafe context {
                    unsafe Unmanaged<ThreadBody>.fromOpaque(context).takeRetainedValue().run()
                }
            #endif
            return nil
        }, context)
    precondition(code == 0, "no thread")
    #if canImport(Darwin)
        if let thread { pthread_detach(thread) }
    #else
        pthread_detach(thread)
    #endif
}

extension ByteStream {
    func send(_ bytes: [UInt8], before deadline: Deadline = Deadline(after: .seconds(3_600)))
        throws(LinkError)
    {
        try unsafe bytes.span.bytes.withUnsafeBytes { b throws(LinkError) in
            try unsafe write(b, before: deadline)
        }
    }

    func receive(
        _ count: Int, before deadline: Deadline = Deadline(after: .seconds(3_600))
    ) throws(LinkError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var span = bytes.mutableSpan
        try unsafe span.withUnsafeMutableBytes { b throws(LinkError) in try unsafe read(b, before: deadline) }
        return bytes
    }
}

/// What a call threw, nil when it did not.
func failure(_ body: () throws(LinkError) -> Void) -> LinkError? {
    do throws(LinkError) {
        try body()
        return nil
    } catch {
        return error
    }
}

extension LinkError? {
    var isTimeOut: Bool { if case .timedOut? = self { true } else { false } }
    var isDisconnected: Bool { if case .disconnected? = self { true } else { false } }
    var isMalformed: Bool { if case .malformedFrame? = self { true } else { false } }
}

/// A directory that is removed with this object.
final class TemporaryDirectory {
    let path: String

    init() throws {
        path = "/tmp/scx-link-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        try #require(unsafe mkdir(path, 0o700) == 0)
    }

    /// Removes the files that the tests name, then the directory.
    deinit {
        for name in ["worker", "other"] { unsafe unlink("\(path)/\(name)") }
        unsafe rmdir(path)
    }
}

/// Sends numbers in pieces of random sizes both ways at once, reads them in pieces of other sizes, and compares.
///
/// The largest piece has `largest` bytes; `total` pass each way.
func exchangePieces(
    _ a: any ByteStream, _ b: any ByteStream, largest: Int, total: Int, seed: UInt64
) -> [LinkError?] {
    @Sendable func sizes(_ seed: UInt64) -> [Int] {
        var random = SeededNumbers(seed: seed)
        var left = total
        var sizes: [Int] = []
        while left > 0 {
            // As many small pieces as large ones.
            let limit =
                1 << Int.random(in: 0...(Int.bitWidth - largest.leadingZeroBitCount - 1), using: &random)
            sizes.append(min(left, Int.random(in: 0...limit, using: &random)))
            left -= sizes.last ?? 0
        }
        return sizes
    }
    let numbers = (0..<total).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13) }
    @Sendable func writer(_ stream: any ByteStream, _ seed: UInt64) -> Background<LinkError?> {
        Background {
            failure { () throws(LinkError) in
                var at = 0
                for size in sizes(seed) {
                    try stream.send(Array(numbers[at..<at + size]))
                    at += size
                }
            }
        }
    }
    @Sendable func reader(_ stream: any ByteStream, _ seed: UInt64) -> Background<LinkError?> {
        Background {
            failure { () throws(LinkError) in
                var at = 0
                for size in sizes(seed) {
                    guard try stream.receive(size) == Array(numbers[at..<at + size]) else {
                        throw .unexpectedAnswer("other bytes in a piece of \(size) at \(at)")
                    }
                    at += size
                }
            }
        }
    }
    let all = [writer(a, seed), reader(b, seed + 1), writer(b, seed + 2), reader(a, seed + 3)]
    return all.map { $0.value() ?? .timedOut("the test") }
}
