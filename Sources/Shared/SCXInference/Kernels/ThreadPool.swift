import CSCXKernels

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A fixed set of threads that compute one job at a time and divide its indices among them.
///
/// Make one pool per process: two pools that compute at the same time take the cores from each other.
@safe
public final class ThreadPool: Sendable {
    /// What threads do between two jobs.
    public enum Idle: Sendable {
        /// Spin for about 500 µs, watching for the next job, and then sleep.
        ///
        /// Waking a thread that sleeps costs 15 to 25 µs. While it spins, a thread gives its core to any other that
        /// needs one.
        case watch
        /// Sleep at once.
        ///
        /// This is for a side that mostly waits for another process on the same machine. A core on which a thread
        /// spins counts as busy, so the system would not move a thread of the other process there.
        case sleep
    }

    // The C pool accepts callers from any thread, and the pointer never leaves this class.
    nonisolated(unsafe) private let pool: OpaquePointer

    /// The number of threads, including the calling one.
    public var threads: Int { unsafe cscx_pool_threads(pool) }

    /// Processor cores of this machine that are in use, at least 1.
    public static var systemCores: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

    /// Starts the threads.
    ///
    /// - Parameters:
    ///   - threads: How many threads compute a job, including the calling one; at least 1.
    ///   - idle: What they do between two jobs.
    /// - Precondition: `threads` is positive, and there is memory for a few kilobytes.
    public init(threads: Int, idle: Idle = .watch) {
        precondition(threads > 0, "ThreadPool: no threads")
        guard let pool = unsafe cscx_pool_create(threads, idle == .watch) else {
            preconditionFailure("ThreadPool: no memory")
        }
        unsafe self.pool = pool
    }

    deinit { unsafe cscx_pool_destroy(pool) }

    /// Calls `body(i)` for every i in `0..<count`, in any order and on any thread, and returns when all calls are
    /// done.
    ///
    /// Jobs of several callers run one after the other. A call from inside a body runs on the calling thread alone.
    public func run(_ count: Int, _ body: (_ index: Int) -> Void) {
        precondition(count >= 0, "ThreadPool: negative count")
        withoutActuallyEscaping(body) { body in
            var job = Job(body: body)
            unsafe withUnsafeMutablePointer(to: &job) { job in
                unsafe cscx_pool_run(
                    pool, count,
                    { context, index in
                        // `context` points to the job above, which exists until cscx_pool_run returns.
                        unsafe context?.assumingMemoryBound(to: Job.self).pointee.body(index)
                    }, job)
            }
        }
    }

    private struct Job {
        let body: (Int) -> Void
    }
}
