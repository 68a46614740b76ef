import Foundation
import SCX
import Testing

/// What cannot be done is told in one line that names who is at fault, and holds nothing that anybody said.
@Suite("library: errors")
struct ModelErrorTests {
    private func error(_ work: () async throws(ModelError) -> Void) async -> ModelError? {
        do throws(ModelError) {
            try await work()
            Issue.record("it succeeded")
            return nil
        } catch {
            #expect(!error.message.contains("\n") && !error.message.isEmpty)
            #expect(error.localizedDescription == error.message && "\(error)" == error.message)
            return error
        }
    }

    @Test("a directory that is no model is named")
    func directory() async throws {
        let path = "/nowhere/of-this-name"
        let missing = await error { () throws(ModelError) in
            _ = try await Model.open(.directory(path), options: .init(workers: [.inProcess]))
        }
        #expect(missing?.kind == .model && missing?.message.contains(path) == true, "\(missing as Any)")
    }

    @Test("a worker that is not there is named", arguments: [Profile.plain, .sealed])
    func worker(profile: Profile) async throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "none-\(UUID().uuidString)").path
        for (place, name) in [
            (WorkerPlace.unix(path: path), path), (.process(program: path), path),
        ] {
            let missing = await error { () throws(ModelError) in
                _ = try await Model.open(options: .init(profile: profile, workers: [place]))
            }
            #expect(missing?.kind == .worker && missing?.message.contains(name) == true, "\(missing as Any)")
        }
    }

    @Test("options that are out of range, or do not go together, are refused before anything is opened")
    func options() async throws {
        var wrong: [Model.Options] = [
            .init(workers: []), .init(profile: .plain, workers: [.inProcess, .inProcess]),
            .init(workers: [.tcp(host: "", port: 0, files: TLSFiles(directory: "/nowhere"))]),
        ]
        var threads = Model.Options(workers: [.inProcess])
        threads.threads = 0
        var many = Model.Options(workers: [.inProcess])
        many.answersAtOnce = 1_000_000
        var peers = Model.Options(profile: .plain, workers: [.inProcess])
        peers.padPeers = [.unix(path: "/nowhere")]
        wrong += [threads, many, peers]
        for options in wrong {
            let refused = await error { () throws(ModelError) in
                _ = try await Model.open(.directory("/nowhere"), options: options)
            }
            #expect(refused?.kind == .options, "\(refused as Any)")
        }
        var peer = Model.Options(workers: [.inProcess])
        peer.padPeers = [.inProcess]
        let refused = await error { () throws(ModelError) in _ = try await Model.open(options: peer) }
        #expect(refused?.kind == .options, "\(refused as Any)")
    }

    @Test("a request's faults are the request's, and hold none of its words")
    func requests() async throws {
        let model = try await Model.open(options: .init(profile: .plain, workers: [.inProcess]))
        let word = "Schneewittchen"
        let conversation = model.conversation()
        for prompt in [
            String(repeating: "\(word) ", count: 2_000), String(repeating: word, count: 60_000),
        ] {
            let long = await error { () throws(ModelError) in _ = try await conversation.ask(prompt) }
            #expect(long?.kind == .prompt && long?.message.contains(word) == false, "\(long as Any)")
            let raw = await error { () throws(ModelError) in _ = try await model.complete(prompt) }
            #expect(raw?.kind == .prompt && raw?.message.contains(word) == false, "\(raw as Any)")
            let vector = await error { () throws(ModelError) in _ = try await model.embedding(of: prompt) }
            #expect(vector?.kind == .prompt && vector?.message.contains(word) == false, "\(vector as Any)")
        }
        var wrong: [AnswerOptions] = []
        for change: (inout AnswerOptions) -> Void in [
            { $0.temperature = .nan }, { $0.topP = 0 }, { $0.minP = 2 }, { $0.topK = -1 },
            { $0.repetitionPenalty = 0 }, { $0.maximumTokens = 0 }, { $0.stop = [""] },
            { $0.stop = Array(repeating: word, count: 17) },
        ] {
            var options = AnswerOptions()
            change(&options)
            wrong.append(options)
        }
        for options in wrong {
            let refused = await error { () throws(ModelError) in
                _ = try await conversation.ask(word, options: options)
            }
            #expect(refused?.kind == .options && refused?.message.contains(word) == false)
        }
        // Nothing of all that is part of the conversation.
        #expect(await conversation.messages.isEmpty)
        #expect(
            try await conversation.ask("What is asthma?", options: AnswerOptions(maximumTokens: 8)).text()
                .isEmpty == false)
        await conversation.close()
        let closed = await error { () throws(ModelError) in _ = try await conversation.ask(word) }
        #expect(closed?.kind == .closed)
        await model.close()
    }
}
