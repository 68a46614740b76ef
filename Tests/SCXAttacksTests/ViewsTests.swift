import Foundation
import SCXAttacks
import SCXInference
import SCXLink
import SCXWorker
import Testing
import scx_lab

@Suite("Views of a transcript")
struct ViewsTests {
    /// Records a session and keeps its directory while `body` works on it.
    private func withTranscript(
        _ encoding: ControlEncoding = .permuted(redundant: 3, noise: 1), tokens: Int = 4, generated: Int = 2,
        _ body: (String, PublicModel) throws -> Void
    ) throws {
        let model = try AttackFixture.model.get()
        let directory = FileManager.default.temporaryDirectory.appending(path: "views-\(UUID().uuidString)")
            .path
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let recorder = try Recorder(directory: directory)
        let session = ControlSession(model, encoding: encoding, recorder: recorder, seed: 1)
        try session.prompt(Array(AttackFixture.prompt.prefix(tokens)))
        for token in AttackFixture.answer.prefix(generated) { try session.generate(token) }
        try body(directory, model)
    }

    @Test("Exchanges are sorted into a prompt and generated tokens")
    func sorts() throws {
        try withTranscript { directory, model in
            let views = try Views(directory: directory, configuration: model.configuration)
            let session = try #require(views.sessions.first)
            #expect(views.sessions.count == 1 && session.steps.count == 3 && session.length == 6)
            #expect(session.steps.map(\.positions) == [0..<4, 4..<5, 5..<6])
            #expect(session.steps.map(\.isGeneration) == [false, true, true])
            let exchange = try #require(session.steps[0].first(.linear, layer: 2, site: .queryKeyValue))
            #expect(try views.rows(of: exchange).rows == 7)
            let attention = try #require(session.steps[2].first(.attention, layer: 0))
            let rows = try #require(try views.attention(of: attention))
            #expect(rows.queryPositions == 5..<6 && rows.keyPositions == 0..<6 && rows.keys.rows == 6)
        }
    }

    @Test("Two sessions of one connection are told apart")
    func tellsSessionsApart() throws {
        let model = try AttackFixture.model.get()
        let views = try AttackFixture.record(model: model) { recorder in
            for seed in 0..<2 {
                try ControlSession(model, encoding: .permuted(), recorder: recorder, seed: UInt64(seed))
                    .prompt([0, 3, 203])
            }
        }
        // The control uses one slot for both, without a release: the second prompt begins a step of its own.
        #expect(views.sessions.flatMap(\.steps).count == 2)
    }

    @Test("Exchanges that two sessions share are split")
    func splitsSharedExchanges() throws {
        let model = try AttackFixture.model.get()
        let c = model.configuration
        let (queryWidth, pairWidth) = (c.headCount * c.headSize, 2 * c.keyValueHeadCount * c.headSize)
        let last = c.blockCount - 1
        let prompts = [
            Segment(slot: Slot(number: 3), position: 0, rows: 4),
            Segment(slot: Slot(number: 9), position: 0, rows: 2),
        ]
        let next = prompts.map { Segment(slot: $0.slot, position: $0.rows, rows: 1) }
        func tensor(_ rows: Int, _ channels: Int) -> EncodedTensor {
            EncodedTensor(
                encodedRows: rows, channels: channels,
                values: (0..<rows * channels).map { Float($0 * 37 % 101) / 100 - 0.5 })
        }
        let heads = prompts.map { tensor(1, queryWidth + ($0.rows + 1) * pairWidth) }
        let rows = tensor(2, c.hiddenSize)
        let requests =
            prompts.flatMap { prompt in
                [
                    Request(.middle(blocks: 0..<last, segments: [prompt]), tensor(prompt.rows, c.hiddenSize)),
                    Request(.lockTail(slot: prompt.slot, layer: last), tensor(prompt.rows, pairWidth / 2)),
                ]
            } + [
                Request(.linear(layer: 0, site: .queryKeyValue, slot: nil, exact: true), rows),
                Request(
                    .attention(layer: 0, parts: prompts.map { AttentionPart(queries: 1, keys: $0.rows + 1) }),
                    EncodedTensor(joining: heads)),
                Request(.feedForward(layer: 0), rows),
                Request(.middle(blocks: 1..<last, segments: next), rows),
                Request(.tailScores(layer: last, segments: next), rows),
                Request(.feedForward(layer: last), rows),
            ]
        let worker = Worker(model: model.decoder)
        var scores: [Float] = []
        let views = try AttackFixture.record(model: model) { recorder in
            for (i, request) in requests.enumerated() {
                let number = UInt64(i + 1)
                recorder.record(request.message(number: number), direction: .received, connection: 1)
                let answer = try worker.answer(request)
                recorder.record(
                    answer.message(to: request.kind, number: number), direction: .sent, connection: 1)
                if request.kind == .tailScores, case .tensor(let tensor) = answer { scores = tensor.values }
            }
        }
        #expect(views.sessions.map(\.slot) == prompts.map(\.slot))
        for (i, session) in views.sessions.enumerated() {
            let length = prompts[i].rows
            #expect(session.steps.map(\.positions) == [0..<length, length..<length + 1])
            let step = session.steps[1]
            let kinds = session.steps.map { $0.exchanges.map(\.kind) }
            let generated: [MessageKind] = [
                .linear, .attention, .feedForward, .middle, .tailScores, .feedForward,
            ]
            #expect(kinds == [[.middle, .lockTail], generated])
            let attention = try #require(step.first(.attention))
            #expect(try views.rows(of: attention).values == heads[i].values)
            #expect(try views.attention(of: attention)?.keyPositions == 0..<length + 1)
            #expect(try views.answer(of: attention)?.columns == queryWidth)
            for exchange in step.exchanges[2...] {
                let own = rows.values[i * c.hiddenSize..<(i + 1) * c.hiddenSize]
                #expect(try views.rows(of: exchange).values == Array(own))
            }
            // Its scores are what is left when those before are taken.
            let tail = try #require(step.first(.tailScores))
            let own = try #require(try views.answer(of: tail))
            #expect(own.columns == pairWidth + c.headCount * (length + 1))
            #expect(own.values == Array(scores.prefix(own.columns)))
            scores.removeFirst(own.columns)
        }
        #expect(scores.isEmpty)
    }

    @Test("A transcript cut off anywhere is read, or refused in one line", arguments: [1, 5, 17, 40, 90])
    func survivesCuts(_ percent: Int) throws {
        try withTranscript { directory, model in
            for name in ["transcript.jsonl", "transcript.bin"] {
                let path = "\(directory)/\(name)"
                let whole = try Data(contentsOf: URL(filePath: path))
                try whole.prefix(whole.count * percent / 100).write(to: URL(filePath: path))
                try attackAll(directory, model)
                try whole.write(to: URL(filePath: path))
            }
        }
    }

    @Test(
        "A line that was tampered with is read, or refused in one line",
        arguments: [
            ("\"layer\":1", "\"layer\":77"), ("\"keys\":4", "\"keys\":3"),
            ("\"segments\":[[7,4,1]]", "\"segments\":[[7,4000000,1]]"), ("\"parts\":[{", "\"parts\":[{},{"),
            ("\"parts\":[{\"position\":0", "\"parts\":[{\"position\":4000000"),
            ("\"kind\":\"unlock\"", "\"kind\":\"stats\""), ("\"shape\":[7,192]", "\"shape\":[192,7]"),
            ("\"shape\":[7,192]", "\"shape\":[1,1344]"), ("\"number\":4,", "\"number\":5,"),
            ("\"direction\":\"sent\"", "\"direction\":\"received\""),
            ("\"blocks\":[1,4]", "\"blocks\":[4,1]"),
            ("\"blocks\":[1,4]", "\"blocks\":[1,4000]"), ("\"site\":\"queryKeyValue\"", "\"site\":\"down\""),
            ("\"segments\":[[7,4,1]]", "\"segments\":[[7,4,2]]"), ("\"connection\":1", "\"connection\":2"),
        ])
    func survivesTampering(_ change: (from: String, to: String)) throws {
        try withTranscript { directory, model in
            let path = URL(filePath: "\(directory)/transcript.jsonl")
            let text = try String(contentsOf: path, encoding: .utf8)
            try #require(text.contains(change.from))
            for all in [false, true] {
                var changed = text
                if all {
                    changed = text.replacingOccurrences(of: change.from, with: change.to)
                } else if let range = text.range(of: change.from) {
                    changed.replaceSubrange(range, with: change.to)
                }
                try changed.write(to: path, atomically: true, encoding: .utf8)
                try attackAll(directory, model)
            }
        }
    }

    @Test(
        "Values that are no numbers are refused with the message's number, huge ones are attacked",
        arguments: [Float.nan, .infinity, .greatestFiniteMagnitude])
    func refusesNumbers(_ value: Float) throws {
        try withTranscript(tokens: 2, generated: 1) { directory, model in
            let path = URL(filePath: "\(directory)/transcript.bin")
            let count = try Data(contentsOf: path).count / 4
            let bits = value.bitPattern
            let bytes = (0..<4).map { UInt8(truncatingIfNeeded: bits >> (8 * UInt32($0))) }
            try Data((0..<count).flatMap { _ in bytes }).write(to: path)
            try attackAll(directory, model, all: true)
            let views = try Views(directory: directory, configuration: model.configuration)
            let target = Target(model: model, views: views, session: views.sessions[0])
            guard !value.isFinite else { return }
            let error = #expect(throws: AttackError.self) { try SortedValues().execute(on: target) }
            #expect(error?.description.hasPrefix("message ") == true)
        }
    }

    /// Runs the quick attacks on all sessions: each gives findings or an error of one line.
    private func attackAll(_ directory: String, _ model: PublicModel, all: Bool = false) throws {
        do throws(AttackError) {
            let views = try Views(directory: directory, configuration: model.configuration)
            for session in views.sessions {
                let target = Target(model: model, views: views, session: session)
                for attack in Attacks.all(blocks: 5) where all || !Self.slow.contains(attack.name) {
                    do throws(AttackError) {
                        _ = try attack.execute(on: target)
                    } catch {
                        #expect(!error.description.contains("\n"))
                    }
                }
            }
        } catch {
            #expect(!error.description.contains("\n"))
        }
    }

    private static let slow: Set = [
        "guessing", "sorted-values", "scores", "second-moment", "unscrambling", "kv-inversion", "row-space-1",
        "norms",
    ]
}
