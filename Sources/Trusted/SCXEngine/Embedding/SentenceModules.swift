import Foundation
package import SCXInference

/// How a model's texts become vectors, as the files of sentence-transformers in its directory say: `modules.json` with
/// the folders that it names, `sentence_bert_config.json` and `config_sentence_transformers.json`.
///
/// <https://sbert.net/docs/sentence_transformer/usage/custom_models.html>
package struct SentenceModules: Sendable {
    /// What is done with a pooled vector.
    package enum Step: Sendable {
        /// Divides by the length.
        case normalize
        /// A product with a bias and a function; the vector is added to the result where it is a residual.
        case dense(DenseLayer, isResidual: Bool)
    }

    /// How hidden states are pooled; several results are one after the other.
    package var pooling: [Pooling] = [.mean]
    /// Whether the tokens of a prompt take part in the pooling.
    package var poolsPrompt = true
    package var steps: [Step] = []
    /// Texts that come before a text, by their names.
    package var prompts: [String: String] = [:]
    /// The name of the prompt for texts for which none is named; nil for none.
    package var defaultPrompt: String?
    /// The most tokens of a text, with special tokens; nil for as many as the model has positions.
    package var longest: Int?
    /// The tokens by whose logits a reranker scores: how likely the first is, among both or alone.
    package var scoreTokens: (yes: Int32, no: Int32?)?
    /// Whether texts are written in small letters first.
    package var lowercases = false
    /// Whether the directory says how to embed; otherwise the mean of the hidden states is taken as it is.
    package var isDeclared = false

    /// The mean of the hidden states.
    package init() {}

    /// Reads the files of a model directory.
    ///
    /// - Parameter checkpoint: The model.
    /// - Throws: ``CheckpointError`` that names the file and the field.
    package init(_ checkpoint: Checkpoint) throws(CheckpointError) {
        let directory = checkpoint.directory
        var width = checkpoint.configuration.hiddenSize
        if let list = try Self.json(directory, "modules.json") {
            isDeclared = true
            var isPooled = false
            for (number, module) in (list.json.array ?? []).enumerated() {
                guard let type = module["type"]?.string, let folder = module["path"]?.string else {
                    throw .field(path: list.path, field: "\(number)", reason: "has no 'type' and 'path'")
                }
                guard !folder.contains("/"), folder != "..", !folder.contains("\0") else {
                    throw .field(path: list.path, field: "\(number).path", reason: "is not a folder's name")
                }
                switch type.split(separator: ".").last {
                case "Transformer":
                    guard folder.isEmpty, number == 0 else {
                        throw .unsupported(
                            path: list.path, what: "a Transformer in '\(folder)'",
                            supported: "one beside modules.json")
                    }
                case "Pooling":
                    guard !isPooled, steps.isEmpty else {
                        throw .unsupported(
                            path: list.path, what: "a second Pooling, or one after other steps",
                            supported: "one, after the Transformer")
                    }
                    try readPooling(directory + "/" + folder, width: width)
                    isPooled = true
                    width *= pooling.count
                case "Dense":
                    guard isPooled else {
                        throw .unsupported(
                            path: list.path, what: "a Dense module before the pooling",
                            supported: "one after it")
                    }
                    let dense = try Self.dense(directory + "/" + folder, width: width)
                    steps.append(dense.step)
                    width = dense.outputs
                case "Normalize": steps.append(.normalize)
                case "LogitScore": try readScore(directory + "/" + folder, checkpoint.configuration)
                case "Dropout": break  // changes nothing outside training
                default:
                    throw .unsupported(
                        path: list.path, what: "module \(type)",
                        supported: "Transformer, Pooling, Dense, Normalize, Dropout, LogitScore")
                }
            }
            guard isPooled || steps.isEmpty else {
                throw .field(path: list.path, field: "type", reason: "of no module is Pooling")
            }
        }
        if let file = try Self.json(directory, "sentence_bert_config.json") {
            if let value = file.json["max_seq_length"], !value.isNull {
                guard let longest = value.int, longest > 0 else {
                    throw .field(path: file.path, field: "max_seq_length", reason: "is no number of tokens")
                }
                self.longest = longest
            }
            lowercases = file.json["do_lower_case"]?.bool ?? false
        }
        if longest == nil, let file = try Self.json(directory, "tokenizer_config.json", limit: 1 << 28),
            let given = file.json["model_max_length"]?.double, given >= 1, given < 1e9
        {
            longest = Int(given)
        }
        if let file = try Self.json(directory, "config_sentence_transformers.json") { try readPrompts(file) }
        vectorSize = width
    }

    /// Channels of the finished vector; 0 where nothing was read.
    package private(set) var vectorSize = 0

    /// What becomes of a pooled vector.
    ///
    /// - Parameters:
    ///   - pooled: `[ways of pooling · hidden]`
    ///   - dimensions: How many channels are kept, whose vector is then divided by its length, as models that were
    ///     trained for it expect; nil for all.
    /// - Returns: `[dimensions]`
    package func finish(_ pooled: [Float], dimensions: Int? = nil) -> [Float] {
        var vector = pooled
        for step in steps {
            switch step {
            case .normalize: vector = Self.normalized(vector)
            case .dense(let layer, let isResidual):
                let result = layer.apply(vector)
                vector = isResidual ? zip(vector, result).map { $0 + $1 } : result
            }
        }
        guard let dimensions, dimensions < vector.count else { return vector }
        return Self.normalized(Array(vector.prefix(dimensions)))
    }

    /// A vector of length 1 in the same direction; zero stays as it is.
    package static func normalized(_ values: [Float]) -> [Float] {
        let length = values.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
        return length > 0 ? values.map { Float(Double($0) / length) } : values
    }
}

// MARK: Files

extension SentenceModules {
    /// A file's name and content.
    private typealias File = (path: String, json: JSON)

    /// Reads a JSON file of a directory, nil when there is none.
    private static func json(
        _ directory: String, _ name: String, limit: Int = 1 << 20
    ) throws(CheckpointError) -> File? {
        let path = directory + "/" + name
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        return (path, try JSON(file: path, limit: limit))
    }

    /// Reads `config.json` of a module's folder.
    private static func configuration(_ folder: String) throws(CheckpointError) -> File {
        guard let file = try json(folder, "config.json") else {
            throw .missingFile(
                directory: folder, name: "config.json", hint: "modules.json names this folder")
        }
        return file
    }

    private mutating func readPooling(_ folder: String, width: Int) throws(CheckpointError) {
        let (path, json) = try Self.configuration(folder)
        let given = json["embedding_dimension"]?.int ?? json["word_embedding_dimension"]?.int
        guard given ?? width == width else {
            throw .field(
                path: path, field: "word_embedding_dimension",
                reason: "is \(given ?? 0), the model has \(width)")
        }
        poolsPrompt = json["include_prompt"]?.bool ?? true
        var names: [String] = []
        if let mode = json["pooling_mode"] {
            names = mode.string.map { [$0] } ?? mode.array?.compactMap(\.string) ?? []
        } else {
            // The older spelling has a flag for each way.
            for (flag, way) in [
                ("pooling_mode_cls_token", Pooling.cls), ("pooling_mode_max_tokens", .max),
                ("pooling_mode_mean_tokens", .mean),
                ("pooling_mode_mean_sqrt_len_tokens", .meanSqrtLength),
                ("pooling_mode_weightedmean_tokens", .weightedMean), ("pooling_mode_lasttoken", .lastToken),
            ] where json[flag]?.bool == true { names.append(way.rawValue) }
            if names.isEmpty { names = [Pooling.mean.rawValue] }
        }
        pooling = names.compactMap { Pooling(rawValue: $0) }
        guard !pooling.isEmpty, pooling.count == names.count, Set(pooling).count == pooling.count else {
            throw .unsupported(
                path: path, what: "pooling_mode \("\(names)".printable(longest: 200))",
                supported: Pooling.allCases.map(\.rawValue).joined(separator: ", "))
        }
    }

    private static func dense(
        _ folder: String, width: Int
    ) throws(CheckpointError) -> (step: Step, outputs: Int) {
        let (path, json) = try configuration(folder)
        guard json["in_features"]?.int == width else {
            throw .field(
                path: path, field: "in_features", reason: "is not \(width), as what comes before gives")
        }
        guard let outputs = json["out_features"]?.int, (1...1 << 17).contains(outputs) else {
            throw .field(path: path, field: "out_features", reason: "is no sensible number of channels")
        }
        let function: SequenceHead.Function
        let name = json["activation_function"]?.string ?? "torch.nn.modules.activation.Tanh"
        switch name.split(separator: ".").last {
        case "Identity": function = .none
        case "Tanh": function = .tanh
        case "GELU": function = .activation(.gelu)
        case "ReLU": function = .activation(.relu)
        case "SiLU": function = .activation(.silu)
        default:
            throw .unsupported(
                path: path, what: "activation_function \(name)",
                supported: "Identity, Tanh, GELU, ReLU, SiLU")
        }
        for field in ["module_input_name", "module_output_name"] {
            guard json[field]?.string ?? "sentence_embedding" == "sentence_embedding" else {
                throw .unsupported(path: path, what: field, supported: "sentence_embedding")
            }
        }
        let isResidual = json["use_residual"]?.bool ?? false
        guard !isResidual || outputs == width else {
            throw .unsupported(
                path: path, what: "a residual of another size (use_residual)", supported: "\(width)")
        }
        guard FileManager.default.fileExists(atPath: folder + "/model.safetensors") else {
            throw .missingFile(
                directory: folder, name: "model.safetensors",
                hint: "download it, or convert pytorch_model.bin")
        }
        let file = try SafeTensorsFile(folder + "/model.safetensors")
        let weight = try file.tensor("linear.weight", shape: [outputs, width]).values()
        let hasBias = json["bias"]?.bool ?? true
        let bias = hasBias ? try file.tensor("linear.bias", shape: [outputs]).values() : []
        let layer = DenseLayer(weight: weight, bias: bias, inputs: width, function: function)
        return (.dense(layer, isResidual: isResidual), outputs)
    }

    private mutating func readScore(
        _ folder: String, _ configuration: DecoderConfiguration
    ) throws(CheckpointError) {
        let (path, json) = try Self.configuration(folder)
        func token(_ field: String) throws(CheckpointError) -> Int32? {
            guard let value = json[field], !value.isNull else { return nil }
            guard let id = value.int, (0..<configuration.vocabularySize).contains(id) else {
                throw .field(path: path, field: field, reason: "is no token of the model")
            }
            return Int32(id)
        }
        guard let yes = try token("true_token_id") else {
            throw .field(path: path, field: "true_token_id", reason: "is missing")
        }
        scoreTokens = (yes, try token("false_token_id"))
    }

    private mutating func readPrompts(_ file: File) throws(CheckpointError) {
        for member in file.json["prompts"]?.object ?? [] {
            guard let text = member.value.string else {
                if member.value.isNull { continue }
                throw .field(path: file.path, field: "prompts.\(member.name)", reason: "is not a text")
            }
            prompts[member.name] = text
        }
        guard let name = file.json["default_prompt_name"]?.string else { return }
        guard prompts[name] != nil else {
            throw .field(
                path: file.path, field: "default_prompt_name", reason: "is '\(name)', which is no prompt")
        }
        defaultPrompt = name
    }
}
