import Foundation
import SCXEncoding
import SCXEngine
import SCXInference
import SCXLink
import SCXProfiles
import SCXText
import SCXWorker
import Testing

/// What transformers computed from a small random encoder or embedder; `Tests/Fixtures/encoders/README.md` says how.
struct EncoderCase: CustomTestStringConvertible, Sendable {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/encoders").path

    static let all: [EncoderCase] = named {
        FileManager.default.fileExists(atPath: $0 + "/expected.safetensors")
    }
    static let sentences: [EncoderCase] = named {
        FileManager.default.fileExists(atPath: $0 + "/modules.json")
    }

    private static func named(_ isWanted: (String) -> Bool) -> [EncoderCase] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.sorted().filter { isWanted(folder + "/" + $0) }.map { EncoderCase(name: $0) }
    }

    let name: String

    var testDescription: String { name }
    var directory: String { "\(Self.folder)/\(name)" }

    var isCausal: Bool {
        ["mistral-model", "llama-model", "qwen3-embedding", "qwen2-without-head", "qwen3-classifier"]
            .contains(name)
    }

    struct Sequence {
        var tokens: [Int32] = []
        var kinds: [Int32] = []
        /// Hidden states, `[tokens, hidden]`.
        var hidden: [Float] = []
        /// `[labels]`, or empty.
        var logits: [Float] = []
    }

    func expected() throws -> [Sequence] {
        let bytes = [UInt8](try Data(contentsOf: URL(filePath: directory + "/expected.safetensors")))
        let start = 8 + Int(Self.integer(bytes[0..<8]))
        let header = try JSON(parsing: String(decoding: bytes[8..<start], as: UTF8.self))
        func data(_ name: String) -> ArraySlice<UInt8> {
            let offsets = (header[name]?["data_offsets"]?.array ?? []).compactMap(\.int)
            return offsets.count == 2 ? bytes[start + offsets[0]..<start + offsets[1]] : []
        }
        func tokens(_ name: String) -> [Int32] {
            let data = data(name)
            return stride(from: data.startIndex, to: data.endIndex, by: 8).map {
                Int32(Self.integer(data[$0..<$0 + 8]))
            }
        }
        func floats(_ name: String) -> [Float] {
            let data = data(name)
            return stride(from: data.startIndex, to: data.endIndex, by: 4).map {
                Float(bitPattern: UInt32(Self.integer(data[$0..<$0 + 4])))
            }
        }
        return (0..<2).map {
            Sequence(
                tokens: tokens("tokens.\($0)"), kinds: tokens("kinds.\($0)"), hidden: floats("hidden.\($0)"),
                logits: floats("logits.\($0)"))
        }
    }

    private static func integer(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// Profile `plain` with a worker in this process.
    func plain(_ checkpoint: Checkpoint, _ format: WeightFormat = .f32) throws -> PlainForwardPass {
        let decoder = try Decoder(checkpoint, format: format, pool: SealedFixture.pool)
        return PlainForwardPass(
            embedding: try TokenEmbedding(checkpoint), configuration: checkpoint.configuration,
            link: InProcessLink(Worker(model: decoder)))
    }
}

/// The largest difference as a share of the largest expected value.
private func share(_ found: [Float], _ expected: [Float]) throws -> Float {
    try #require(found.count == expected.count && !expected.isEmpty)
    let largest = expected.reduce(0) { max($0, abs($1)) }
    return zip(found, expected).reduce(0) { max($0, abs($1.0 - $1.1)) } / largest
}

@Suite("encoders and embedders")
struct EncoderProfileTests {
    private func segments(_ sequences: [EncoderCase.Sequence]) -> [BatchSegment] {
        sequences.enumerated().map { index, sequence in
            BatchSegment(
                slot: Slot(number: UInt32(index)), position: 0, tokens: sequence.tokens,
                kinds: sequence.kinds, output: .hiddenStates)
        }
    }

    @Test("every family and option has a case")
    func cases() {
        #expect(EncoderCase.all.count >= 21)
        #expect(EncoderCase.sentences.count >= 3)
    }

    @Test(
        "two sequences in one step have the hidden states and labels of transformers, in profile plain",
        arguments: EncoderCase.all)
    func plain(_ encoder: EncoderCase) throws {
        let checkpoint = try Checkpoint(directory: encoder.directory)
        let expected = try encoder.expected()
        let found = try encoder.plain(checkpoint).compute(segments(expected))
        let classifier = try SequenceClassifier(checkpoint)
        let width = checkpoint.configuration.hiddenSize
        for (states, sequence) in zip(found, expected) {
            let off = try share(states, sequence.hidden)
            #expect(off <= 2e-4, "hidden states off by \(off)")
            guard !sequence.logits.isEmpty else { continue }
            let head = try #require(classifier)
            let pooled: [Float] =
                switch head.head.pooling {
                case .first: Array(states.prefix(width))
                case .last: Array(states.suffix(width))
                case .mean:
                    (0..<width).map { c in
                        stride(from: c, to: states.count, by: width).reduce(0) { $0 + states[$1] }
                            / Float(states.count / width)
                    }
                }
            let labelsOff = try share(head.logits(pooled), sequence.logits)
            #expect(labelsOff <= 2e-4, "labels off by \(labelsOff)")
        }
    }

    @Test(
        "profile sealed computes what the same arithmetic gives here, near to transformers",
        arguments: EncoderCase.all)
    func sealed(_ encoder: EncoderCase) throws {
        let expected = try encoder.expected()
        let fixture = try SealedFixture(directory: encoder.directory)
        var options = RingOptions()
        options.fewestRowsOfTwo = 16
        let sealed = fixture.sealed(options: options)
        let found = try sealed.compute(segments(expected))
        let here = try fixture.fixedPoint().compute(segments(expected))
        #expect(found.map { $0.map(\.bitPattern) } == here.map { $0.map(\.bitPattern) })
        for (states, sequence) in zip(found, expected) {
            let likeness = cosine(states, sequence.hidden)
            // Two matrices hold the weights of models that attend to both sides.
            #expect(likeness > (encoder.isCausal ? 0.995 : 0.999_99), "\(likeness)")
        }
    }

    @Test(
        "profile plain with int8 weights adds the products of both matrices",
        arguments: ["bert", "modernbert-biases"])
    func int8(name: String) throws {
        let encoder = EncoderCase(name: name)
        let expected = try encoder.expected()
        let found = try encoder.plain(Checkpoint(directory: encoder.directory), .int8)
            .compute(segments(expected))
        for (states, sequence) in zip(found, expected) {
            // Here rows are rounded to int8, too.
            #expect(cosine(states, sequence.hidden) > 0.995)
        }
    }

    @Test("workers that hold parts of both matrices compute what one computes", arguments: [2, 3])
    func shards(count: Int) throws {
        let encoder = EncoderCase(name: "bert")
        let expected = try encoder.expected()
        let fixture = try SealedFixture(directory: encoder.directory)
        let found = try fixture.sharded(count).compute(segments(expected))
        let here = try fixture.fixedPoint().compute(segments(expected))
        #expect(found.map { $0.map(\.bitPattern) } == here.map { $0.map(\.bitPattern) })
    }

    private func cosine(_ a: [Float], _ b: [Float]) -> Double {
        func dot(_ a: [Float], _ b: [Float]) -> Double {
            zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) }
        }
        return dot(a, b) / (dot(a, a) * dot(b, b)).squareRoot()
    }

    @Test(
        "profile scx refuses encoders, and says why",
        arguments: ["bert", "xlm-roberta", "modernbert", "qwen2-not-causal"])
    func refusal(name: String) throws {
        let checkpoint = try Checkpoint(directory: EncoderCase(name: name).directory)
        let error = #expect(throws: CheckpointError.self) { try ScxOptions.check(checkpoint) }
        #expect(error.map { "\($0)" }?.contains("attend to later ones") == true)
    }

    @Test("texts become the vectors of sentence-transformers", arguments: EncoderCase.sentences)
    func sentences(_ encoder: EncoderCase) throws {
        let checkpoint = try Checkpoint(directory: encoder.directory)
        let file = try JSON(
            parsing: String(
                decoding: Data(contentsOf: URL(filePath: encoder.directory + "/expected.json")), as: UTF8.self
            ))
        let texts = (file["texts"]?.array ?? []).compactMap(\.string)
        let embedder = TextEmbedder(
            try SentenceModules(checkpoint), tokenizer: try Tokenizer(directory: encoder.directory),
            configuration: checkpoint.configuration)
        let engine = Engine(
            forward: try encoder.plain(checkpoint), tokenizer: nil,
            vocabularySize: checkpoint.configuration.vocabularySize,
            maximumLength: checkpoint.configuration.maximumLength)
        for member in file.object ?? [] where member.name != "texts" {
            let name = member.name
            let expected = (member.value.array ?? []).map {
                ($0.array ?? []).compactMap(\.double).map { Float($0) }
            }
            let requests = try texts.map {
                try embedder.request(
                    $0, prompt: name == "default" ? .standard : .named(name), cut: embedder.longest)
            }
            let readings = try engine.readings(of: requests)
            for (reading, expected) in zip(readings, expected) {
                let off = try share(embedder.vector(reading), expected)
                #expect(off <= 2e-4, "\(name): off by \(off)")
                let cut = embedder.vector(reading, dimensions: 8)
                let length = expected.prefix(8).reduce(0) { $0 + $1 * $1 }.squareRoot()
                #expect(try share(cut, expected.prefix(8).map { $0 / length }) <= 2e-4)
            }
        }
        #expect(
            throws: EmbeddingError.noSuchPrompt(names: embedder.modules.prompts.keys.sorted())
        ) {
            _ = try embedder.request("a", prompt: .named("none"))
        }
    }

    @Test("an encoder refuses to generate, and sequences that are too long or of unknown kinds")
    func refusals() throws {
        let encoder = EncoderCase(name: "bert")
        let checkpoint = try Checkpoint(directory: encoder.directory)
        let engine = Engine(
            forward: try encoder.plain(checkpoint), tokenizer: nil, vocabularySize: 96, maximumLength: 64)
        #expect(throws: EngineError.cannotGenerate) { _ = try engine.submit(greedy([5, 6], 1)) }
        #expect(throws: EngineError.cannotGenerate) { _ = try engine.logits(of: [5, 6]) }
        var request = greedy([5, 6], 0)
        request.reading = .logits(of: [1])
        #expect(throws: EngineError.cannotGenerate) { _ = try engine.submit(request) }
        request.reading = .pooled([.mean])
        for kinds: [Int32] in [[0], [0, 2], [-1, 0]] {
            request.tokenKinds = kinds
            #expect(throws: EngineError.wrongKinds) { _ = try engine.submit(request) }
        }
        request.tokenKinds = [0, 1]
        #expect(try engine.readings(of: [request])[0].count == 32)
        request = greedy(Array(repeating: 5, count: 65), 0)
        request.reading = .pooled([.mean])
        #expect(throws: EngineError.promptTooLong(tokens: 65, limit: 64)) {
            _ = try engine.readings(of: [request])
        }
    }

    @Test(
        "a worker refuses to continue a sequence that must be computed at once, and a head that is not there")
    func worker() throws {
        let encoder = EncoderCase(name: "bert")
        let checkpoint = try Checkpoint(directory: encoder.directory)
        let forward = try encoder.plain(checkpoint)
        func segment(_ position: Int, _ output: SegmentOutput) -> BatchSegment {
            BatchSegment(slot: Slot(number: 0), position: position, tokens: [5, 6], output: output)
        }
        _ = try forward.compute(segment(0, .hiddenStates))
        #expect(throws: LinkError.self) { _ = try forward.compute(segment(2, .hiddenStates)) }
        #expect(throws: LinkError.self) { _ = try forward.compute(segment(0, .lastLogits)) }
    }

    @Test("lists of modules that would make vectors of other lengths, or endless ones, are refused")
    func hostileModules() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "modules-\(UUID().uuidString)")
        try FileManager.default.copyItem(
            atPath: EncoderCase(name: "sentence-mean").directory, toPath: folder.path)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (transformer, pooling, normalize) = (
            #"{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}"#,
            #"{"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}"#,
            #"{"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}"#
        )
        func read(_ modules: [String], modes: String = #"["mean"]"#) throws -> SentenceModules {
            try Data("[\(modules.joined(separator: ","))]".utf8).write(
                to: folder.appending(path: "modules.json"))
            try Data(#"{"pooling_mode": \#(modes)}"#.utf8)
                .write(to: folder.appending(path: "1_Pooling/config.json"))
            return try SentenceModules(Checkpoint(directory: folder.path))
        }
        _ = try read([transformer, pooling, normalize])
        for modules in [[transformer, pooling, pooling], [transformer, normalize, pooling]] {
            let error = #expect(throws: CheckpointError.self) { _ = try read(modules) }
            #expect("\(error.map { "\($0)" } ?? "")".contains("a second Pooling"))
        }
        let many = "[" + Array(repeating: #""mean""#, count: 100_000).joined(separator: ",") + "]"
        let error = #expect(throws: CheckpointError.self) {
            _ = try read([transformer, pooling], modes: many)
        }
        #expect("\(error.map { "\($0)" } ?? "")".utf8.count < 1_000)
    }

    @Test("pairs have the scores of sentence-transformers' cross-encoder")
    func pairs() throws {
        let encoder = EncoderCase(name: "rerank-bert")
        let checkpoint = try Checkpoint(directory: encoder.directory)
        let file = try JSON(file: encoder.directory + "/expected.json", limit: 1 << 20)
        let pairs = (file["pairs"]?.array ?? []).compactMap { $0.array?.compactMap(\.string) }
        let expected = (file["scores"]?.array ?? []).compactMap(\.double)
        try #require(pairs.count == 5 && expected.count == 5)
        let scorer = try PairScorer(
            checkpoint, SentenceModules(checkpoint), tokenizer: Tokenizer(directory: encoder.directory))
        let engine = Engine(
            forward: try encoder.plain(checkpoint), tokenizer: nil, vocabularySize: 96, maximumLength: 64)
        let requests = try pairs.map { try scorer.request($0[0], $0[1], cut: scorer.longest) }
        #expect(requests.contains { $0.prompt.count == 24 } && requests.contains { $0.prompt.count < 24 })
        let scores = try engine.readings(of: requests).map { scorer.score($0) }
        for (score, expected) in zip(scores, expected) { #expect(abs(Double(score) - expected) < 2e-5) }
        #expect(throws: EmbeddingError.tooLong(tokens: 49, limit: 24)) {
            _ = try scorer.request(pairs[4][0], pairs[4][1])
        }
    }

    @Test("what scores no pairs says why")
    func noPairs() throws {
        for (name, error) in [
            ("sentence-mean", EmbeddingError.noScores), ("bert-labels", .severalLabels(3)),
        ] {
            let checkpoint = try Checkpoint(directory: EncoderCase(name: name).directory)
            let tokenizer = try Tokenizer(directory: EncoderCase(name: "sentence-mean").directory)
            #expect(throws: error) {
                _ = try PairScorer(checkpoint, SentenceModules(), tokenizer: tokenizer)
            }
        }
    }
}
