import Foundation
import SCXAttacks
import SCXInference
import Testing
import scx_lab

@Suite("Attacks on every family of models", .enabled(if: isOptimized))
struct FamilyTests {
    @Test(
        "Random weights, biases, norms of heads and shared keys make no difference",
        arguments: ["tiny-llama", "tiny-mistral", "tiny-qwen2", "tiny-qwen3"])
    func recovers(_ name: String) throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "family-\(UUID().uuidString)")
            .path
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let shape = try #require(SyntheticShape.all.first { $0.name == name })
        try SyntheticCheckpoint.write(shape, to: directory, seed: 1, pool: AttackFixture.pool)
        let model = try PublicModel(directory: directory, format: .f32, pool: AttackFixture.pool)
        // Two equal tokens, so that rows repeat where context does not tell them apart.
        let prompt: [Int32] = [256, 17, 300, 300, 44, 401, 17, 5]
        let target = try AttackFixture.target(
            .permuted(redundant: 5, noise: 0), prompt: prompt, known: [0: 256], model: model)
        var attacks: [any Attack] = [
            SortedValues(), KeyRecovery(), VocabularyMatching(.inputs), VocabularyMatching(.feedForward),
            VocabularyMatching(.attention, layer: 1), JoinedViews(),
        ]
        if model.configuration.blockCount > 2 { attacks.append(VocabularyMatching(.sharedKeysAndValues)) }
        for attack in attacks {
            let findings = try attack.execute(on: target)
            #expect(AttackFixture.recovered(findings, prompt, known: target.known) >= 0.99, "\(attack.name)")
        }
        let rotated = try AttackFixture.target(.rotated, prompt: prompt, known: [0: 256], model: model)
        let findings = try NormMatching().execute(on: rotated)
        #expect(AttackFixture.recovered(findings, prompt, known: target.known) >= 0.99)
    }
}
