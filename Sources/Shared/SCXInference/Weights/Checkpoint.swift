/// A model, opened and checked: a directory in Hugging Face's layout, or a GGUF file.
///
/// Of a directory it reads `config.json`, `generation_config.json` if there is one, and the headers of the weights:
/// `model.safetensors`, or the shards that `model.safetensors.index.json` lists. A GGUF file holds all of this itself, and
/// may be split too. The weights stay in their files, which are mapped into memory.
public final class Checkpoint: Sendable {
    /// The path by which the model was opened: that of the directory, or of the GGUF file.
    public let directory: String
    public let configuration: DecoderConfiguration
    /// The fields of `config.json`, or the values of a GGUF file's metadata, and whether each was honoured.
    public let options: [ConfigurationOption]
    /// What the model's files say about sampling.
    public let generation: GenerationDefaults
    /// What the identity covers of the configuration.
    private let identity: ModelIdentity
    private let source: any TensorSource

    /// Opens a model and checks its files.
    ///
    /// - Parameter directory: The path of a directory, or of a GGUF file.
    /// - Throws: ``CheckpointError`` that names the file at fault.
    public init(directory: String) throws(CheckpointError) {
        self.directory = directory
        if GGUFFile.isOne(directory) {
            let model = try GGUFModel(directory)
            (configuration, options, generation) = (model.configuration, model.options, model.generation)
            (identity, source) = (.values(model.identity), model.source)
            return
        }
        let names = Set(try directoryEntries(directory))
        guard names.contains("config.json") else {
            let file = names.filter { $0.hasSuffix(".gguf") }.min()
            throw .missingFile(
                directory: directory, name: "config.json",
                hint: file.map { "name \($0) itself as the model" } ?? "is it a Hugging Face model directory?"
            )
        }
        let file = try MappedFile(directory + "/config.json")
        var configuration: DecoderConfiguration
        (configuration, options) = try DecoderConfiguration.read(json: file.json(), path: file.path)
        generation = try GenerationDefaults(
            path: names.contains("generation_config.json") ? directory + "/generation_config.json" : nil,
            configuration: configuration)
        var source = try SafeTensorsSource(directory: directory, present: names)
        source.quantization = configuration.quantization
        // Checkpoints that were saved without the head lack the prefix of the model with a head.
        let embedding = configuration.layout.embedding
        if !source.contains(configuration.embeddingName), source.contains(embedding) {
            configuration.layout.prefix = ""
            // Nor do they have the head itself, unless it is the embedding table.
            if !configuration.tiedEmbeddings, !source.contains(configuration.layout.head) {
                configuration.hasHead = false
            }
        }
        configuration.adaptPictures { source.contains($0) }
        if configuration.normsEmbedding, !source.contains(configuration.embeddingNormName) {
            configuration.layout.useOldNormNames()
        }
        // What a model was trained to embed with is no use for generating, though the table could be a head.
        if names.contains("modules.json"), try Self.pools(directory + "/modules.json") {
            configuration.hasHead = false
        }
        if let block = configuration.experts?.blocks.firstIndex(of: true) {
            let prefix = "\(configuration.layout.prefix)\(configuration.layout.blocks)\(block)."
            let fused = prefix + configuration.layout.experts + configuration.layout.fusedDown
            configuration.experts?.isFused = source.contains(fused) || source.contains(fused + "_blocks")
        }
        self.configuration = configuration
        self.source = source
        identity = .file(file)
    }

    /// The part of a checkpoint that is its encoder of pictures.
    private init(_ whole: Checkpoint, _ encoder: DecoderConfiguration) {
        (directory, configuration, options) = (whole.directory, encoder, [])
        (generation, identity, source) = (whole.generation, whole.identity, whole.source)
    }

    /// The encoder of pictures, as a model of its own whose blocks are numbered from 0 on; nil where there is none.
    public var tower: Checkpoint? { configuration.vision.map { Checkpoint(self, $0.encoder) } }

    /// Whether sentence-transformers' list of modules has one that pools hidden states.
    private static func pools(_ path: String) throws(CheckpointError) -> Bool {
        let modules = try MappedFile(path).json(limit: 1 << 20).array ?? []
        return modules.contains { $0["type"]?.string?.hasSuffix(".Pooling") == true }
    }

    /// The names of all stored tensors, sorted.
    public var tensorNames: [String] { source.tensorNames }

    /// Whether there is a tensor of that name.
    public func contains(_ name: String) -> Bool { source.contains(name) }

    /// The tensor of that name and shape.
    ///
    /// - Throws: ``CheckpointError/missingTensor(path:tensor:)``,
    ///   ``CheckpointError/wrongShape(path:tensor:expected:found:)`` or
    ///   ``CheckpointError/unsupportedType(path:tensor:found:)``.
    public func tensor(_ name: String, shape: [Int]) throws(CheckpointError) -> StoredTensor {
        try source.tensor(name, shape: shape)
    }

    /// A block's tensor as float32: `[outputs, inputs]` or a vector.
    ///
    /// - Returns: Nil when the model has no such tensor.
    /// - Throws: As ``tensor(_:shape:)``.
    public func values(of tensor: BlockTensor, block: Int) throws(CheckpointError) -> [Float]? {
        guard let place = configuration.place(of: tensor, block: block) else { return nil }
        let values = try self.tensor(place.stored.name, shape: place.stored.shape).values()
        let shape = place.stored.shape
        guard shape.count == 2 else { return Array(values[place.rows]) }
        guard place.isTransposed else {
            return Array(values[place.rows.lowerBound * shape[1]..<place.rows.upperBound * shape[1]])
        }
        return place.rows.flatMap { row in (0..<shape[0]).map { values[$0 * shape[1] + row] } }
    }

    /// Checks that every tensor of the model is there, with the right shape and a type that can be read.
    public func validate() throws(CheckpointError) {
        for plan in configuration.expectedTensors() { _ = try tensor(plan.name, shape: plan.shape) }
    }

    /// The names of tensors that the model does not use, sorted.
    ///
    /// Tables of rotary frequencies, which old checkpoints contain, and a head that repeats the embedding are left
    /// out, since they are common and harmless.
    public func unexpectedTensors() -> [String] {
        var unexpected = Set(source.tensorNames)
        for plan in configuration.expectedTensors() {
            for name in source.parts(of: plan.name) { unexpected.remove(name) }
        }
        // Factors of a rotation were read with a GGUF file's metadata.
        unexpected.subtract(GGUFConfiguration.factorNames)
        return unexpected.filter { name in
            !name.hasSuffix("rotary_emb.inv_freq") && !name.hasSuffix("embeddings.position_ids")
                && !(configuration.tiedEmbeddings && name == configuration.layout.head)
                && !(configuration.vision?.leavesOut(name) ?? false)
        }.sorted()
    }

    /// An identity of the model, 32 hexadecimal digits, the same for copies of a model that are split into other
    /// shards.
    ///
    /// Both sides of a link compare it, so that nobody uses a worker with another model by mistake. It covers the
    /// bytes of `config.json` (of a GGUF file the values that say what the model computes), every tensor's name, type and
    /// shape, and 256 bytes from the middle of each tensor. Computing it takes milliseconds, and it distinguishes models
    /// and fine-tuned versions of them. It does not authenticate anything: somebody who wants to can change weights
    /// elsewhere.
    public func digest() -> String {
        let samples = source.samples.sorted { $0.name < $1.name }.map { sample in
            let count = min(256, sample.range.count)
            let start = sample.range.lowerBound + (sample.range.count - count) / 2
            return (sample, start..<start + count)
        }
        // Prefetch them all, since hundreds of reads from a cold disk would take seconds one after the other.
        for (sample, range) in samples { sample.file.prefetch(range) }

        var hash = FNV128()
        switch identity {
        case .file(let file): unsafe file.withUnsafeBytes(0..<file.byteCount) { unsafe hash.add($0) }
        case .values(let values):
            for (name, file, range) in values {
                hash.add("\(name)=")
                unsafe file.withUnsafeBytes(range) { unsafe hash.add($0) }
            }
        }
        for (sample, range) in samples {
            hash.add("\(sample.name) \(sample.type) \(sample.shape);")
            unsafe sample.file.withUnsafeBytes(range) { unsafe hash.add($0) }
        }
        let digits = String(hash.value, radix: 16)
        return String(repeating: "0", count: 32 - digits.count) + digits
    }

    /// What a model's identity covers of its configuration.
    private enum ModelIdentity {
        /// A whole file.
        case file(MappedFile)
        /// Values of a GGUF file's metadata.
        case values([(name: String, file: MappedFile, range: Range<Int>)])
    }
}

/// The hash FNV-1a with 128 bits (RFC 9923), for identities that need no protection from attacks.
struct FNV128 {
    private(set) var value: UInt128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d

    mutating func add(_ byte: UInt8) {
        value = (value ^ UInt128(byte)) &* 0x0000_0000_0100_0000_0000_0000_0000_013b
    }

    mutating func add(_ bytes: UnsafeRawBufferPointer) {
        for i in bytes.indices { unsafe add(bytes[i]) }
    }

    mutating func add(_ text: String) {
        for byte in text.utf8 { add(byte) }
    }
}
