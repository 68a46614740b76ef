import Synchronization

/// A piece of an answer, as it arrives.
public enum AnswerPart: Equatable, Sendable {
    /// A piece of what the model thought before it answered; only of models whose chat template sets thoughts apart.
    case thought(String)
    /// A piece of the answer: whole characters, of one token or several.
    case text(String)
    /// The last part, which says how the answer ended and what it cost.
    case end(AnswerEnding)
}

/// How an answer ended, and what it cost.
public struct AnswerEnding: Equatable, Sendable {
    /// Why an answer ended.
    public enum Reason: String, Sendable {
        /// The model ended it, or one of the texts of ``AnswerOptions/stop`` was found.
        case stop
        /// ``AnswerOptions/maximumTokens`` or the model's context was reached.
        case length
        /// Somebody cancelled it, or nobody read on.
        case cancelled
    }

    /// Why the answer ended.
    public internal(set) var reason = Reason.cancelled
    /// Tokens of the prompt, with all of the conversation before it.
    public internal(set) var promptTokens = 0
    /// Tokens of the prompt that an earlier answer of the conversation had computed, so that nothing of them was sent.
    public internal(set) var reusedTokens = 0
    /// Tokens of the answer, those of thoughts included.
    public internal(set) var answerTokens = 0
    /// What crossed to the worker for it; where rows of several answers travelled together, its share of the bytes.
    public internal(set) var crossing = Crossing()
    /// Rows that went out under one-time pads, at all products of the model together; 0 except in profile `sealed`.
    public internal(set) var paddedRows = 0
}

/// An answer that is being computed: a sequence of ``AnswerPart``, which can be read once.
///
/// The engine computes as fast as it can, whether or not anybody reads. It ends the request when the task that reads is
/// cancelled, when the loop that reads is left, when the answer is let go of unread, and on ``cancel()``. What had been
/// answered by then stays in the conversation.
///
/// A task that is cancelled while it reads gets ``ModelError`` of kind `cancelled`. When a worker fails for good, reading
/// ends with an error of kind `worker`.
public struct Answer: AsyncSequence, Sendable {
    /// A piece of the answer.
    public typealias Element = AnswerPart
    /// Why it could not be computed, or that the reading task was cancelled.
    public typealias Failure = ModelError

    private let parts: AsyncStream<AnswerPart>
    private let run: AnswerRun

    init(parts: AsyncStream<AnswerPart>, run: AnswerRun) { (self.parts, self.run) = (parts, run) }

    /// Begins to read.
    ///
    /// A second reader gets an error of kind ``ModelError/Kind/busy``.
    ///
    /// - Returns: What gives the parts, one after the other.
    public func makeAsyncIterator() -> Iterator {
        Iterator(parts: parts.makeAsyncIterator(), run: run, isFirst: run.takeReading())
    }

    /// Ends the answer where it is.
    ///
    /// Its reader gets an ``AnswerPart/end(_:)`` with reason `cancelled`. Does nothing when it has ended already.
    public func cancel() { run.task.cancel() }

    /// Reads all of the answer.
    ///
    /// - Returns: Its text, without thoughts; what there was of it when it was cancelled by ``cancel()``.
    /// - Throws: ``ModelError`` of kind `worker`, `closed` or `cancelled`, or `prompt` when the prompt is too long.
    public func text() async throws(ModelError) -> String {
        var text = ""
        var iterator = makeAsyncIterator()
        while let part = try await iterator.next() {
            if case .text(let piece) = part { text += piece }
        }
        return text
    }

    /// Waits until the answer has ended; it need not be read.
    ///
    /// - Returns: How it ended, and what it cost.
    /// - Throws: ``ModelError`` of kind `worker` or `closed`, or `prompt` when the prompt is too long.
    public func ending() async throws(ModelError) -> AnswerEnding { try await run.task.value.get() }

    /// Gives the parts of an answer; ends the answer when nobody needs it any more.
    public struct Iterator: AsyncIteratorProtocol {
        /// Exists as long as somebody may read on.
        private final class Interest: Sendable {
            private let run: AnswerRun

            init(_ run: AnswerRun) { self.run = run }

            deinit { run.task.cancel() }
        }

        private var parts: AsyncStream<AnswerPart>.Iterator
        private let run: AnswerRun
        private let interest: Interest?
        private var hasEnded = false

        fileprivate init(parts: AsyncStream<AnswerPart>.Iterator, run: AnswerRun, isFirst: Bool) {
            self.parts = parts
            self.run = run
            interest = isFirst ? Interest(run) : nil
        }

        /// Waits for the next part.
        ///
        /// - Returns: The part; nil after the last.
        /// - Throws: ``ModelError``, after which there is nothing more to read.
        public mutating func next() async throws(ModelError) -> AnswerPart? {
            try await next(isolation: #isolation)
        }

        /// Waits for the next part, without leaving an actor.
        ///
        /// - Parameter actor: The actor of the caller.
        /// - Returns: The part; nil after the last.
        /// - Throws: ``ModelError``, after which there is nothing more to read.
        public mutating func next(
            isolation actor: isolated (any Actor)?
        ) async throws(ModelError) -> AnswerPart? {
            guard interest != nil else { throw ModelError(.busy, "an answer can be read once") }
            guard !hasEnded else { return nil }
            if let part = await parts.next(isolation: actor) {
                guard case .end(let ending) = part else { return part }
                hasEnded = true
                // The end of an answer whose reader is cancelled may arrive before the stream is closed.
                if ending.reason == .cancelled, Task.isCancelled { throw .cancelled }
                return part
            }
            hasEnded = true
            // Without its end there was a failure, or this task was cancelled.
            _ = try await run.task.value.get()
            throw .cancelled
        }
    }
}
