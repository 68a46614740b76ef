import SCXAttacks
import SCXInference
import SCXLink
import Testing
import scx_lab

@Suite("Every attack recovers its control, and nothing from a one-time pad", .enabled(if: isOptimized))
struct ControlTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let attack: any Attack
        let encoding: ControlEncoding
        var generated = 3
        var known: [Int: Int32] = [0: 0]
        var testDescription: String { "\(attack.name) against \(encoding)" }
    }

    static let scx = ControlEncoding.permuted(redundant: 10, noise: 5)

    static let ordered: [Case] = [
        Case(attack: SortedValues(), encoding: scx),
        Case(attack: KeyRecovery(), encoding: scx),
        Case(attack: JoinedViews(), encoding: scx),
        Case(attack: NormMatching(), encoding: .rotated),
        Case(attack: ScoreWalk(), encoding: .rotated, generated: 0),
        Case(attack: NearestInput(), encoding: .unprotected),
        Case(attack: VocabularyMatching(.middle), encoding: .unprotected),
        Case(attack: VocabularyMatching(.answers), encoding: .unprotected),
        Case(attack: VocabularyMatching(.inputs), encoding: scx),
        Case(attack: VocabularyMatching(.inputs, layer: 4), encoding: scx),
        Case(attack: VocabularyMatching(.joinedInputs), encoding: scx),
        Case(attack: VocabularyMatching(.feedForward), encoding: scx),
        Case(attack: VocabularyMatching(.feedForward, layer: 3), encoding: scx),
        Case(attack: VocabularyMatching(.sharedKeysAndValues), encoding: scx),
        Case(attack: VocabularyMatching(.sharedKeysAndValues, layer: 3), encoding: scx),
        Case(attack: VocabularyMatching(.attention), encoding: scx),
        Case(attack: VocabularyMatching(.attention, layer: 2), encoding: scx),
        Case(attack: RowSpace(layer: 1), encoding: .mixed(shields: 8, orthogonal: false), generated: 0),
        Case(attack: MaskPool(), encoding: .reusedMask),
        Case(attack: MaskPool(), encoding: .pooledMasks(count: 5), known: AttackFixture.known),
    ]

    @Test("Tokens stand at their positions", arguments: ordered)
    func recoversInOrder(_ test: Case) throws {
        let target = try AttackFixture.target(test.encoding, generated: test.generated, known: test.known)
        let findings = try test.attack.execute(on: target)
        let tokens = AttackFixture.prompt + AttackFixture.answer.prefix(test.generated)
        #expect(AttackFixture.recovered(findings, tokens, known: test.known) >= 0.99)
    }

    static let bags: [Case] = [
        Case(attack: NearestInput(), encoding: .permuted(redundant: 10), generated: 0),
        Case(attack: RowSpace(), encoding: .mixed(shields: 8, orthogonal: false), generated: 0),
        Case(attack: SecondMoment(), encoding: .permuted(), generated: 0),
        Case(attack: SecondMoment(), encoding: .mixed(shields: 0, orthogonal: true), generated: 0),
    ]

    @Test("Tokens are found without their order", arguments: bags)
    func recoversTheSet(_ test: Case) throws {
        let target = try AttackFixture.target(test.encoding, generated: test.generated)
        let findings = try test.attack.execute(on: target)
        // A space tells which tokens there are, and not how often.
        let tokens = test.attack is RowSpace ? Array(Set(AttackFixture.prompt)) : AttackFixture.prompt
        #expect(AttackFixture.inBag(findings, tokens) >= 0.99)
    }

    @Test("The logit lens reads the answer from the last states", arguments: [scx, .unprotected])
    func readsTheAnswer(_ encoding: ControlEncoding) throws {
        let target = try AttackFixture.target(encoding, generated: 6)
        let findings = try LogitLens().execute(on: target)
        // A state tells the token after its own.
        let wanted = Array(AttackFixture.answer[1..<6])
        #expect(AttackFixture.recovered(findings, wanted, from: AttackFixture.prompt.count + 1) >= 0.99)
    }

    @Test("Keys and values of a shared block tell most tokens without a search")
    func invertsKeysAndValues() throws {
        let findings = try KeyValueInversion().execute(on: AttackFixture.target(Self.scx))
        #expect(AttackFixture.recovered(findings, AttackFixture.prompt) >= 0.5)
    }

    @Test("Joining views tells redundant rows from real ones")
    func findsRedundantRows() throws {
        let findings = try JoinedViews().execute(on: AttackFixture.target(Self.scx))
        let measures = Dictionary(uniqueKeysWithValues: findings.measures.map { ($0.name, $0.value) })
        // Five blocks; the first has noise on one of its views, which cannot be joined.
        #expect(measures["rows linked"] == Double(4 * AttackFixture.prompt.count))
        #expect(measures["rows found redundant"] == Double(5 * 10 + AttackFixture.prompt.count))
    }
    @Test("A prompt without the chat template is recovered though the template is taken for known")
    func doubtsWhatIsKnown() throws {
        let prompt: [Int32] = [0, 363, 393, 281, 596, 316, 1304, 35]
        let target = try AttackFixture.target(Self.scx, prompt: prompt, known: [0: 0, 1: 3, 2: 203, 7: 203])
        let findings = try VocabularyMatching(.inputs).execute(on: target)
        #expect(AttackFixture.recovered(findings, prompt) >= 0.99)
    }
}
