import SCXEngine
import SCXText
import Synchronization

/// The task that takes an answer from the engine to whoever reads it.
///
/// Cancelling it ends the request on the engine, as the end of the engine's stream does.
final class AnswerRun: Sendable {
    /// What an answer said.
    struct Words: Sendable {
        var text = ""
        var thoughts = ""
    }

    let task: Task<Result<AnswerEnding, ModelError>, Never>
    private let isRead = Atomic(false)

    /// Begins to read an engine's stream.
    ///
    /// - Parameters:
    ///   - events: The engine's stream.
    ///   - parser: Tells thoughts from text.
    ///   - promptTokens: How many tokens the prompt has.
    ///   - parts: Where the parts go.
    ///   - conclude: Called once, before the last part is there: with what was said, or nil when that failed.
    init(
        _ events: EngineLoop.Events, _ parser: AnswerParser, promptTokens: Int,
        parts: AsyncStream<AnswerPart>.Continuation,
        conclude: @escaping @Sendable (Words?) async -> Void
    ) {
        let task = Task { () -> Result<AnswerEnding, ModelError> in
            var reader = AnswerReader(parser, promptTokens: promptTokens)
            defer { parts.finish() }
            do {
                for try await event in events {
                    for part in reader.read(event) { parts.yield(part) }
                }
            } catch {
                await conclude(nil)
                return .failure(ModelError(error))
            }
            for part in reader.finish() { parts.yield(part) }
            await conclude(reader.words)
            parts.yield(.end(reader.ending))
            return .success(reader.ending)
        }
        self.task = task
        parts.onTermination = { end in
            if case .cancelled = end { task.cancel() }
        }
    }

    /// Says that somebody begins to read.
    ///
    /// - Returns: False when somebody has begun before.
    func takeReading() -> Bool {
        isRead.compareExchange(expected: false, desired: true, ordering: .relaxed).exchanged
    }
}

/// Makes of an engine's events the parts of an answer.
struct AnswerReader: Sendable {
    private(set) var words = AnswerRun.Words()
    private(set) var ending = AnswerEnding()
    private var parser: AnswerParser
    private var isFinished = false

    init(_ parser: AnswerParser, promptTokens: Int) {
        self.parser = parser
        ending.promptTokens = promptTokens
    }

    /// Takes what the engine says.
    ///
    /// - Parameter event: Of this answer.
    /// - Returns: What is new of the answer.
    mutating func read(_ event: SessionEvent) -> [AnswerPart] {
        if event.token != nil { ending.answerTokens += 1 }
        ending.reusedTokens = event.usage.cachedTokens
        ending.crossing = Crossing(event.usage.traffic)
        ending.paddedRows = event.usage.pads
        switch event.finished {
        case .stop: ending.reason = .stop
        case .length: ending.reason = .length
        case .cancelled, .failed, nil: break
        }
        return parts(parser.push(event.text))
    }

    /// Ends the text.
    ///
    /// - Returns: What was held back, since it might have been the beginning of a mark.
    mutating func finish() -> [AnswerPart] {
        guard !isFinished else { return [] }
        isFinished = true
        return parts(parser.finish())
    }

    private mutating func parts(_ events: [AnswerEvent]) -> [AnswerPart] {
        var parts: [AnswerPart] = []
        for event in events {
            switch event {
            case .reasoning(let piece):
                words.thoughts += piece
                parts.append(.thought(piece))
            case .text(let piece):
                words.text += piece
                parts.append(.text(piece))
            case .callBegan, .arguments, .callEnded: break  // the model is told of no tools
            }
        }
        return parts
    }
}
