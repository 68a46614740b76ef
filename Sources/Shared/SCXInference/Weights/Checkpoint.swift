/// A model directory in Hugging Face's layout, opened and checked.
///
/// It reads `config.json`, `generation_config.json` if there is one, and the headers of the weights:
/// `model.safetensors`, or the shards that `model.safetensors.index.json` lists. The weights stay in their files,
/// which are mapped into memory.
public final class Checkpoint: Sendable {
    public let directory: String
    public let configuration: DecoderConfiguration
    /// The fields of `config.json`, and whether each was honoured.
    public let options: [ConfigurationOption]
    /// What the model's files say about sampling.
    public let generation: GenerationDefaults
    private let configurationFile: MappedFile
    private let files: [SafeTensorsFile]
    /// For each tensor the index in `files` of the file that holds it.
    private let locations: [String: Int]

    /// Opens a model directory and checks its files.
    ///
    /// - Parameter directory: The directory's path.
    /// - Throws: ``CheckpointError`` that names the file at fault.
    public init(directory: String) throws(CheckpointError) {
        self.directory = directory
        let names = Set(try directoryEntries(directory))
        guard names.contains("config.json") else {
            throw .missingFile(
                directory: directory, name: "config.json", hint: "is it a Hugging Face model directory?")
        }
        configurationFile = try MappedFile(directory + "/config.json")
        var configuration: DecoderConfiguration
        (configuration, options) = try DecoderConfiguration.read(
            json: configurationFile.json(), path: configurationFile.path)
        generation = try GenerationDefaults(
            path: names.contains("generation_config.json") ? directory + "/generation_config.json" : nil,
            configuration: configuration)

        if names.contains("model.safetensors") {
            let file = try SafeTensorsFile(directory + "/model.safetensors")
            files = [file]
            locations = file.entries.mapValues { _ in 0 }
        } else if names.contains("model.safetensors.index.json") {
            (files, locations) = try Self.shards(directory: directory, present: names)
        } else {
            let others = names.filter {
                $0.hasSuffix(".bin") || $0.hasSuffix(".pth") || $0.hasSuffix(".gguf")
            }
            throw .missingFile(
                directory: directory, name: "model.safetensors",
                hint: others.min().map { "convert \($0) to safetensors" } ?? "download the weights")
        }
        // Checkpoints that were saved without the head lack the prefix of the model with a head.
        let embedding = configuration.layout.embedding
        if locations[configuration.embeddingName] == nil, locations[embedding] != nil {
            configuration.layout.prefix = ""
        }
        self.configuration = configuration
    }

    private static func shards(
        directory: String, present: Set<String>
    ) throws(CheckpointError) -> ([SafeTensorsFile], [String: Int]) {
        let path = directory + "/model.safetensors.index.json"
        guard let map = try MappedFile(path).json()["weight_map"]?.object, !map.isEmpty else {
            throw .field(path: path, field: "weight_map", reason: "is missing, empty or not an object")
        }
        var files: [SafeTensorsFile] = []
        var indices: [String: Int] = [:]
        var locations = [String: Int](minimumCapacity: map.count)
        for member in map {
            guard let shard = member.value.string else {
                throw .field(path: path, field: "weight_map." + member.name, reason: "is not a file name")
            }
            // Names of shards may come from strangers: only files in this directory are allowed, never a path out of
            // it.
            guard !shard.isEmpty, shard != ".", shard != "..",
                !shard.utf8.contains(where: { $0 == 0x2F || $0 == 0 })
            else {
                throw .field(
                    path: path, field: "weight_map." + member.name,
                    reason: "'\(shard)' is not a plain file name")
            }
            if indices[shard] == nil {
                guard present.contains(shard) else {
                    throw .missingFile(
                        directory: directory, name: shard,
                        hint: "model.safetensors.index.json lists it; the download is incomplete")
                }
                indices[shard] = files.count
                files.append(try SafeTensorsFile(directory + "/" + shard))
            }
            guard let index = indices[shard], files[index].entries[member.name] != nil else {
                throw .missingTensor(path: directory + "/" + shard, tensor: member.name)
            }
            guard locations.updateValue(index, forKey: member.name) == nil else {
                throw .field(path: path, field: "weight_map." + member.name, reason: "is listed twice")
            }
        }
        return (files, locations)
    }

    /// The names of all tensors, sorted.
    public var tensorNames: [String] { locations.keys.sorted() }

    /// Whether there is a tensor of that name.
    public func contains(_ name: String) -> Bool { locations[name] != nil }

    /// The tensor of that name and shape.
    ///
    /// - Throws: ``CheckpointError/missingTensor(path:tensor:)``,
    ///   ``CheckpointError/wrongShape(path:tensor:expected:found:)`` or
    ///   ``CheckpointError/unsupportedType(path:tensor:found:)``.
    public func tensor(_ name: String, shape: [Int]) throws(CheckpointError) -> StoredTensor {
        guard let index = locations[name] else { throw .missingTensor(path: weightsPath, tensor: name) }
        let tensor = try files[index].tensor(name)
        guard tensor.shape == shape else {
            throw .wrongShape(path: tensor.path, tensor: name, expected: shape, found: tensor.shape)
        }
        return tensor
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

    private var weightsPath: String {
        files.count == 1 ? files[0].path : directory + "/model.safetensors.index.json"
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
        var unexpected = Set(locations.keys)
        for plan in configuration.expectedTensors() { unexpected.remove(plan.name) }
        return unexpected.filter { name in
            !name.hasSuffix("rotary_emb.inv_freq")
                && !(configuration.tiedEmbeddings && name == configuration.layout.head)
        }.sorted()
    }

    /// An identity of the model, 32 hexadecimal digits, the same for copies of a model that are split into other
    /// shards.
    ///
    /// Both sides of a link compare it, so that nobody uses a worker with another model by mistake. It covers the
    /// bytes of `config.json`, every tensor's name, type and shape, and 256 bytes from the middle of each tensor.
    /// Computing it takes milliseconds, and it distinguishes models and fine-tuned versions of them. It does not
    /// authenticate anything: somebody who wants to can change weights elsewhere.
    public func digest() -> String {
        var samples: [(name: String, type: String, shape: [Int], file: MappedFile, range: Range<Int>)] = []
        for (name, index) in locations {
            guard let entry = files[index].entries[name] else { continue }
            let count = min(256, entry.range.count)
            let start = entry.range.lowerBound + (entry.range.count - count) / 2
            samples.append((name, entry.type, entry.shape, files[index].file, start..<start + count))
        }
        samples.sort { $0.name < $1.name }
        // Prefetch them all, since hundreds of reads from a cold disk would take seconds one after the other.
        for sample in samples { sample.file.prefetch(sample.range) }

        var hash = FNV128()
        unsafe configurationFile.withUnsafeBytes(0..<configurationFile.byteCount) { unsafe hash.add($0) }
        for sample in samples {
            hash.add("\(sample.name) \(sample.type) \(sample.shape);")
            unsafe sample.file.withUnsafeBytes(sample.range) { unsafe hash.add($0) }
        }
        let digits = String(hash.value, radix: 16)
        return String(repeating: "0", count: 32 - digits.count) + digits
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
