import Foundation
import SCXText
import Synchronization

/// Does what takes long on threads that Swift's tasks do not share.
enum WorkThread {
    /// Enough for every reader of templates and tokenizers, whose nesting is bounded.
    private static let stackBytes = 8 << 20

    /// Does work on a thread of its own.
    ///
    /// - Parameter work: What to do; asks ``Interruption`` whether it is still wanted.
    /// - Returns: What the work gives.
    /// - Throws: What the work throws, or ``ModelError`` of kind `cancelled` when the task was cancelled meanwhile.
    static func run<Value: Sendable>(
        _ work: @escaping @Sendable () throws(ModelError) -> Value
    ) async throws(ModelError) -> Value {
        let isCancelled = Flag()
        let result: Result<Value, ModelError> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let thread = Thread {
                    do throws(ModelError) {
                        let value = try Interruption.watching({ isCancelled.isSet }, work)
                        // What was interrupted may be half of what it should be.
                        continuation.resume(
                            returning: isCancelled.isSet ? .failure(.cancelled) : .success(value))
                    } catch { continuation.resume(returning: .failure(error)) }
                }
                thread.name = "scx work"
                thread.stackSize = stackBytes
                thread.start()
            }
        } onCancel: {
            isCancelled.set()
        }
        return try result.get()
    }

    /// Set once.
    private final class Flag: Sendable {
        private let value = Atomic(false)

        var isSet: Bool { value.load(ordering: .relaxed) }
        func set() { value.store(true, ordering: .relaxed) }
    }
}
