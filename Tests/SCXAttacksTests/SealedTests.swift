import Foundation
import SCXAttacks
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker
import Testing
import scx_lab

@Suite("Profile sealed, and weaker schemes of its kind", .enabled(if: isOptimized))
struct SealedTests {
    static let recorder = Result {
        try SealedRecorder(
            Checkpoint(directory: "\(AttackFixture.root)/Models/ward-3m"), pool: AttackFixture.pool)
    }

    /// The template's first tokens, which everybody knows.
    static let begin: [Int32] = [0, 3, 203]
    static let known: [Int: Int32] = [0: 0, 1: 3, 2: 203]

    /// A prompt of random tokens behind the template's first ones.
    private func prompt(_ length: Int, seed: UInt64 = 1) -> [Int32] {
        var random = LabRandom(seed: seed)
        return Self.begin + (3..<length).map { _ in Int32(random.next() % 4096) }
    }

    /// What a worker saw of real sessions, and what was carried through the model.
    private func record(
        _ prompts: [[Int32]], answer: Int = 2, _ options: SealedOptions = SealedOptions()
    ) throws -> (views: Views, sessions: SealedRecorder.Sessions) {
        let sealed = try Self.recorder.get()
        var sessions = SealedRecorder.Sessions()
        let views = try AttackFixture.record(model: sealed.model) { recorder in
            sessions = try sealed.record(prompts, answer: answer, options, recorder)
        }
        return (views, sessions)
    }

    /// What a worker would see under weaker pads.
    private func control(_ pads: RingPads, _ prompts: [[Int32]]) throws -> Views {
        let sealed = try Self.recorder.get()
        return try AttackFixture.record(model: sealed.model) { recorder in
            let control = RingControl(sealed.model, sites: sealed.sites, pads: pads)
            for (index, prompt) in prompts.enumerated() {
                let session = RingControlSession(
                    control, recorder: recorder, connection: UInt64(index + 1), seed: UInt64(index + 1))
                try session.carry(prompt)
            }
        }
    }

    private func target(_ views: Views, _ session: Int = 0, known: [Int: Int32] = [0: 0]) throws -> Target {
        Target(
            model: try Self.recorder.get().model, views: views, session: views.sessions[session], known: known
        )
    }

    private func measure(_ findings: Findings, _ name: String) -> Double? {
        findings.measures.first { $0.name == name }?.value
    }

    private func guess(_ findings: Findings, _ name: NumberGuess.Name) throws -> NumberGuess {
        try #require(findings.guesses.first { $0.name == name })
    }

    @Test("Requests that name no session are sorted into sessions, steps and halves of steps")
    func sorts() throws {
        let (views, sessions) = try record([prompt(9), prompt(130), prompt(5)])
        #expect(views.sessions.count == 3 && sessions.tokens.map(\.count) == [11, 132, 7])
        #expect(views.sessions.map(\.length) == [11, 132, 7])
        #expect(views.sessions.map(\.promptLength) == [9, 130, 5])
        #expect(views.sessions[0].steps.map(\.positions) == [0..<9, 9..<10, 10..<11])
        #expect(views.sessions[1].steps.map(\.continuesPrompt) == [false, true, false, false])
        // 4 · 5 + 1 exchanges a step, and nothing else.
        #expect(views.sessions[0].steps.allSatisfy { $0.sent.count == 21 })
        #expect(views.words.allSatisfy { $0.kind == .linearRing })
        // What goes into the first product is offered as rows in clear, with a mean square of 1.
        let reading = try #require(views.sessions[0].steps[0].first(.linear, layer: 0, site: .queryKeyValue))
        let rows = try views.rows(of: reading)
        #expect(rows.rows == 9 && rows.columns == 192)
        #expect(rows.squares.allSatisfy { abs($0 - 192) < 0.1 })
    }

    @Test("No attack finds anything in what profile sealed sends")
    func staysAtChance() throws {
        let text = Array(AttackFixture.prompt.prefix(8))
        let known = AttackFixture.known.filter { $0.key < 8 }
        let lessons = (0..<3).map { prompt(40, seed: UInt64(20 + $0)) }
        let (views, sessions) = try record([text] + lessons, answer: 1)
        var target = try target(views, known: known)
        target.own = Array(zip(views.sessions, sessions.tokens).dropFirst().map { ($0, $1) })
        let tokens = sessions.tokens[0]
        let guessed = AttackFixture.recovered(try Guessing().execute(on: target), tokens, known: known)
        var seen: Set<String> = []
        let others: Set = ["traffic", "guessing", "commonest", "length", "acceptance"]
        for attack in Attacks.all(blocks: 5) where !others.contains(attack.name) {
            guard let findings = try AttackFixture.findings(attack, target) else { continue }
            seen.insert(attack.name)
            // Six tokens: that chance finds five more than the model guesses, even if one of 64 were right each time,
            // happens in one of a hundred million runs.
            #expect(
                AttackFixture.recovered(findings, tokens, known: known) < guessed + 5.0 / 6, "\(attack.name)")
            let isSet = findings.bag.count < 100
            #expect(!isSet || AttackFixture.inBag(findings, tokens) < 5.0 / 9, "\(attack.name)")
        }
        for name in [
            "nearest-input", "sorted-values", "known-token-key", "norms", "scores", "vocabulary-inputs",
            "vocabulary-attention", "vocabulary-feed-forward", "vocabulary-shared-kv", "vocabulary-middle",
            "kv-inversion", "logit-lens", "row-space", "second-moment", "mask-pool", "averaging", "fitting",
            "uniformity", "pad-reuse", "pad-span",
        ] { #expect(seen.contains(name), "\(name)") }
    }

    @Test("Two prompts are not told apart")
    func playsTheGame() throws {
        let texts =
            [[Int32]](repeating: [0, 3, 203, 363], count: 24)
            + [[Int32]](repeating: [0, 477, 331, 315], count: 24)
        let (views, _) = try record(texts, answer: 0)
        #expect(views.sessions.count == 48)
        let game = Distinguisher()
        let features = try views.sessions.map { try game.features(of: $0, in: views) }
        let share = game.play(first: Array(features.prefix(24)), second: Array(features.suffix(24)))
        // That a coin is right 24 times of 24 happens in one of 16 million runs.
        #expect(share.trials == 24 && share.successes < 24)
        let plain = try AttackFixture.record(model: AttackFixture.model.get()) { recorder in
            for (i, text) in texts.enumerated() {
                let session = ControlSession(
                    try AttackFixture.model.get(), encoding: .permuted(), recorder: recorder,
                    connection: UInt64(i), seed: UInt64(i))
                try session.prompt(text)
            }
        }
        let clear = try plain.sessions.map { try game.features(of: $0, in: plain) }
        #expect(game.play(first: Array(clear.prefix(24)), second: Array(clear.suffix(24))).value == 1)
    }

    @Test(
        "Pads that are used again give the tokens, fresh ones do not",
        arguments: [RingPads.onePerRequest, .pool(count: 8), .twice, .fresh])
    func readsReusedPads(_ pads: RingPads) throws {
        let prompts = [prompt(30, seed: 1), prompt(34, seed: 2)]
        let views = try control(pads, prompts)
        for (session, prompt) in prompts.enumerated() {
            let findings = try PadReuse().execute(on: target(views, session, known: Self.known))
            let share = AttackFixture.recovered(findings, prompt, known: Self.known)
            let pairs = try #require(measure(findings, "pairs of rows under one pad"))
            if pads == .fresh {
                #expect(share == 0 && pairs == 0)
                // The work grows with the rows: hardly any two are ever compared.
                #expect(findings.candidatesTried < 64)
            } else {
                // With pads of two sessions, the longer prompt's last rows have pads of their own.
                let shared = pads == .twice ? Double(min(prompt.count, 30) - 3) / Double(prompt.count - 3) : 1
                #expect(share >= 0.99 * shared && pairs > 0)
            }
        }
    }

    @Test("Without a known token, two rows under one pad give both tokens by their difference")
    func readsDifferences() throws {
        let text = Array(prompt(30).dropFirst(3))
        let views = try control(.onePerRequest, [text])
        let findings = try PadReuse().execute(on: target(views, known: [40: 0]))
        #expect(AttackFixture.recovered(findings, text, known: [:]) >= 0.99)
    }

    @Test("Sums of few masks are found from known tokens, and fresh pads are not", arguments: [true, false])
    func readsSums(_ isWeak: Bool) throws {
        let prompts = [prompt(30, seed: 1), prompt(34, seed: 2)]
        let views = try control(isWeak ? .span(rank: 4) : .fresh, prompts)
        // Three tokens of the template begin each of the two sessions.
        let findings = try PadSpan().execute(on: target(views, known: Self.known))
        #expect(measure(findings, "known rows") == 6)
        #expect(measure(findings, "dimensions of their pads") == (isWeak ? 4 : 6))
        let share = AttackFixture.recovered(findings, prompts[0], known: Self.known)
        #expect(isWeak ? share >= 0.99 : share == 0)
    }

    @Test("Pads of real numbers fall to a matched filter when small, and to averaging when larger")
    func readsRealPads() throws {
        let model = try AttackFixture.model.get()
        let text = prompt(16)
        let small = try AttackFixture.target(.realPads(scale: 0.25), prompt: text)
        #expect(AttackFixture.inBag(try NearestInput().execute(on: small), text) >= 0.99)
        let views = try AttackFixture.record(model: model) { recorder in
            for i in 0..<40 {
                try ControlSession(
                    model, encoding: .realPads(scale: 1), recorder: recorder, connection: UInt64(i),
                    seed: UInt64(i)
                ).prompt(text)
            }
        }
        let large = Target(model: model, views: views, session: views.sessions[0], known: [0: 0])
        let one = AttackFixture.inBag(try NearestInput().execute(on: large), text)
        let many = AttackFixture.recovered(try NoiseAveraging().execute(on: large), text)
        #expect(many >= 0.99 && one < many)
    }

    @Test("Integers of every site pass the tests of uniformity")
    func testsIntegers() throws {
        let (views, _) = try record([prompt(60)], answer: 4)
        let findings = try Uniformity().execute(on: target(views))
        let p = try #require(findings.measures.last)
        #expect(p.name == "p of all 47 tests" && p.value > 1e-7)
        #expect(try #require(measure(findings, "integers")) == 64 * 5440 + 5 * 192)
        // Rows under one pad look as uniform as others, one by one; their neighbours tell.
        let weak = try Uniformity().execute(on: target(control(.onePerRequest, [prompt(60)])))
        #expect(try #require(weak.measures.last).value < 1e-9)
    }

    @Test("Exact row counts tell lengths, rounded ones a range")
    func guessesLengths() throws {
        let lengths = [9, 33, 40]
        let texts = lengths.map { prompt($0) }
        var options = SealedOptions()
        let ranges: [(RowCounts, [ClosedRange<Int>])] = [
            (.exact, [9...9, 33...33, 40...40]), (.powersOfTwo, [9...16, 33...64, 33...64]),
            (.multiples(of: 24), [1...24, 25...48, 25...48]),
        ]
        for (rowCounts, expected) in ranges {
            options.rowCounts = rowCounts
            let (views, _) = try record(texts, answer: 3, options)
            #expect(views.sessions.count == 3)
            for (session, range) in expected.enumerated() {
                let findings = try LengthGuess().execute(on: target(views, session))
                #expect(try guess(findings, .promptTokens).range == range)
                #expect(try guess(findings, .answerTokens).range == 3...3)
                #expect(try guess(findings, .sessions).best == 3)
            }
        }
    }

    @Test("Row counts of guessed tokens tell how many were right, unless they are rounded")
    func guessesAcceptance() throws {
        var options = SealedOptions()
        options.longestDraft = 8
        let texts = (0..<6).map { prompt(20 + 3 * $0, seed: UInt64(40 + $0)) }
        let (views, sessions) = try record(texts, answer: 96, options)
        #expect(views.sessions.count == texts.count)
        var (error, blind, drafted) = (0.0, 0.0, 0.0)
        for (session, accepted) in sessions.accepted.enumerated() {
            let findings = try AcceptanceGuess().execute(on: target(views, session))
            let guess = try guess(findings, .acceptedTokens)
            let total = try #require(measure(findings, "tokens guessed ahead"))
            #expect(guess.range == 0...Int(total))
            error += abs(guess.best - Double(accepted))
            blind += abs(total / 2 - Double(accepted))
            drafted += total
        }
        #expect(error < 0.1 * drafted && error < 0.6 * blind)
        options.rowCounts = .multiples(of: 16)
        let (rounded, _) = try record([texts[0]], answer: 32, options)
        #expect(throws: AttackError.self) { try AcceptanceGuess().execute(on: target(rounded)) }
    }

    @Test("Where the integers of two connections and runs share a pad, it is found")
    func looksAcrossRuns() throws {
        let sealed = try Self.recorder.get()
        let directory = FileManager.default.temporaryDirectory.appending(path: "runs-\(UUID().uuidString)")
            .path
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let control = RingControl(sealed.model, sites: sealed.sites, pads: .twice)
        for seed in 0..<2 {
            // Each recorder begins a run of its own in the same files.
            let recorder = try Recorder(directory: directory)
            try RingControlSession(control, recorder: recorder, connection: 5, seed: UInt64(seed)).carry(
                prompt(12, seed: UInt64(seed)))
        }
        let views = try Views(directory: directory, configuration: sealed.model.configuration)
        #expect(views.sessions.map(\.run) == [0, 1])
        let findings = try PadReuse().execute(on: target(views, 1, known: Self.known))
        // Twelve rows at each of 20 products, and one at the head.
        #expect(measure(findings, "rows under a pad that was used before") == 241)
        #expect(AttackFixture.recovered(findings, prompt(12, seed: 1), known: Self.known) >= 0.99)
    }

    @Test(
        "A transcript of integers that was cut or tampered with is read, or refused in one line",
        arguments: [
            ("\"layer\":1", "\"layer\":77"), ("\"layer\":2", "\"layer\":0"),
            ("\"shape\":[9,192]", "\"shape\":[192,9]"),
            ("\"shape\":[9,192]", "\"shape\":[3,576]"), ("\"site\":\"down\"", "\"site\":\"queryKeyValue\""),
            ("\"site\":\"output\"", "\"site\":\"head\""), ("\"shape\":[1,192]", "\"shape\":[192,1]"),
            ("\"direction\":\"sent\"", "\"direction\":\"received\""), ("\"number\":4,", "\"number\":5,"),
            ("\"connection\":1", "\"connection\":2"), ("\"kind\":\"linearRing\"", "\"kind\":\"linear\""),
        ])
    func survivesTampering(_ change: (from: String, to: String)) throws {
        let sealed = try Self.recorder.get()
        let directory = FileManager.default.temporaryDirectory.appending(path: "ring-\(UUID().uuidString)")
            .path
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let recorder = try Recorder(directory: directory)
        let control = RingControl(sealed.model, sites: sealed.sites, pads: .onePerRequest)
        let session = RingControlSession(control, recorder: recorder, seed: 1)
        try session.carry(prompt(9))
        try session.carry([17])
        let path = URL(filePath: "\(directory)/transcript.jsonl")
        let text = try String(contentsOf: path, encoding: .utf8)
        try #require(text.contains(change.from))
        var changes = [text.replacingOccurrences(of: change.from, with: change.to)]
        for percent in [5, 40, 90] { changes.append(String(text.prefix(text.count * percent / 100))) }
        var first = text
        if let range = text.range(of: change.from) { first.replaceSubrange(range, with: change.to) }
        let attacks: [any Attack] = [
            NearestInput(), JoinedViews(), KeyRecovery(), LogitLens(), MaskPool(), Uniformity(), PadReuse(),
            PadSpan(), LengthGuess(), AcceptanceGuess(), TrafficAnalysis(),
        ]
        for changed in changes + [first] {
            try changed.write(to: path, atomically: true, encoding: .utf8)
            do throws(AttackError) {
                let views = try Views(directory: directory, configuration: sealed.model.configuration)
                for session in views.sessions {
                    let target = Target(model: sealed.model, views: views, session: session)
                    for attack in attacks {
                        do throws(AttackError) { _ = try attack.execute(on: target) } catch {
                            #expect(!error.description.contains("\n"))
                        }
                    }
                }
            } catch {
                #expect(!error.description.contains("\n"))
            }
        }
    }
}
