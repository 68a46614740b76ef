import SCXAttacks
import SCXInference
import SCXLink
import SCXWorker
import Testing
import scx_lab

@Suite("One-time pads, and what breaks them", .enabled(if: isOptimized))
struct UniformTests {
    @Test("No attack finds anything in a one-time pad")
    func staysAtChance() throws {
        let prompt = Array(AttackFixture.prompt.prefix(8))
        let known = AttackFixture.known.filter { $0.key < 8 }
        let target = try AttackFixture.target(.oneTimePad(), prompt: prompt, generated: 1, known: known)
        // Who has no view at all can still guess what the model would write.
        let guessed = AttackFixture.recovered(try Guessing().execute(on: target), prompt, known: known)
        let tokens = prompt + AttackFixture.answer.prefix(1)
        var seen = 0
        for attack in Attacks.all(blocks: 5) where attack.name != "traffic" && attack.name != "unscrambling" {
            guard let findings = try AttackFixture.findings(attack, target) else { continue }
            seen += 1
            // Six tokens of 4,096: two by chance happen in one of a million tests.
            #expect(
                AttackFixture.recovered(findings, tokens, known: known) < guessed + 2.0 / 6, "\(attack.name)")
            let isSet = findings.bag.count < 100
            #expect(!isSet || AttackFixture.inBag(findings, tokens) < 2.0 / 6, "\(attack.name)")
        }
        #expect(seen >= 8)
    }

    @Test("Padded integers pass every test of uniformity, and plain ones fail")
    func testsIntegers() throws {
        let target = try AttackFixture.target(.oneTimePad(), generated: 2)
        let findings = try Uniformity().execute(on: target)
        #expect(findings.measures.first?.name == "integers")
        for measure in findings.measures.dropFirst() {
            // Many tests at 95 %: rather 4 deviations, or a p-value to match, which chance never shows.
            #expect(
                measure.chance?.upperBound == 1 ? measure.value > 1e-4 : abs(measure.value) < 4, "\(measure)")
        }
        var tests = IntegerTests()
        tests.take((0..<10_000).map { UInt32(bitPattern: Int32($0 % 500) - 250) })
        #expect(tests.measures.dropFirst().contains { abs($0.value) > 10 })
    }

    @Test("A pad used twice is found, and no other", arguments: [0, 1])
    func findsReuse(_ reuse: Int) throws {
        let target = try AttackFixture.target(.oneTimePad(reuse: reuse))
        let findings = try PadReuse().execute(on: target)
        #expect(findings.measures.last?.value == Double(reuse))
    }

    @Test("Two prompts are told apart in clear, and not under one-time pads")
    func playsTheGame() throws {
        let model = try AttackFixture.model.get()
        func share(_ encoding: ControlEncoding) throws -> Share {
            let views = try AttackFixture.record(model: model) { recorder in
                for i in 0..<16 {
                    let session = ControlSession(
                        model, encoding: encoding, recorder: recorder, connection: UInt64(i),
                        seed: UInt64(100 + i))
                    // Equally long, since lengths tell by themselves.
                    try session.prompt(i < 8 ? [0, 3, 203, 363] : [0, 477, 331, 315])
                }
            }
            let game = Distinguisher()
            let features = try views.sessions.map { try game.features(of: $0, in: views) }
            return game.play(first: Array(features.prefix(8)), second: Array(features.suffix(8)))
        }
        #expect(try share(.permuted(redundant: 4, noise: 0)).value == 1)
        let blind = try share(.oneTimePad())
        #expect(blind.interval.contains(0.5))
    }

    @Test("Noise is averaged away over sessions, and a fixed key is learnt")
    func usesManySessions() throws {
        let model = try AttackFixture.model.get()
        let prompt = Array(AttackFixture.prompt.prefix(8))
        // Generated tokens keep their order, so the whole text goes as such.
        let noisy = try AttackFixture.record(model: model) { recorder in
            for i in 0..<40 {
                let session = ControlSession(
                    model, encoding: .permuted(redundant: 0, noise: 2), recorder: recorder,
                    connection: UInt64(i),
                    seed: UInt64(i))
                try session.prompt([prompt[0]])
                for token in prompt.dropFirst() { try session.generate(token) }
            }
        }
        var target = Target(model: model, views: noisy, session: noisy.sessions[0], known: [0: 0])
        let one = AttackFixture.recovered(try NearestInput().execute(on: target), prompt)
        let many = AttackFixture.recovered(try NoiseAveraging().execute(on: target), prompt)
        #expect(many >= 0.99 && one < many)

        var random = LabRandom(seed: 3)
        let lessons = (0..<4).map { _ in (0..<64).map { _ in Int32(random.next() % 4096) } }
        for (encoding, falls) in [(ControlEncoding.fixedChannels, true), (.oneTimePad(), false)] {
            let views = try AttackFixture.record(model: model) { recorder in
                for (i, text) in ([prompt] + lessons).enumerated() {
                    try ControlSession(
                        model, encoding: encoding, recorder: recorder, connection: UInt64(i), seed: UInt64(i)
                    ).prompt(text)
                }
            }
            target = Target(model: model, views: views, session: views.sessions[0], known: [0: 0])
            target.own = zip(views.sessions.dropFirst(), lessons).map { ($0, $1) }
            let share = AttackFixture.recovered(try Fitting().execute(on: target), prompt)
            #expect(falls ? share >= 0.99 : share < 0.2)
        }
    }

    @Test("The model itself finds the order of its text")
    func unscrambles() throws {
        let text = Array(AttackFixture.prompt.prefix(10))
        let target = try AttackFixture.target(.permuted(), prompt: text, known: [0: 0])
        let findings = try Unscrambling(beam: 8, swaps: 20).execute(on: target)
        #expect(AttackFixture.recovered(findings, text) >= 0.5)
    }

    @Test("Distances survive a permutation of channels, and no pad")
    func correlatesDistances() throws {
        let rows = try AttackFixture.model.get().embedding.selecting(100..<140)
        let permuted = rows.sortingGroups(of: 1).columns(0..<rows.columns)
        #expect(distanceCorrelation(rows, permuted) > 0.999)
        var random = LabRandom(seed: 5)
        let noise = Matrix(
            rows: 40, columns: rows.columns, values: rows.values.map { _ in Float(random.next() >> 40) })
        #expect(distanceCorrelation(rows, noise) < 0.9)
    }
}
