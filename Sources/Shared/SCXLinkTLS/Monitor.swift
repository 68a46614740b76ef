import Dispatch
import SCXLink
import Synchronization

/// A value under a lock, and a way to wait until it has a wanted state.
///
/// It connects the threads that block in a ``TLSStream`` with the event loop that serves the socket and must not
/// block.
final class Monitor<State: Sendable>: Sendable {
    private struct Guarded: Sendable {
        var state: State
        /// The semaphores of the threads that wait for a change.
        var waiting: [DispatchSemaphore] = []
    }

    private let guarded: Mutex<Guarded>

    init(_ state: State) { guarded = Mutex(Guarded(state: state)) }

    /// Changes the value, then wakes the threads that wait.
    func update<Result: Sendable>(_ change: @Sendable (inout State) -> Result) -> Result {
        let (result, waiting) = guarded.withLock { guarded in
            let result = change(&guarded.state)
            defer { guarded.waiting = [] }
            return (result, guarded.waiting)
        }
        for semaphore in waiting { semaphore.signal() }
        return result
    }

    /// Waits until `attempt` returns a result; returns nil if the deadline passes before that.
    func wait<Result: Sendable>(
        before deadline: Deadline, for attempt: @Sendable (inout State) -> Result?
    ) -> Result? {
        while true {
            let semaphore = DispatchSemaphore(value: 0)
            let result: Result? = guarded.withLock { guarded in
                if let result = attempt(&guarded.state) { return result }
                guarded.waiting.append(semaphore)
                return nil
            }
            if let result { return result }
            guard semaphore.wait(timeout: deadline.dispatchTime) == .timedOut else { continue }
            return guarded.withLock { guarded in
                guarded.waiting.removeAll { $0 === semaphore }
                return attempt(&guarded.state)
            }
        }
    }
}

extension Deadline {
    fileprivate var dispatchTime: DispatchTime {
        guard let remaining else { return .distantFuture }
        let (seconds, attoseconds) = remaining.components
        // A day is as good as a longer time, and does not overflow.
        let nanoseconds = Int(min(seconds, 86_400)) * 1_000_000_000 + Int(attoseconds / 1_000_000_000)
        return .now() + .nanoseconds(nanoseconds)
    }
}
