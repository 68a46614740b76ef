import CSCXKernels
import Synchronization

/// What this machine can do at most, measured now.
///
/// Memory bandwidth and clocks change from one second to the next on shared hosts, so a kernel's speed means
/// something only beside a probe of the same moment. Each probe takes some tens of milliseconds.
public enum MachineProbe {
    /// Bytes per second that the pool's threads read from memory together: the roof of matrix-vector products.
    ///
    /// The best of a few passes over 128 MiB, more than the caches of most processors.
    ///
    /// - Throws: ``KernelError`` when there is no memory to read.
    public static func readBandwidth(pool: ThreadPool) throws(KernelError) -> Double {
        let share = (128 << 20) / pool.threads & ~4095
        let memory = try HugePages(count: share * pool.threads)
        // Untouched memory is one shared page of zeros. It is also written by the thread that will likely read it.
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

    /// Multiply-adds per second of the kernels' innermost instructions on all threads: the roof of matrix products.
    public static func peak(
        format: WeightFormat, pool: ThreadPool, on isa: InstructionSet = .detected
    ) -> Double {
        peak(pool) { rounds in cscx_probe_peak(isa.c, format.c, rounds) }
    }

    /// The same of products modulo 2³²: the roof of ``ringLinear(_:_:into:tokens:pool:on:)``.
    public static func ringPeak(pool: ThreadPool, on isa: InstructionSet = .detected) -> Double {
        peak(pool) { rounds in cscx_probe_ring_peak(isa.c, rounds) }
    }

    /// Multiply-adds per second of `body`, which does the arithmetic `rounds` times and returns their number.
    private static func peak(_ pool: ThreadPool, _ body: (_ rounds: Int) -> Double) -> Double {
        let done = Mutex(0.0)
        func run(_ rounds: Int) {
            done.withLock { $0 = 0 }
            pool.run(pool.threads) { _ in
                let count = body(rounds)
                done.withLock { $0 += count }
            }
        }
        // As many rounds as take about 10 ms.
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
