import Foundation
import SCXInference
import Testing

@Suite("checkpoints")
struct CheckpointTests {
    let directory = try? TemporaryDirectory()

    /// Writes the small checkpoint of a family and gives its directory.
    @discardableResult
    func synthesize(
        _ name: String = "tiny-llama", seed: UInt64 = 1, type: ElementType = .bf16, shardLimit: Int = 1 << 40,
        to folder: String = "model", threads: Int = 2
    ) throws -> String {
        let path = try #require(directory).path(folder)
        let shape = try #require(SyntheticShape.all.first { $0.name == name })
        try SyntheticCheckpoint.write(
            shape, to: path, seed: seed, type: type, shardLimit: shardLimit,
            pool: ThreadPool(threads: threads))
        return path
    }

    func bytes(_ path: String) throws -> Data { try Data(contentsOf: URL(filePath: path)) }

    @Test(
        "a synthetic checkpoint is whole, in every family and type",
        arguments: ["tiny-llama", "tiny-mistral", "tiny-qwen2", "tiny-qwen3"], ElementType.allCases)
    func synthetic(name: String, type: ElementType) throws {
        let path = try synthesize(name, type: type)
        let checkpoint = try Checkpoint(directory: path)
        try checkpoint.validate()
        let shape = try #require(SyntheticShape.all.first { $0.name == name })
        #expect(checkpoint.configuration == shape.configuration)
        #expect(checkpoint.unexpectedTensors().isEmpty)
        #expect(checkpoint.tensorNames.count == checkpoint.configuration.expectedTensors().count)
        #expect(checkpoint.generation.endOfSequence.count == 2 && checkpoint.generation.temperature == 0.7)
        let embedding = try checkpoint.tensor("model.embed_tokens.weight", shape: [512, 64])
        #expect(embedding.type == type)
        var squares: Float = 0
        for r in 0..<512 { squares += row(embedding, r).reduce(0) { $0 + $1 * $1 } }
        #expect(abs((squares / (512 * 64)).squareRoot() - 0.02) < 0.0005)
        let norm = try checkpoint.tensor("model.norm.weight", shape: [64])
        #expect(norm.values() == [Float](repeating: 1, count: 64))
    }

    @Test(
        "the tokenizer has exactly the vocabulary, each merge from entries before it",
        arguments: ["tiny-llama", "tiny-qwen3"])
    func tokenizer(name: String) throws {
        let path = try synthesize(name)
        let json = try JSON(parsing: String(contentsOfFile: path + "/tokenizer.json", encoding: .utf8))
        let vocabulary = try #require(json["model"]?["vocab"]?.object)
        #expect(vocabulary.count == 512 && Set(vocabulary.map(\.name)).count == 512)
        #expect(vocabulary.map(\.value.int) == Array(0..<512))
        let ids = Dictionary(uniqueKeysWithValues: vocabulary.map { ($0.name, $0.value.int ?? 0) })
        for merge in json["model"]?["merges"]?.array ?? [] {
            let parts = merge.array?.compactMap(\.string) ?? []
            let whole = try #require(ids[parts.joined()])
            #expect(parts.count == 2 && parts.allSatisfy { (ids[$0] ?? .max) < whole })
        }
    }

    @Test("the same seed gives the same bytes with any number of threads, another seed others")
    func seeds() throws {
        let first = try bytes(synthesize(to: "a", threads: 1) + "/model.safetensors")
        let second = try bytes(synthesize(to: "b", threads: 3) + "/model.safetensors")
        #expect(first == second)
        #expect(try bytes(synthesize(seed: 2, to: "c") + "/model.safetensors") != first)
    }

    @Test("shards hold what one file holds, under the same digest")
    func sharded() throws {
        let whole = try Checkpoint(directory: synthesize(to: "whole"))
        let path = try synthesize(shardLimit: 100_000, to: "shards")
        let names = try FileManager.default.contentsOfDirectory(atPath: path)
        #expect(names.contains("model-00002-of-00004.safetensors") && !names.contains("model.safetensors"))
        let sharded = try Checkpoint(directory: path)
        try sharded.validate()
        #expect(sharded.tensorNames == whole.tensorNames)
        #expect(sharded.digest() == whole.digest() && whole.digest().count == 32)
        #expect(try Checkpoint(directory: synthesize(seed: 2, to: "other")).digest() != whole.digest())
        // Written again as one file, no shard is left.
        try synthesize(to: "shards")
        #expect(try FileManager.default.contentsOfDirectory(atPath: path).count == 5)
    }

    @Test("identity depends on weights, names and configuration")
    func digests() throws {
        let path = try synthesize()
        let digest = try Checkpoint(directory: path).digest()
        var config = try String(contentsOfFile: path + "/config.json", encoding: .utf8)
        config = config.replacing("1e-05", with: "2e-05")
        try config.write(toFile: path + "/config.json", atomically: true, encoding: .utf8)
        #expect(try Checkpoint(directory: path).digest() != digest)
    }

    @Test("missing, misshapen and extra tensors are named")
    func tensors() throws {
        let path = try synthesize()
        let file = path + "/model.safetensors"
        let checkpoint = try Checkpoint(directory: path)
        #expect(checkpoint.contains("lm_head.weight") && !checkpoint.contains("x"))
        #expect(throws: CheckpointError.missingTensor(path: file, tensor: "x")) {
            try checkpoint.tensor("x", shape: [])
        }
        let error = #expect(throws: CheckpointError.self) {
            try checkpoint.tensor("lm_head.weight", shape: [512, 32])
        }
        #expect(
            error?.description
                == "\(file): tensor 'lm_head.weight' has shape [512, 64], but config.json asks for [512, 32]")

        let extras = [
            "a.extra", "lm_head.weight", "model.layers.0.self_attn.rotary_emb.inv_freq", "model.norm.weight",
        ]
        var writer = try SafeTensorsWriter(file, tensors: extras.map { .init($0, .f32, [1]) })
        try unsafe writer.append([Float](repeating: 0, count: extras.count).span.bytes)
        try writer.finish()
        let poor = try Checkpoint(directory: path)
        #expect(poor.unexpectedTensors() == ["a.extra"])
        #expect(throws: CheckpointError.missingTensor(path: file, tensor: "model.embed_tokens.weight")) {
            try poor.validate()
        }
    }

    @Test("a head that repeats the embedding is no surprise")
    func tiedHead() throws {
        let path = try synthesize("tiny-qwen2")
        try SafeTensorsWriter.write(
            [0].span, name: "lm_head.weight", shape: [1], to: path + "/model.safetensors")
        #expect(try Checkpoint(directory: path).unexpectedTensors().isEmpty)
    }

    @Test("a directory without the files says which one is missing")
    func missingFiles() throws {
        let directory = try #require(directory)
        func line(_ path: String) -> String {
            #expect(throws: CheckpointError.self) { try Checkpoint(directory: path) }?.description ?? ""
        }
        #expect(line(directory.path("nowhere")).contains("No such file or directory"))
        #expect(line(directory.path("")).contains("no config.json"))
        #expect(line(try directory.write([], to: "file")).contains("Not a directory"))

        let path = try synthesize()
        try FileManager.default.removeItem(atPath: path + "/model.safetensors")
        #expect(line(path).contains("no model.safetensors in this directory: download the weights"))
        try directory.write([], to: "model/pytorch_model.bin")
        #expect(line(path).contains("convert pytorch_model.bin to safetensors"))
        try FileManager.default.createDirectory(
            atPath: path + "/model.safetensors", withIntermediateDirectories: false)
        #expect(line(path).contains("not a regular file"))
        try directory.write("{".utf8, to: "model/config.json")
        #expect(line(path).hasPrefix(path + "/config.json: not valid JSON at byte 1"))
    }

    @Test(
        "an index leads nowhere but to complete files of the directory",
        arguments: [
            (
                #"{"weight_map": {"model.norm.weight": "../whole/model.safetensors"}}"#,
                "is not a plain file name"
            ),
            (#"{"weight_map": {"model.norm.weight": ".."}}"#, "is not a plain file name"),
            (#"{"weight_map": {"model.norm.weight": "/etc/passwd"}}"#, "is not a plain file name"),
            (#"{"weight_map": {"model.norm.weight": ""}}"#, "is not a plain file name"),
            (
                #"{"weight_map": {"model.norm.weight": 1}}"#,
                "'weight_map.model.norm.weight' is not a file name"
            ),
            (
                #"{"weight_map": {"model.norm.weight": "gone.safetensors"}}"#,
                "no gone.safetensors in this directory"
            ),
            (
                #"{"weight_map": {"model.norm.weight": "config.json"}}"#,
                "config.json: not a complete safetensors file"
            ),
            (#"{"weight_map": {"x": "part.safetensors"}}"#, "part.safetensors: tensor 'x' is missing"),
            (
                #"{"weight_map": {"model.norm.weight": "part.safetensors", "model.norm.weight": "part.safetensors"}}"#,
                "is listed twice"
            ),
            (#"{"weight_map": {}}"#, "'weight_map' is missing, empty or not an object"),
            (#"{}"#, "'weight_map' is missing"),
            (#"[]"#, "'weight_map' is missing"),
            (#"{"weight_map":"#, "model.safetensors.index.json: not valid JSON"),
        ])
    func badIndex(index: String, expected: String) throws {
        let path = try synthesize()
        try FileManager.default.moveItem(
            atPath: path + "/model.safetensors", toPath: path + "/part.safetensors")
        try directory?.write(index.utf8, to: "model/model.safetensors.index.json")
        let error = #expect(throws: CheckpointError.self) { try Checkpoint(directory: path) }
        #expect(error?.description.contains(expected) == true, "\(String(describing: error))")
    }

    @Test("tensors that the index does not list are as if not there")
    func unlisted() throws {
        let path = try synthesize()
        try FileManager.default.moveItem(
            atPath: path + "/model.safetensors", toPath: path + "/part.safetensors")
        try directory?.write(
            #"{"weight_map": {"model.norm.weight": "part.safetensors"}}"#.utf8,
            to: "model/model.safetensors.index.json")
        #expect(try Checkpoint(directory: path).tensorNames == ["model.norm.weight"])
    }

    @Test(
        "sampling defaults are read, and refused by their field",
        arguments: [
            (#"{"temperature": "hot"}"#, "'temperature' is not a number"),
            (#"{"temperature": -1}"#, "'temperature' is -1.0"),
            (#"{"top_k": -1}"#, "'top_k' is not a number of tokens"),
            (#"{"eos_token_id": {}}"#, "'eos_token_id'"),
            (#"{"do_sample": 1}"#, "'do_sample'"),
            (#"[]"#, "cannot read it: not a JSON object"),
        ])
    func badGeneration(json: String, expected: String) throws {
        let path = try synthesize()
        try directory?.write(json.utf8, to: "model/generation_config.json")
        let error = #expect(throws: CheckpointError.self) { try Checkpoint(directory: path) }
        #expect(
            error?.description.contains("generation_config.json: \(expected)") == true,
            "\(String(describing: error))")
    }

    @Test("sampling defaults fall back to the configuration's tokens")
    func generation() throws {
        let path = try synthesize()
        let full =
            #"{"eos_token_id": 7, "bos_token_id": 3, "top_k": 20, "top_p": 0.5, "min_p": 0, "#
            + #""repetition_penalty": 1.1, "do_sample": false}"#
        try directory?.write(full.utf8, to: "model/generation_config.json")
        let generation = try Checkpoint(directory: path).generation
        #expect(generation.endOfSequence == [7] && generation.beginOfSequence == 3 && generation.topK == 20)
        #expect(generation.topP == 0.5 && generation.minP == 0 && generation.repetitionPenalty == 1.1)
        #expect(generation.sample == false && generation.temperature == nil)
        try FileManager.default.removeItem(atPath: path + "/generation_config.json")
        #expect(try Checkpoint(directory: path).generation.endOfSequence == [2])
    }

    @Test("vacant directories are told from others")
    func vacancy() throws {
        let path = try synthesize()
        #expect(try !SyntheticCheckpoint.isVacant(path) && SyntheticCheckpoint.isVacant(path + "/new"))
        #expect(throws: CheckpointError.self) { try SyntheticCheckpoint.isVacant(path + "/config.json") }
        #expect(throws: CheckpointError.self) { try synthesize(to: "model/config.json") }
    }
}
