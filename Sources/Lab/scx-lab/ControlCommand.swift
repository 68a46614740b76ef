import ArgumentParser
import Foundation
import SCXAttacks
import SCXInference
import SCXLink
import SCXText
import SCXWorker

struct ControlCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "control",
        abstract: "Records sessions under an encoding that attacks are known to break.",
        discussion: """
            The laboratory plays both sides. DIR gets the transcript, and truth.txt with the tokens for \
            'scx-lab attack --truth'.
            """)

    @Option(help: "Directory of the model.")
    var model: String

    @Option(
        help: """
            unprotected, permuted, noised, rotated, mixed, orthogonal, fixed, pooled, reused, pad or padReused.
            """)
    var encoding = "permuted"

    @Option(
        help:
            "A file with one prompt a line, written with the model's chat template. (default: random tokens)")
    var text: String?

    @Option(help: "Tokens of random prompts.")
    var tokens = 32

    @Option(help: "Random tokens that are generated after each prompt.")
    var generate = 8

    @Option(help: "Sessions with random prompts.")
    var sessions = 1

    @Option(help: "Chooses keys and prompts.")
    var seed: UInt64 = 1

    @Option(help: "Where to record.")
    var out: String

    func validate() throws {
        guard tokens > 0, generate >= 0, sessions > 0 else {
            throw ValidationError("'--tokens' and '--sessions' take positive numbers.")
        }
        guard Self.encodings[encoding] != nil else {
            let names = Self.encodings.keys.sorted().joined(separator: ", ")
            throw ValidationError("'--encoding \(encoding)' is none of \(names).")
        }
    }

    private static let encodings: [String: ControlEncoding] = [
        "unprotected": .unprotected, "permuted": .permuted(redundant: 100),
        "noised": .permuted(redundant: 100, noise: 5), "rotated": .rotated,
        "mixed": .mixed(shields: 8, orthogonal: false), "orthogonal": .mixed(shields: 0, orthogonal: true),
        "fixed": .fixedChannels, "pooled": .pooledMasks(count: 4), "reused": .reusedMask,
        "pad": .oneTimePad(),
        "padReused": .oneTimePad(reuse: 1),
    ]

    func run() throws {
        guard let encoding = Self.encodings[encoding] else { return }
        let pool = ThreadPool(threads: ThreadPool.systemCores)
        let known = try PublicModel(directory: model, format: .f32, pool: pool)
        let longest = known.configuration.maximumLength
        var random = LabRandom(seed: seed)
        let vocabulary = UInt64(known.vocabularySize)
        func draw(_ count: Int) -> [Int32] { (0..<count).map { _ in Int32(random.next() % vocabulary) } }
        var prompts: [[Int32]] = []
        if let text {
            guard let format = try ChatFormat.load(directory: URL(filePath: model)) else {
                throw ValidationError("\(model) has no chat template.")
            }
            let tokenizer = try Tokenizer(directory: model)
            for line in try String(contentsOf: URL(filePath: text), encoding: .utf8).split(separator: "\n") {
                let prompt = try format.prompt([ChatMessage(role: "user", content: String(line))])
                prompts.append(tokenizer.encode(prompt, addSpecialTokens: false))
            }
        } else {
            let begin = known.configuration.beginOfSequence.map { [Int32(clamping: $0)] } ?? []
            prompts = (0..<sessions).map { _ in begin + draw(max(1, tokens - begin.count)) }
        }
        let recorder = try Recorder(directory: out)
        var truths: [String] = []
        for (index, prompt) in prompts.enumerated() {
            guard prompt.count + generate <= longest else {
                throw ValidationError("a prompt of \(prompt.count) tokens exceeds the model's \(longest).")
            }
            let session = ControlSession(
                known, encoding: encoding, recorder: recorder, connection: UInt64(index + 1),
                seed: seed &+ UInt64(index))
            let answer = draw(generate)
            try session.prompt(prompt)
            for token in answer { try session.generate(token) }
            truths.append((prompt + answer).map { "\($0)" }.joined(separator: " "))
        }
        try (truths.joined(separator: "\n") + "\n").write(
            to: URL(filePath: "\(out)/truth.txt"), atomically: true, encoding: .utf8)
    }
}
