/// Reads the fields of a JSON object: absent fields get the defaults of the reference implementation, present ones
/// are checked against limits.
///
/// A field that is null is read as if it were absent. Where null means "none" although there is a default,
/// ``ifAbsent(_:_:)`` distinguishes the two.
struct ConfigurationReader {
    let path: String
    let json: JSON
    /// Text before names in error messages, such as `rope_scaling.`.
    var prefix = ""
    /// The family's own names of fields, by the names that most families use.
    var names: [String: String] = [:]
    private let read = ReadNames()

    init(path: String, json: JSON, prefix: String = "") {
        (self.path, self.json, self.prefix) = (path, json, prefix)
    }

    /// The name of a field in this configuration.
    func name(_ field: String) -> String { names[field] ?? field }

    func fault(_ field: String, _ reason: String) -> CheckpointError {
        .field(path: path, field: prefix + name(field), reason: reason)
    }

    func unsupported(_ what: String, _ supported: String) -> CheckpointError {
        .unsupported(path: path, what: what, supported: supported)
    }

    func value(_ field: String) -> JSON? {
        guard let value = member(field), !value.isNull else { return nil }
        return value
    }

    private func member(_ field: String) -> JSON? {
        read.names.insert(name(field))
        return json[name(field)]
    }

    /// The configuration of a part of the model, whose fields are checked with those of the whole.
    ///
    /// - Returns: Nil when the field is absent.
    /// - Throws: ``CheckpointError`` when it is no object.
    func part(_ field: String) throws(CheckpointError) -> ConfigurationReader? {
        guard let value = value(field) else { return nil }
        guard value.object != nil else { throw fault(field, "is not an object") }
        let part = ConfigurationReader(path: path, json: value, prefix: prefix + name(field) + ".")
        read.parts.append(part)
        return part
    }

    /// Says that the reference implementation ignores these fields.
    func ignore(_ names: [String]) { read.ignored.formUnion(names) }

    /// A cap of scores or logits; nil when the field is null.
    func cap(_ field: String, absent: Float?) throws(CheckpointError) -> Float? {
        try number(field, minimum: 1e-6).map { Float($0) } ?? ifAbsent(field, absent)
    }

    /// The default if the field is absent; nil if it is there, even as null.
    func ifAbsent<T>(_ field: String, _ value: T?) -> T? { member(field) == nil ? value : nil }

    /// An integer in `1...limit`.
    func size(_ field: String, limit: Int) throws(CheckpointError) -> Int? {
        guard let value = value(field) else { return nil }
        guard let size = value.int else { throw fault(field, "is not an integer") }
        guard (1...limit).contains(size) else { throw fault(field, "is \(size), which is not in 1…\(limit)") }
        return size
    }

    /// A number of blocks, which may be 0.
    func blocks(_ field: String) throws(CheckpointError) -> Int? {
        guard let value = value(field) else { return nil }
        guard let blocks = value.int, blocks >= 0 else { throw fault(field, "is not a number of blocks") }
        return blocks
    }

    /// A finite number that is at least `minimum`.
    func number(_ field: String, minimum: Double) throws(CheckpointError) -> Double? {
        guard let value = value(field) else { return nil }
        guard let number = value.double else { throw fault(field, "is not a number") }
        // It is compared as float32, in which the model computes: there 1e300 is not finite, and 1e-300 is zero.
        guard Float(number).isFinite, number >= minimum, minimum <= 0 || Float(number) > 0 else {
            throw fault(field, "is \(number), which is not a sensible value")
        }
        return number
    }

    /// A string that must be one of these; the first of them when the field is absent.
    @discardableResult
    func expect(_ field: String, _ known: [String]) throws(CheckpointError) -> String {
        let text = try text(field) ?? known[0]
        guard known.contains(text) else {
            throw unsupported("\(name(field)) '\(text)'", known.joined(separator: ", "))
        }
        return text
    }

    /// Checks that a number is this one, or absent.
    func expect(_ field: String, _ known: Int) throws(CheckpointError) {
        guard let value = value(field), value.int != known else { return }
        throw unsupported("\(name(field)) other than \(known)", "\(known)")
    }

    func flag(_ field: String) throws(CheckpointError) -> Bool? {
        guard let value = value(field) else { return nil }
        guard let flag = value.bool else { throw fault(field, "is neither true nor false") }
        return flag
    }

    func text(_ field: String) throws(CheckpointError) -> String? {
        guard let value = value(field) else { return nil }
        guard let text = value.string else { throw fault(field, "is not a string") }
        return text
    }

    /// An array of strings.
    func texts(_ field: String) throws(CheckpointError) -> [String]? {
        guard let value = value(field) else { return nil }
        guard let texts = value.array?.map(\.string), !texts.contains(nil) else {
            throw fault(field, "is not a list of strings")
        }
        return texts.compactMap(\.self)
    }

    /// One token id or a list of them; negative ones, by which some configurations mean "none", are left out.
    func tokens(_ field: String) throws(CheckpointError) -> [Int]? {
        guard let value = value(field) else { return nil }
        let values = value.array ?? [value]
        let ids = values.compactMap(\.int)
        guard ids.count == values.count else {
            throw fault(field, "is neither a token id nor a list of them")
        }
        return ids.filter { $0 >= 0 }
    }
}

/// The names of the fields that were looked at, and of those that the family ignores.
private final class ReadNames {
    var names: Set<String> = []
    var ignored: Set<String> = []
    var parts: [ConfigurationReader] = []
}

/// An option of a configuration.
public struct ConfigurationOption: Equatable, Sendable {
    public let name: String
    /// Whether it was taken into account; if not, it changes no result.
    public let isHonoured: Bool

    public init(name: String, isHonoured: Bool) { (self.name, self.isHonoured) = (name, isHonoured) }
}

extension ConfigurationReader {
    /// What the configuration says, and whether it was read.
    ///
    /// - Parameter harmless: Names that need not be read.
    /// - Returns: The fields, in the order of the file.
    /// - Throws: ``CheckpointError`` when a field that is neither read nor harmless says something: it may change what
    ///   the model computes.
    func options(harmless: Set<String> = Self.harmless) throws(CheckpointError) -> [ConfigurationOption] {
        var options: [ConfigurationOption] = []
        for member in json.object ?? [] {
            let isRead = read.names.contains(member.name)
            guard
                isRead || harmless.contains(member.name) || read.ignored.contains(member.name)
                    || member.value.saysNothing
            else {
                throw .field(
                    path: path, field: prefix + member.name,
                    reason:
                        "is not known here, and may change what the model computes; remove it if it does not")
            }
            options.append(ConfigurationOption(name: prefix + member.name, isHonoured: isRead))
        }
        for part in read.parts { options += try part.options(harmless: harmless) }
        return options
    }

    /// Fields of training, of the Python classes, of sampling and of tokens; none of them changes logits.
    static let harmless: Set<String> = [
        "_attn_implementation", "_attn_implementation_autoset", "_name_or_path", "attention_dropout",
        "attn_implementation", "attn_pdrop", "auto_map", "bad_words_ids", "bos_token", "cache_implementation",
        "do_sample", "dtype", "embd_pdrop", "embedding_dropout", "eos_token", "finetuning_task",
        "gradient_checkpointing", "hidden_dropout", "id2label", "initializer_range",
        "keys_to_ignore_at_inference",
        "label2id", "language", "length_penalty", "max_length", "max_new_tokens", "max_sequence_length",
        "max_window_layers", "min_length", "mlp_dropout", "model_max_length", "n_ctx", "name_or_path",
        "neftune_noise_alpha", "no_repeat_ngram_size", "num_beams", "output_attentions",
        "output_hidden_states", "output_router_logits", "pad_token_id", "prefix", "pretraining_tp",
        "problem_type", "reorder_and_upcast_attn", "repetition_penalty", "resid_pdrop", "residual_dropout",
        "return_dict", "router_aux_loss_coef", "sep_token_id", "summary_activation",
        "summary_first_dropout", "summary_proj_to_labels", "summary_type", "summary_use_proj",
        "task_specific_params", "temperature", "tokenizer_class", "top_k", "top_p", "torch_dtype",
        "torchscript", "transformers.js_config", "transformers_version", "unk_token_id", "unsloth_fixed",
        "unsloth_version", "use_cache", "use_return_dict",
    ]
}

extension JSON {
    /// Whether a field of this value means the same as no field: null, false, and empty lists and objects.
    fileprivate var saysNothing: Bool {
        isNull || bool == false || array?.isEmpty == true || object?.isEmpty == true
    }
}
