import ArgumentParser
import Foundation
import SCXAttacks
import SCXInference
import SCXLink
import SCXOptions
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

    @OptionGroup var loaded: ModelFlags

    @Option(
        help: """
            unprotected, permuted, noised, rotated, mixed, orthogonal, fixed, pooled, reused, realPads, pad, padReused, \
            ring, ringOnePerRequest, ringPool, ringSpan, ringTwice, or sealed: the profile itself.
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
        guard encoding == "sealed" || Self.encodings[encoding] != nil else {
            let names = (Self.encodings.keys + ["sealed"]).sorted().joined(separator: ", ")
            throw ValidationError("'--encoding \(encoding)' is none of \(names).")
        }
    }

    private static let encodings: [String: ControlEncoding] = [
        "unprotected": .unprotected, "permuted": .permuted(redundant: 100),
        "noised": .permuted(redundant: 100, noise: 5), "rotated": .rotated,
        "mixed": .mixed(shields: 8, orthogonal: false), "orthogonal": .mixed(shields: 0, orthogonal: true),
        "fixed": .fixedChannels, "pooled": .pooledMasks(count: 4), "reused": .reusedMask,
        "pad": .oneTimePad(),
        "padReused": .oneTimePad(reuse: 1), "realPads": .realPads(scale: 1), "ring": .ring(.fresh),
        "ringOnePerRequest": .ring(.onePerRequest), "ringPool": .ring(.pool(count: 8)),
        "ringSpan": .ring(.span(rank: 4)), "ringTwice": .ring(.twice),
    ]

    func run() throws {
        let pool = loaded.pool
        let checkpoint = try loaded.checkpoint()
        let sealed: SealedRecorder? =
            switch Self.encodings[encoding] {
            case .ring, nil: try SealedRecorder(checkpoint, pool: pool)
            default: nil
            }
        let known = try sealed?.model ?? PublicModel(checkpoint, format: .f32, pool: pool)
        let longest = known.configuration.maximumLength
        var random = LabRandom(seed: seed)
        let vocabulary = UInt64(known.vocabularySize)
        func draw(_ count: Int) -> [Int32] { (0..<count).map { _ in Int32(random.next() % vocabulary) } }
        var prompts: [[Int32]] = []
        if let text {
            guard let format = try ChatFormat.load(directory: URL(filePath: checkpoint.directory)) else {
                throw ValidationError("\(checkpoint.directory) has no chat template.")
            }
            let tokenizer = try Tokenizer(directory: checkpoint.directory)
            for line in try String(contentsOf: URL(filePath: text), encoding: .utf8).split(separator: "\n") {
                let prompt = try format.prompt([ChatMessage(role: "user", content: String(line))])
                prompts.append(tokenizer.encode(prompt, addSpecialTokens: false))
            }
        } else {
            let begin = known.configuration.beginOfSequence.map { [Int32(clamping: $0)] } ?? []
            prompts = (0..<sessions).map { _ in begin + draw(max(1, tokens - begin.count)) }
        }
        let recorder = try Recorder(directory: out)
        for prompt in prompts where prompt.count + generate > longest {
            throw ValidationError("a prompt of \(prompt.count) tokens exceeds the model's \(longest).")
        }
        var carried: [[Int32]] = []
        switch (Self.encodings[encoding], sealed) {
        case (nil, let sealed?):
            carried = try sealed.record(prompts, answer: generate, SealedOptions(), recorder).tokens
        case (.ring(let pads), let sealed?):
            let control = RingControl(known, sites: sealed.sites, pads: pads)
            for (index, prompt) in prompts.enumerated() {
                let session = RingControlSession(
                    control, recorder: recorder, connection: UInt64(index + 1), seed: seed &+ UInt64(index))
                let answer = draw(generate)
                try session.carry(prompt)
                for token in answer { try session.carry([token]) }
                carried.append(prompt + answer)
            }
        case (let encoding?, _):
            for (index, prompt) in prompts.enumerated() {
                let session = ControlSession(
                    known, encoding: encoding, recorder: recorder, connection: UInt64(index + 1),
                    seed: seed &+ UInt64(index))
                let answer = draw(generate)
                try session.prompt(prompt)
                for token in answer { try session.generate(token) }
                carried.append(prompt + answer)
            }
        case (nil, nil): break
        }
        let truths = carried.map { $0.map { "\($0)" }.joined(separator: " ") }
        try (truths.joined(separator: "\n") + "\n").write(
            to: URL(filePath: "\(out)/truth.txt"), atomically: true, encoding: .utf8)
    }
}
