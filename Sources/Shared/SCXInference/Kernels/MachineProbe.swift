import CSCXKernels
import Synchronization

/// Measures the most that this machine can do at this moment.
///
/// On shared hosts memory bandwidth and clock change from one second to the next, so a kernel's speed can only be
/// judged beside a probe of the same moment. Each probe takes some tens of milliseconds.
public enum MachineProbe {
    /// Bytes per second that the pool's threads read from memory together: the upper limit for matrix-vector
    /// products.
    ///
    /// It is the best of a few passes over 128 MiB, which is more than the caches of most processors.
    ///
    /// - Throws: ``KernelError`` when there is no memory to read.
    public static func readBandwidth(pool: ThreadPool) throws(KernelError) -> Double {
        let share = (128 << 20) / pool.threads & ~4095
        let memory = try HugePages(count: share * pool.threads)
        // Memory that was never written is one shared page of zeros. It is also written by the thread that will
        // likely read it.
        unsafe each(pool, memory.bytes.baseAddress) { start, index in
            unsafe (start + index * share).initializeMemory(as: UInt8.self, repeating: 1, count: share)
        }
        let seconds = bestOf(3) {
            unsafe each(pool, memory.bytes.baseAddress) { start, index in
                _ = unsafe cscx_probe_read(start + index * share, share)
            }
        }
        return Double(share * pool.threads) / seconds
    }

    /// Multiply-adds per second of the kernels' innermost instructions on all threads: the upper limit for matrix
    /// products.
    public static func peak(
        format: WeightFormat, pool: ThreadPool, on isa: InstructionSet = .detected
    ) -> Double {
        peak(pool) { rounds in cscx_probe_peak(isa.c, format.c, rounds) }
    }

    /// The same for products modulo 2³²: the upper limit for ``ringLinear(_:_:into:tokens:pool:on:)``.
    public static func ringPeak(pool: ThreadPool, on isa: InstructionSet = .detected) -> Double {
        peak(pool) { rounds in cscx_probe_ring_peak(isa.c, rounds) }
    }

    /// Multiply-adds per second of `body`, which repeats the arithmetic `rounds` times and returns the number of
    /// multiply-adds.
    private static func peak(_ pool: ThreadPool, _ body: (_ rounds: Int) -> Double) -> Double {
        let done = Mutex(0.0)
        func run(_ rounds: Int) {
            done.withLock { $0 = 0 }
            pool.run(pool.threads) { _ in
                let count = body(rounds)
                done.withLock { $0 += count }
            }
        }
        // Find a number of rounds that takes about 10 ms.
        var rounds = 1_000
        while rounds < 1 << 40, bestOf(1, { run(rounds) }) < 0.005 { rounds *= 2 }
        let seconds = bestOf(3) { run(rounds) }
        return done.withLock { $0 } / seconds
    }

    private static func each(
        _ pool: ThreadPool, _ start: UnsafeMutableRawPointer?, _ body: (UnsafeMutableRawPointer, Int) -> Void
    ) {
        guard let start = unsafe start else { return }
        pool.run(pool.threads) { index in unsafe body(start, index) }
    }

    /// The shortest of `count` runs, in seconds.
    private static func bestOf(_ count: Int, _ body: () -> Void) -> Double {
        let clock = ContinuousClock()
        return (0..<count).map { _ in clock.measure(body) / .seconds(1) }.min() ?? .infinity
    }
}
