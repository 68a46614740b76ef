import Foundation
import SCX
import Testing

/// Requests that nobody wants any more end on the engine: the worker stands meanwhile, so that no answer can be faster.
@Suite("library: cancellation")
struct CancellationTests {
    enum Way: CaseIterable {
        case taskCancelled, answerCancelled, letGo, conversationClosed
    }

    /// An answer that would be as long as the context has room for.
    private static var long: AnswerOptions {
        var options = AnswerOptions()
        options.ignoresEnd = true
        return options
    }

    /// Reads all of an answer.
    ///
    /// - Returns: Why that failed; nil when it did not.
    private static func failure(of answer: Answer) async -> ModelError.Kind? {
        do throws(ModelError) {
            _ = try await answer.text()
            return nil
        } catch { return error.kind }
    }

    @Test("a request ends on the engine, and the next is computed at once", arguments: Way.allCases)
    func ends(way: Way) async throws {
        let worker = try WorkerUnderControl()
        defer { worker.remove() }
        var options = Model.Options(profile: .plain, workers: [worker.place])
        // The next answer would wait for the end of one that was not cancelled.
        options.answersAtOnce = 1
        let model = try await Model.open(options: options)
        let before = model.crossing.exchanges

        try worker.stop()
        let conversation = model.conversation()
        do {
            let answer = try await conversation.ask("What is asthma?", options: Self.long)
            switch way {
            case .taskCancelled:
                let reader = Task { await Self.failure(of: answer) }
                reader.cancel()
                #expect(await reader.value == .cancelled)
                #expect(try await answer.ending().reason == .cancelled)
            case .answerCancelled:
                answer.cancel()
                #expect(try await answer.text().isEmpty)
                #expect(try await answer.ending().answerTokens == 0)
            case .letGo: break
            case .conversationClosed:
                await conversation.close()
                #expect(try await answer.ending().reason == .cancelled)
                #expect(await conversation.messages.isEmpty)
            }
        }
        try worker.goOn()
        let next = try await model.complete("Patient", options: AnswerOptions(maximumTokens: 4))
        #expect(try await next.ending().reason != .cancelled)
        // Uncancelled, it would have had some two thousand.
        #expect(model.crossing.exchanges - before < 200)
        await model.close()
    }

    @Test("a cancelled task gets an error, though the answer's end was there before it read")
    func cancelledBeforeReading() async throws {
        let model = try await Model.open(options: Model.Options(profile: .plain, workers: [.inProcess]))
        let answer = try await model.complete("What is asthma?", options: Self.long)
        answer.cancel()
        #expect(try await answer.ending().reason == .cancelled)
        let reader = Task {
            while !Task.isCancelled { await Task.yield() }
            return await Self.failure(of: answer)
        }
        reader.cancel()
        #expect(await reader.value == .cancelled)
        await model.close()
    }

    @Test("a loop that is left ends the answer; what was said stays, and the conversation goes on")
    func leftLoop() async throws {
        let model = try await Model.open(options: Model.Options(profile: .plain, workers: [.inProcess]))
        let conversation = model.conversation()
        let answer = try await conversation.ask("What is asthma?", options: Self.long)
        for try await part in answer {
            if case .text = part { break }
        }
        let next = try await conversation.ask("Thank you", options: AnswerOptions(maximumTokens: 4))
        _ = try await next.text()
        let messages = await conversation.messages
        #expect(messages.map(\.role) == [.user, .assistant, .user, .assistant])
        #expect(messages[1].text.isEmpty == false)

        // An answer is read once.
        do throws(ModelError) {
            _ = try await next.text()
            Issue.record("it was read twice")
        } catch { #expect(error.kind == .busy) }
        await model.close()
    }

    @Test("closing the model ends what runs and what waits, and ends its worker")
    func closing() async throws {
        let worker = try WorkerUnderControl()
        defer { worker.remove() }
        var options = Model.Options(profile: .plain, workers: [worker.place])
        options.answersAtOnce = 1
        let model = try await Model.open(options: options)
        try worker.stop()
        let answers = [
            try await model.complete("One", options: Self.long),
            try await model.complete("Two", options: Self.long),
        ]
        let closing = Task { await model.close() }
        // The second waits for the first, and is ended by the closing itself: only then may the worker go on.
        for answer in answers.reversed() {
            do throws(ModelError) {
                let ending = try await answer.ending()
                Issue.record("it ended with \(ending.reason)")
            } catch { #expect(error.kind == .closed) }
            try worker.goOn()
        }
        await closing.value
        do throws(ModelError) {
            _ = try await model.conversation().ask("Are you there?")
            Issue.record("a closed model answers")
        } catch { #expect(error.kind == .closed) }
    }
}
