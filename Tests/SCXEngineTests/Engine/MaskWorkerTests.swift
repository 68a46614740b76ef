import Foundation
import SCXEngine
import SCXInference
import SCXProfiles
import SCXText
import SCXWorker
import Testing

@Suite("allowed tokens beside the engine")
struct MaskWorkerTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()
    private static let bundled = Result { try Bundled() }

    private struct Bundled: Sendable {
        let checkpoint: Checkpoint
        let decoder: Decoder
        let tokenizer: Tokenizer
        let table: TokenTable

        init() throws {
            let directory = root.appending(path: "Models/ward-3m").path
            checkpoint = try Checkpoint(directory: directory)
            decoder = try Decoder(checkpoint, format: .f32, pool: ThreadPool(threads: 2))
            tokenizer = try Tokenizer(directory: directory)
            table = TokenTable(tokenizer)
        }

        func engine(_ masks: MaskWorkers) throws -> Engine {
            Engine(
                forward: PlainForwardPass(
                    embedding: try TokenEmbedding(checkpoint), configuration: checkpoint.configuration,
                    link: InProcessLink(Worker(model: decoder))), tokenizer: tokenizer,
                vocabularySize: checkpoint.configuration.vocabularySize,
                maximumLength: checkpoint.configuration.maximumLength, masks: masks)
        }

        func request(_ grammar: CompiledGrammar? = nil) -> GenerationRequest {
            var sampling = SamplingParameters()
            (sampling.temperature, sampling.seed) = (1, 3)
            var request = GenerationRequest(
                prompt: tokenizer.encode("Hello"), maximumTokens: 12, sampling: sampling,
                stop: StopConditions(tokens: [1], strings: ["never written"]))
            request.constraint = grammar.map { TokenConstraint($0) }
            return request
        }

        func grammar(mostSteps: Int = MaskSearch.mostSteps) throws -> CompiledGrammar {
            let schema: JSON = [
                "type": "object", "required": ["name"], "properties": ["name": ["type": "string"]],
            ]
            return try CompiledGrammar(
                .schema(JSONSchema(schema)), table: table, endTokens: [1], mostSteps: mostSteps)
        }
    }

    private func finish(_ engine: Engine, _ session: SessionID) throws -> [Int32] {
        var tokens: [Int32] = []
        while true {
            for event in try engine.step() where event.session == session {
                if let token = event.token { tokens.append(token.id) }
                if let failure = event.failure { throw failure }
                if event.finished != nil { return tokens }
            }
        }
    }

    @Test("an answer whose tokens nobody finds waits, and keeps no other from its end")
    func waiting() throws {
        let bundled = try Self.bundled.get()
        // No search ever ends.
        let engine = try bundled.engine(MaskWorkers(areIdle: true))
        let held = try engine.submit(bundled.request(bundled.grammar()))
        let free = try engine.submit(bundled.request())
        #expect(try !finish(engine, free).isEmpty)
        for _ in 0..<3 { #expect(try engine.step().isEmpty) }
        #expect(!engine.isIdle)
        #expect(engine.cancel(held)?.finished == .cancelled)
        #expect(engine.isIdle)
    }

    @Test("an answer is the same alone and among others, whoever has found its tokens before")
    func sameAnswer() throws {
        let bundled = try Self.bundled.get()
        let alone = try bundled.engine(MaskWorkers())
        let expected = try finish(alone, alone.submit(bundled.request(bundled.grammar())))
        let grammar = try bundled.grammar()
        let engine = try bundled.engine(MaskWorkers())
        for _ in 0..<3 {
            let sessions = try (0..<3).map { _ in try engine.submit(bundled.request(grammar)) }
            var answers: [SessionID: [Int32]] = [:]
            while !engine.isIdle {
                for event in try engine.step() {
                    if let token = event.token { answers[event.session, default: []].append(token.id) }
                }
            }
            for session in sessions { #expect(answers[session] == expected) }
        }
    }

    @Test("a grammar that is too ambiguous for an answer fails it, and no other")
    func failing() throws {
        let bundled = try Self.bundled.get()
        let engine = try bundled.engine(MaskWorkers())
        let failing = try engine.submit(bundled.request(bundled.grammar(mostSteps: 3)))
        let free = try engine.submit(bundled.request())
        var finished: [SessionID: SessionEvent] = [:]
        while !engine.isIdle {
            for event in try engine.step() where event.finished != nil { finished[event.session] = event }
        }
        #expect(finished[failing]?.failure as? ConstraintError == .overLimit(.maskSteps, 3))
        #expect(finished[free]?.failure == nil && finished[free]?.finished != nil)
    }

    @Test("a finished session that may be continued keeps no grammar", .timeLimit(.minutes(60)))
    func finished() throws {
        let bundled = try Self.bundled.get()
        let engine = try bundled.engine(MaskWorkers())
        weak var kept: CompiledGrammar?
        let session: SessionID
        do {
            let grammar = try bundled.grammar()
            kept = grammar
            session = try engine.submit(bundled.request(grammar))
        }
        #expect(kept != nil)
        _ = try finish(engine, session)
        #expect(engine.keeps(session))
        // A worker may hold the last search for a moment.
        while kept != nil { usleep(1000) }
        let next = try engine.submit(bundled.request(), continuing: session)
        #expect(try !finish(engine, next).isEmpty)
    }
}
