import CSCXKernels

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A fixed set of threads that share the indices of one job at a time.
///
/// Make one per process: two pools that compute take the cores from each other.
@safe
public final class ThreadPool: Sendable {
    /// What threads do between two jobs.
    public enum Idle: Sendable {
        /// Watch for the next job for about 500 µs, since a blocked wake-up costs 15 to 25 of them, and then sleep. While
        /// it watches, a thread gives its core to any other that needs one.
        case watch
        /// Sleep at once: for a side that mostly waits for another on the same machine. A core that its threads
        /// watch from counts as busy, and the system would not move a thread of the other side there.
        case sleep
    }

    // The C pool takes callers from any thread; the pointer never leaves this class.
    nonisolated(unsafe) private let pool: OpaquePointer

    /// Threads of the pool, the caller's included.
    public var threads: Int { unsafe cscx_pool_threads(pool) }

    /// Processor cores of this machine that are in use, at least 1.
    public static var systemCores: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

    /// Starts the threads.
    ///
    /// - Parameters:
    ///   - threads: Threads that work on a job, the caller's included; at least 1.
    ///   - idle: What they do between two jobs.
    /// - Precondition: `threads` is positive and memory suffices for a few kilobytes.
    public init(threads: Int, idle: Idle = .watch) {
        precondition(threads > 0, "ThreadPool: no threads")
        guard let pool = unsafe cscx_pool_create(threads, idle == .watch) else {
            preconditionFailure("ThreadPool: no memory")
        }
        unsafe self.pool = pool
    }

    deinit { unsafe cscx_pool_destroy(pool) }

    /// Calls `body(i)` for every i in `0..<count`, in any order and on any thread, and returns when all are done.
    ///
    /// Callers on several threads take turns. A call from inside a body runs on the calling thread alone.
    public func run(_ count: Int, _ body: (_ index: Int) -> Void) {
        precondition(count >= 0, "ThreadPool: negative count")
        withoutActuallyEscaping(body) { body in
            var job = Job(body: body)
            unsafe withUnsafeMutablePointer(to: &job) { job in
                unsafe cscx_pool_run(
                    pool, count,
                    { context, index in
                        // `context` is the job above, alive until cscx_pool_run returns.
                        unsafe context?.assumingMemoryBound(to: Job.self).pointee.body(index)
                    }, job)
            }
        }
    }

    private struct Job {
        let body: (Int) -> Void
    }
}
