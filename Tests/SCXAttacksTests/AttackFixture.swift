import Foundation
import SCXAttacks
import SCXInference
import SCXLink
import SCXWorker
import Testing
import scx_lab

/// Attacks search for seconds in debug builds with a sanitizer; what reads files of strangers is tested there too.
#if DEBUG
    let isOptimized = false
#else
    let isOptimized = true
#endif

/// The bundled model, prompts for it, and transcripts of sessions under the laboratory's controls.
enum AttackFixture {
    static let pool = ThreadPool(threads: 2)
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path
    static let model: Result<PublicModel, AttackError> = Result { () throws(AttackError) in
        try PublicModel(directory: "\(root)/Models/ward-3m", format: .f32, pool: pool)
    }

    /// "<|begin|><|user|>\nWhat are the symptoms of asthma?<|end|>\n<|assistant|>\n" and the model's greedy answer.
    static let prompt: [Int32] = [0, 3, 203, 363, 393, 281, 596, 316, 1304, 35, 1, 203, 4, 203]
    static let answer: [Int32] = [348, 541, 596, 393, 1897, 16, 262, 1788]
    /// What the chat template puts into every prompt.
    static let known: [Int: Int32] = [0: 0, 1: 3, 2: 203, 10: 1, 11: 203, 12: 4, 13: 203]

    /// The views of one session with the prompt and some tokens of the answer.
    static func target(
        _ encoding: ControlEncoding, prompt: [Int32] = prompt, generated: Int = 0, seed: UInt64 = 1,
        known: [Int: Int32] = [0: 0], model: PublicModel? = nil
    ) throws -> Target {
        let model = try model ?? self.model.get()
        let views = try record(model: model) { recorder in
            let session = ControlSession(model, encoding: encoding, recorder: recorder, seed: seed)
            try session.prompt(prompt)
            for token in answer.prefix(generated) { try session.generate(token) }
        }
        let session = try #require(views.sessions.first)
        return Target(model: model, views: views, session: session, known: known)
    }

    /// The views of what `body` records; the files are gone when the views are, since tensors stay open.
    static func record(model: PublicModel, _ body: (Recorder) throws -> Void) throws -> Views {
        let directory = FileManager.default.temporaryDirectory.appending(path: "attacks-\(UUID().uuidString)")
            .path
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let recorder = try Recorder(directory: directory)
        try body(recorder)
        return try Views(directory: directory, configuration: model.configuration)
    }

    /// What an attack finds; nil when the session has nothing that it works on.
    static func findings(_ attack: any Attack, _ target: Target) throws -> Findings? {
        do throws(AttackError) {
            return try attack.execute(on: target)
        } catch {
            guard case .nothingToAttack = error else { throw error }
            return nil
        }
    }

    /// The share of positions whose most likely token is right, known ones apart.
    static func recovered(
        _ findings: Findings, _ tokens: [Int32], from first: Int = 0, known: [Int: Int32] = [0: 0]
    ) -> Double {
        let wanted = tokens.indices.filter { known[first + $0] == nil }
        let right = wanted.count { findings.positions[first + $0]?.first == tokens[$0] }
        return Double(right) / Double(max(1, wanted.count))
    }

    /// The share of tokens that are among those found without a position.
    static func inBag(_ findings: Findings, _ tokens: [Int32]) -> Double {
        var found: [Int32: Int] = [:]
        for token in findings.tokens { found[token, default: 0] += 1 }
        var right = 0
        for token in tokens where found[token, default: 0] > 0 {
            found[token, default: 0] -= 1
            right += 1
        }
        return Double(right) / Double(max(1, tokens.count))
    }
}
