import Foundation
import SCX
import Testing

/// Uses the library as a program of somebody else does: nothing but what it declares `public`.
@Suite("library")
struct ModelTests {
    private let question = "What are the symptoms of asthma?"

    private func open(_ profile: Profile, _ worker: WorkerPlace = .inProcess) async throws -> Model {
        try await Model.open(options: Model.Options(profile: profile, workers: [worker]))
    }

    @Test("a conversation streams answers, goes on, and says what crossed", arguments: Profile.allCases)
    func conversation(profile: Profile) async throws {
        let model = try await open(profile)
        #expect(model.name == "ward-3m" && model.profile == profile && model.contextLength == 1024)
        let conversation = model.conversation()
        let options = AnswerOptions(maximumTokens: 40)

        var (text, endings) = ("", [AnswerEnding]())
        for try await part in try await conversation.ask(question, options: options) {
            switch part {
            case .text(let piece): text += piece
            case .end(let ending): endings.append(ending)
            case .thought: Issue.record("the bundled model does not think")
            }
        }
        let first = try #require(endings.first)
        #expect(endings.count == 1 && text.contains("wheez"), "\(text)")
        #expect(first.reusedTokens == 0 && first.promptTokens > 5)
        #expect((1...40).contains(first.answerTokens) && first.reason != .cancelled)

        let second = try await conversation.ask("And of diabetes?", options: options)
        let answer = try await second.text()
        let ending = try await second.ending()
        // The first prompt and most of the first answer had been computed.
        #expect(ending.reusedTokens >= first.promptTokens && ending.promptTokens > ending.reusedTokens)
        #expect(
            await conversation.messages == [
                Message(role: .user, text: question), Message(role: .assistant, text: text),
                Message(role: .user, text: "And of diabetes?"), Message(role: .assistant, text: answer),
            ])

        #expect((first.paddedRows > 0) == (profile == .sealed))
        if profile == .fixedPoint {
            #expect(model.crossing.exchanges == 0 && model.disclosure.leaks == "nothing")
        } else {
            let sum = (
                first.crossing.exchanges + ending.crossing.exchanges,
                first.crossing.bytesSent + ending.crossing.bytesSent
            )
            #expect(sum.0 > 0 && model.crossing.exchanges >= sum.0 && model.crossing.bytesSent >= sum.1)
            #expect(model.crossing.bytesReceived > 0)
        }
        #expect((model.disclosure.owners != nil) == (profile == .sealed))
        #expect("\(model.disclosure)".hasPrefix("profile \(profile.rawValue): the worker sees "))
        await model.close()
        #expect(model.crossing.exchanges > 0 || profile == .fixedPoint)
    }

    @Test("a worker process, this process and this side alone compute the same tokens")
    func sameTokens() async throws {
        var answers: Set<String> = []
        for (profile, worker) in [
            (Profile.sealed, WorkerPlace.process()), (.sealed, .inProcess), (.fixedPoint, .inProcess),
        ] {
            let model = try await open(profile, worker)
            let answer = try await model.complete(
                "The patient was admitted with", options: AnswerOptions(maximumTokens: 24))
            answers.insert(try await answer.text())
            await model.close()
        }
        #expect(answers.count == 1 && answers.first?.isEmpty == false, "\(answers)")
    }

    @Test("the same seed draws the same answer, a stop text ends it, many run at once")
    func options() async throws {
        let model = try await open(.plain)
        var options = AnswerOptions(maximumTokens: 30)
        (options.temperature, options.topK, options.topP, options.seed) = (1, 50, 0.95, 7)
        let drawn = options
        let texts = try await withThrowingTaskGroup { group in
            for _ in 0..<6 {
                group.addTask { try await model.complete("Patient", options: drawn).text() }
            }
            return try await group.reduce(into: [String]()) { $0.append($1) }
        }
        #expect(texts.count == 6 && Set(texts).count == 1, "\(texts)")

        let prompt = "The patient was admitted with"
        var stopping = AnswerOptions(maximumTokens: 30)
        stopping.ignoresEnd = true
        let whole = try await model.complete(prompt, options: stopping).text()
        let word = try #require(whole.split(separator: " ").dropFirst(3).first.map(String.init))
        stopping.stop = [word]
        let stopped = try await model.complete(prompt, options: stopping)
        let text = try await stopped.text()
        #expect(whole.hasPrefix(text) && !text.contains(word))
        #expect(try await stopped.ending().reason == .stop)
        await model.close()
    }

    @Test("system messages and earlier conversations are taken up")
    func takenUp() async throws {
        let model = try await open(.plain)
        let options = AnswerOptions(maximumTokens: 20)
        let first = model.conversation()
        _ = try await first.ask(question, options: options).text()
        let expected = try await first.ask("Thank you", options: options).text()
        let again = model.conversation(Array(await first.messages.prefix(2)))
        let answer = try await again.ask("Thank you", options: options)
        #expect(try await answer.text() == expected)
        // Another conversation's computed tokens serve no other.
        #expect(try await answer.ending().reusedTokens == 0)

        let instructed = model.conversation(system: "You are brief.")
        let prompt = try await instructed.ask(question, options: options).ending().promptTokens
        let bare = try await model.conversation().ask(question, options: options).ending().promptTokens
        #expect(prompt > bare)
        await model.close()
    }

    @Test(
        "embeddings have the model's hidden size, and tell texts apart", arguments: [Profile.plain, .sealed])
    func embeddings(profile: Profile) async throws {
        let model = try await open(profile)
        let (asthma, again) = (
            try await model.embedding(of: "asthma"), try await model.embedding(of: "asthma")
        )
        let other = try await model.embedding(of: "A broken leg was set in plaster.")
        #expect(asthma.count == 192 && other.count == 192)
        let isFinite = (asthma + other).allSatisfy(\.isFinite)
        #expect(isFinite)
        #expect(asthma == again && asthma != other)
        await model.close()
    }
}
