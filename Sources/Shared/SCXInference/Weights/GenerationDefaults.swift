/// What `generation_config.json` says about sampling; nil where it says nothing.
public struct GenerationDefaults: Equatable, Sendable {
    /// Ids that end an answer: those of `generation_config.json` if it has some, else those of `config.json`.
    public var endOfSequence: [Int]
    public var beginOfSequence: Int?
    /// False for greedy decoding.
    public var sample: Bool?
    public var temperature: Double?
    public var topK: Int?
    public var topP: Double?
    public var minP: Double?
    public var repetitionPenalty: Double?

    /// Reads the file at `path`, if there is one.
    init(path: String?, configuration: DecoderConfiguration) throws(CheckpointError) {
        var json = JSON.object([])
        if let path { json = try MappedFile(path).json() }
        try self.init(json: json, path: path ?? "", configuration: configuration)
    }

    /// Takes the contents of such a file.
    init(json: JSON, path: String, configuration: DecoderConfiguration) throws(CheckpointError) {
        endOfSequence = configuration.endOfSequence
        beginOfSequence = configuration.beginOfSequence
        guard json.object != nil else {
            throw .file(path: path, action: "read it", reason: "not a JSON object")
        }
        let reader = ConfigurationReader(path: path, json: json)
        endOfSequence = try reader.tokens("eos_token_id") ?? endOfSequence
        beginOfSequence = (try reader.tokens("bos_token_id"))?.first ?? beginOfSequence
        sample = try reader.flag("do_sample")
        temperature = try reader.number("temperature", minimum: 0)
        topP = try reader.number("top_p", minimum: 0)
        minP = try reader.number("min_p", minimum: 0)
        repetitionPenalty = try reader.number("repetition_penalty", minimum: 1e-6)
        // Zero means that there is no limit, as in other programs.
        if let value = reader.value("top_k") {
            guard let k = value.int, k >= 0 else { throw reader.fault("top_k", "is not a number of tokens") }
            topK = k
        }
    }
}
