import Foundation
import SCXEngine
import SCXInference
import SCXText

/// What every object of a reply says about it.
struct ReplyHead: Sendable {
    let id: String
    let created: Int
    let model: String
    let profile: String

    init(id: String, model: String, profile: String) {
        self.id = id
        created = Int(Date().timeIntervalSince1970)
        (self.model, self.profile) = (model, profile)
    }

    /// The members that begin an object.
    func members(_ object: String) -> [JSON.Member] {
        [
            .init("id", .string(id)), .init("object", .string(object)), .init("created", .int(created)),
            .init("model", .string(model)), .init("system_fingerprint", .string("scx-\(profile)")),
        ]
    }
}

/// All of an answer that is not streamed.
struct WholeAnswer: Sendable {
    private(set) var promptScores: [SampledToken] = []
    private(set) var reasoning = ""
    private(set) var text = ""
    private(set) var tokens: [SampledToken] = []
    private(set) var calls: [ToolCall] = []
    private(set) var finish: ChatFinish?
    private(set) var usage = ChatUsage()

    mutating func take(_ event: ChatEvent.Kind) {
        switch event {
        case .promptScores(let scores): promptScores = scores
        case .reasoning(let piece, let new):
            reasoning += piece
            tokens += new
        case .text(let piece, let new):
            text += piece
            tokens += new
        case .callBegan(_, let id, let name): calls.append(ToolCall(id: id, name: name, arguments: ""))
        case .callArguments(let index, let piece): calls[index].arguments += piece
        case .finished(let finish, let usage): (self.finish, self.usage) = (finish, usage)
        }
    }
}

extension RunningChat {
    /// So many answers, when each has come to its end.
    ///
    /// - Throws: ``APIError``, what ended one of them early.
    func answers(_ count: Int) async throws(APIError) -> [WholeAnswer] {
        var answers = Array(repeating: WholeAnswer(), count: count)
        do {
            for try await event in events { answers[event.choice].take(event.kind) }
        } catch { throw APIError(error) }
        guard answers.allSatisfy({ $0.finish != nil }) else { throw .endedEarly }
        return answers
    }
}

/// Turns what happens to answers into the objects of a stream; a value without input or output.
protocol ChunkWriter: Sendable {
    /// Every answer has ended.
    var isComplete: Bool { get }
    /// The objects that an event adds; the one that completes the last answer adds the stream's last objects too.
    mutating func take(_ event: ChatEvent, prompt: Int) -> [JSON]
}

extension ChunkWriter {
    /// The server-sent events of these answers, one for each prompt; cancelled when nobody reads on.
    func stream(_ runs: [RunningChat]) -> AsyncThrowingStream<ServerSentEvent, any Error> {
        AsyncThrowingStream { continuation in
            let task = Task {
                var writer = self
                var hasBegun = false
                do {
                    for try await (prompt, event) in runs.merged {
                        for chunk in writer.take(event, prompt: prompt) {
                            hasBegun = true
                            continuation.yield(ServerSentEvent(data: chunk.text))
                        }
                    }
                    guard writer.isComplete || Task.isCancelled else { throw APIError.endedEarly }
                    continuation.yield(ServerSentEvent(data: "[DONE]"))
                    continuation.finish()
                } catch {
                    let error = APIError(error)
                    guard hasBegun else { return continuation.finish(throwing: error) }
                    continuation.yield(ServerSentEvent(name: "error", data: error.json.text))
                    continuation.finish()
                }
            }
            continuation.onTermination = { _ in task.cancel() }
        }
    }
}

extension [RunningChat] {
    /// The events of all of them as they come, with their places.
    fileprivate var merged: AsyncThrowingStream<(Int, ChatEvent), any Error> {
        AsyncThrowingStream { continuation in
            let task = Task {
                do {
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        for (index, run) in enumerated() {
                            group.addTask {
                                for try await event in run.events { continuation.yield((index, event)) }
                            }
                        }
                        // The first that fails ends the others.
                        for try await _ in group {}
                    }
                    continuation.finish()
                } catch { continuation.finish(throwing: error) }
            }
            continuation.onTermination = { _ in task.cancel() }
        }
    }
}
