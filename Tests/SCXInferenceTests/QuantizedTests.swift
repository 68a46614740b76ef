import Foundation
import SCXInference
import Testing

/// Small GGUF files and quantised checkpoints, which `Tools/make-quantized-fixtures.py` wrote.
enum QuantizedFixtures {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/quantized").path

    static func names(_ kind: String) -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "\(folder)/\(kind)")) ?? []
        return names.map { $0.replacing(".gguf", with: "") }.sorted()
    }

    /// A copy of a file in which a text is replaced by another one of the same length.
    static func patched(_ bytes: [UInt8], _ old: String, _ new: String) throws -> [UInt8] {
        try #require(old.utf8.count == new.utf8.count)
        let place = try #require(bytes.firstRange(of: Array(old.utf8)), "no '\(old)'")
        var copy = bytes
        copy.replaceSubrange(place, with: new.utf8)
        return copy
    }

    static func bytes(_ path: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(filePath: "\(folder)/\(path)")))
    }
}

@Suite("quantised checkpoints and GGUF files")
struct QuantizedTests {
    let directory = try? TemporaryDirectory()

    @Test(
        "a GGUF file of any family computes what transformers computes from the directory",
        arguments: QuantizedFixtures.names("gguf"))
    func families(name: String) throws {
        let path = "\(QuantizedFixtures.folder)/gguf/\(name).gguf"
        try ParityTests().compare(path, with: ParityCase(name: name).expected())
        #expect(try Checkpoint(directory: path).unexpectedTensors().isEmpty)
    }

    /// The models whose matrices are codes: path of the model, and the folder with what is expected.
    static let coded: [String] =
        QuantizedFixtures.names("gguf-blocks").map { "gguf-blocks/\($0)" }
        + QuantizedFixtures.names("hf").filter { $0 != "mxfp4" }.map { "hf/\($0)" }

    func model(_ name: String) -> String {
        "\(QuantizedFixtures.folder)/\(name)" + (name.hasPrefix("gguf") ? "/model.gguf" : "")
    }

    @Test("codes of any format compute what transformers computes from their numbers", arguments: coded)
    func logits(name: String) throws {
        try ParityTests().compare(
            model(name), with: ParityCase.expected(in: "\(QuantizedFixtures.folder)/\(name)"))
        #expect(try Checkpoint(directory: model(name)).unexpectedTensors().isEmpty)
    }

    /// FNV-1a with 64 bits over numbers, little-endian.
    private func hash(_ values: [Float]) -> String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for value in values {
            for shift in [0, 8, 16, 24] {
                hash = (hash ^ UInt64(value.bitPattern >> UInt32(shift) & 0xFF)) &* 0x100_0000_01B3
            }
        }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    // The codes of gpt-oss are those of "mxfp4", which has a test of its own.
    @Test(
        "the numbers are those of the formats' own packages, bit by bit",
        arguments: coded.filter { $0 != "hf/gpt-oss" })
    func numbers(name: String) throws {
        let checkpoint = try Checkpoint(directory: model(name))
        let expected = try #require(
            JSON(
                parsing: String(
                    decoding: QuantizedFixtures.bytes("\(name)/values.json"), as: UTF8.self)
            ).object)
        #expect(expected.count >= 7)
        for plan in checkpoint.configuration.expectedTensors() {
            guard let wanted = expected.first(where: { $0.name == plan.name }) else { continue }
            let tensor = try checkpoint.tensor(plan.name, shape: plan.shape)
            let values = tensor.values()
            #expect(hash(values) == wanted.value.string, "\(plan.name)")
            // Experts' matrices lie in one tensor and are read as such.
            guard plan.shape.count == 2 else { continue }
            #expect(row(tensor, plan.shape[0] - 1) == Array(values.suffix(plan.shape[1])))
        }
    }

    @Test("packed rows are those of the numbers, whatever rows and threads")
    func packs() throws {
        let checkpoint = try Checkpoint(directory: model("gguf-blocks/large"))
        let tensor = try checkpoint.tensor("blk.0.ffn_up.weight", shape: [256, 256])
        let shard = try #require(Shard(index: 2, of: 3))
        let site = try Decoder.loadSite(
            .gateUp(block: 0), of: checkpoint, format: .f32, pool: ThreadPool(threads: 3), shard: shard)
        // The last of three parts of 512 rows, all of it in `up`, whose rows are the last 256.
        #expect(site.weights.rows == 171)
        let first = 256 - site.weights.rows
        for r in [0, 5, 16, 100] {
            var values = [Float](repeating: 0, count: 256)
            var span = values.mutableSpan
            site.weights.dequantize(row: r, into: &span)
            #expect(values == row(tensor, first + r), "row \(r)")
        }
    }

    @Test("experts in MXFP4 are read as transformers reads them")
    func experts() throws {
        let path = "\(QuantizedFixtures.folder)/hf/mxfp4"
        let tensor = try Checkpoint(directory: path).tensor("experts.up", shape: [2, 6, 96])
        let expected = try JSON(
            parsing: String(decoding: QuantizedFixtures.bytes("hf/mxfp4/values.json"), as: UTF8.self))
        #expect(hash(tensor.values()) == expected["experts.up"]?.string)
    }

    @Test(
        "a file in parts is the same model as the whole, under the same digest, and begins with its first part"
    )
    func parts() throws {
        let folder = "\(QuantizedFixtures.folder)/gguf-parts/llama-gqa2"
        let whole = try Checkpoint(directory: "\(QuantizedFixtures.folder)/gguf/llama-gqa2.gguf")
        let parts = try Checkpoint(directory: "\(folder)-00001-of-00003.gguf")
        #expect(parts.tensorNames == whole.tensorNames && parts.digest() == whole.digest())
        let other = try Checkpoint(directory: "\(QuantizedFixtures.folder)/gguf/rope-linear.gguf")
        #expect(other.digest() != whole.digest())
        let error = #expect(throws: CheckpointError.self) {
            try Checkpoint(directory: "\(folder)-00002-of-00003.gguf")
        }
        #expect(error?.description.contains("the first part") == true)
        let path = try #require(directory).write(
            QuantizedFixtures.bytes("gguf-parts/llama-gqa2-00001-of-00003.gguf"), to: "renamed.gguf")
        #expect(throws: CheckpointError.self) { try Checkpoint(directory: path) }
    }

    @Test(
        "what may change results and is not known is refused by name",
        arguments: [
            ("llama.rope.freq_base", "llama.rope.freq_bose", "'llama.rope.freq_bose' is not known here"),
            ("llama.block_count", "llama.clock_count", "'llama.block_count' is missing"),
            ("blk.1.ffn_gate.weight", "blk.1.ffn_late.weight", "tensor 'blk.1.ffn_late.weight'"),
            ("general.architecture", "general.orchitecture", "'general.architecture' is missing"),
            ("GGUF", "GGML", "does not begin with the four letters"),
        ])
    func refusals(old: String, new: String, text: String) throws {
        let bytes = try QuantizedFixtures.patched(QuantizedFixtures.bytes("gguf/llama-gqa2.gguf"), old, new)
        let path = try #require(directory).write(bytes, to: "model.gguf")
        let error = #expect(throws: CheckpointError.self) { try Checkpoint(directory: path).validate() }
        #expect(error?.description.contains(text) == true, "\(error.map(\.description) ?? "")")
    }

    @Test("a file that ends early is refused wherever it ends")
    func truncated() throws {
        let bytes = try QuantizedFixtures.bytes("gguf/llama-gqa2.gguf")
        let directory = try #require(directory)
        for count in Array(stride(from: 0, to: 3_000, by: 7)) + [bytes.count - 33, bytes.count - 1] {
            let path = directory.path("\(count).gguf")
            try Data(bytes[..<count]).write(to: URL(filePath: path))
            #expect(throws: CheckpointError.self, "\(count) bytes") {
                try Checkpoint(directory: path).validate()
            }
        }
    }

    @Test(
        "quantization that is not known is refused by name",
        arguments: [
            (#""quant_method": "hqq""#, "quantization by 'hqq'"),
            (#""quant_method": "gptq", "bits": 5, "group_size": 32"#, "GPTQ with 5 bits"),
            (
                #""quant_method": "gptq", "bits": 4, "group_size": 32, "dynamic": {"a": {}}"#,
                "'quantization_config.dynamic'"
            ),
            (#""quant_method": "gptq", "bits": 4, "checkpoint_format": "marlin""#, "the format 'marlin'"),
            (#""quant_method": "awq", "bits": 4, "version": "gemv""#, "AWQ version 'gemv'"),
            (#""quant_method": "bitsandbytes", "load_in_4bit": true"#, "load_in_4bit"),
            (#""quant_method": "fp8", "fmt": "e5m2""#, "'e5m2'"),
            (#""quant_method": "fp8", "rotation": 2"#, "'quantization_config.rotation' is not known"),
            (
                #""quant_method": "compressed-tensors", "format": "marlin-24", "config_groups": {"g": {"targets": ["Linear"], "weights": {"num_bits": 4, "group_size": 128}}}"#,
                "'marlin-24'"
            ),
            (
                #""quant_method": "compressed-tensors", "config_groups": {}, "kv_cache_scheme": {"num_bits": 8}"#,
                "kv_cache_scheme"
            ),
        ])
    func unknown(fields: String, text: String) throws {
        let json = "{\"model_type\": \"llama\", \"quantization_config\": {\(fields)}}"
        let error = #expect(throws: CheckpointError.self) {
            try DecoderConfiguration(json: JSON(parsing: json), path: "config.json")
        }
        #expect(error?.description.contains(text) == true, "\(error.map(\.description) ?? "")")
    }

    @Test("a part of a quantised matrix that is missing or misshapen is named")
    func missingPart() throws {
        let directory = try #require(directory)
        let bytes = try QuantizedFixtures.bytes("hf/gptq-4/model.safetensors")
        try directory.write(QuantizedFixtures.bytes("hf/gptq-4/config.json"), to: "config.json")
        for (old, new) in [("q_proj.qzeros", "q_proj.qzerox"), ("\"shape\":[8,64]", "\"shape\":[64,8]")] {
            try directory.write(QuantizedFixtures.patched(bytes, old, new), to: "model.safetensors")
            let error = #expect(throws: CheckpointError.self) {
                try Checkpoint(directory: directory.path("")).validate()
            }
            #expect(error?.description.contains("_proj.") == true, "\(error.map(\.description) ?? "")")
        }
    }
}
