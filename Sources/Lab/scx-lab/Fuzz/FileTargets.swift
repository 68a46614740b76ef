import Foundation
import SCXInference
import SCXLink
import SCXText

/// Reads a model's `config.json`.
struct ConfigurationTarget: FuzzTarget {
    let seeds: [[UInt8]]
    let words = [
        "\"rope_scaling\":", "\"rope_type\": \"yarn\"", "\"rope_parameters\":", "\"llama3\"",
        "\"sliding_window\":",
        "\"num_hidden_layers\":", "\"num_key_value_heads\":", "\"head_dim\":", "\"layer_types\":", "null",
        "1e400", "-1",
        "\"max_position_embeddings\":", "\"vocab_size\":", "\"architectures\": [\"LlamaForCausalLM\"]",
        "\"factor\":",
    ]

    init(_ checkout: String) throws {
        seeds = try FuzzFixtures.files("\(checkout)/Tests/Fixtures/configs", ".json")
    }

    func run(_ input: [UInt8]) throws {
        _ = try DecoderConfiguration(json: JSON(parsing: input.span), path: "config.json")
    }
}

/// Reads a safetensors file, together with the configuration of the model that it should hold.
struct SafeTensorsTarget: FuzzTarget {
    private let folder: String
    let seeds: [[UInt8]]
    let words = [
        "\"dtype\":\"F32\"", "\"BF16\"", "\"F8_E4M3\"", "\"shape\":[", "\"data_offsets\":[", "__metadata__",
        "model.embed_tokens.weight", "18446744073709551615", "9223372036854775807", "[0,0]",
        "\u{0}\u{0}\u{0}\u{0}",
    ]

    init(_ checkout: String, _ folder: String) throws {
        self.folder = folder
        let model = "\(checkout)/Tests/Fixtures/parity/llama-gqa2"
        seeds = try FuzzFixtures.files(model, "model.safetensors")
        try Data(contentsOf: URL(filePath: "\(model)/config.json")).write(
            to: URL(filePath: "\(folder)/config.json"))
    }

    func run(_ input: [UInt8]) throws {
        let path = "\(folder)/model.safetensors"
        // Each input gets a new file, since a file that is still mapped must not become shorter.
        try? FileManager.default.removeItem(atPath: path)
        try Data(input).write(to: URL(filePath: path))
        _ = try SafeTensorsFile(path).tensorNames
        let checkpoint = try Checkpoint(directory: folder)
        _ = checkpoint.unexpectedTensors()
        try checkpoint.validate()
    }
}

/// Reads a GGUF file: the model with a row of each of its tensors, the tokenizer and the chat template.
struct GGUFTarget: FuzzTarget {
    private let folder: String
    let seeds: [[UInt8]]
    let words = [
        "GGUF", "general.architecture", "llama.block_count", "llama.attention.head_count_kv", "split.count",
        "tokenizer.ggml.tokens", "tokenizer.ggml.scores", "tokenizer.ggml.model", "token_embd.weight",
        "\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{1}", "\u{9}\u{0}\u{0}\u{0}\u{8}\u{0}\u{0}\u{0}",
        "\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}",
    ]

    init(_ checkout: String, _ folder: String) throws {
        self.folder = folder
        let fixtures = "\(checkout)/Tests/Fixtures/quantized"
        seeds =
            try FuzzFixtures.files("\(fixtures)/gguf", "granite.gguf")
            + FuzzFixtures.files("\(fixtures)/gguf", "gemma2.gguf")
            + FuzzFixtures.files("\(fixtures)/gguf-blocks/small", ".gguf")
            + FuzzFixtures.files("\(fixtures)/gguf-tokenizers", ".gguf")
    }

    func run(_ input: [UInt8]) throws {
        let path = "\(folder)/model.gguf"
        // Each input gets a new file, since a file that is still mapped must not become shorter.
        try? FileManager.default.removeItem(atPath: path)
        try Data(input).write(to: URL(filePath: path))
        var refusal: (any Error)?
        do {
            if let tokenizer = try Tokenizer(ifPresentIn: path) {
                _ = tokenizer.encode("How are you, Müller?  42")
            }
            _ = try ChatFormat.load(directory: URL(filePath: path))
        } catch { refusal = error }
        let file = try GGUFFile(path)
        // A file with nothing but a tokenizer is no model.
        if !file.has("llama.block_count"), file.has("tokenizer.ggml.tokens") {
            if let refusal { throw refusal }
            return
        }
        let checkpoint = try Checkpoint(directory: path)
        try checkpoint.validate()
        _ = checkpoint.digest()
        for plan in checkpoint.configuration.expectedTensors() {
            let tensor = try checkpoint.tensor(plan.name, shape: plan.shape)
            guard plan.shape.count == 2 else { continue }
            var row = [Float](repeating: 0, count: plan.shape[1])
            var span = row.mutableSpan
            tensor.row(plan.shape[0] - 1, into: &span)
        }
    }
}

/// Reads a worker's recording of what it received and sent.
struct TranscriptTarget: FuzzTarget {
    private let folder: String
    let seeds: [[UInt8]]
    let words = [
        "\"kind\":", "\"offset\":", "\"rows\":", "\"channels\":", "\"elements\":\"float32\"", "\"layouts\":[",
        "\"start\"",
        "\"version\":", "9223372036854775807", "-1", "\n",
    ]

    init(_ checkout: String, _ folder: String) throws {
        self.folder = folder
        let link = "\(checkout)/Tests/Fixtures/link"
        seeds = try ["python", "swift"].flatMap { try FuzzFixtures.files("\(link)/\($0)", ".jsonl") }
        try Data(contentsOf: URL(filePath: "\(link)/swift/transcript.bin"))
            .write(to: URL(filePath: "\(folder)/transcript.bin"))
    }

    func run(_ input: [UInt8]) throws {
        try Data(input).write(to: URL(filePath: "\(folder)/transcript.jsonl"))
        let transcript = try Transcript(directory: folder)
        for entry in transcript.entries {
            if entry.elements == .uint32 {
                _ = try transcript.words(of: entry)
            } else {
                _ = try transcript.floats(of: entry)
            }
        }
    }
}
