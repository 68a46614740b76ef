/// The files that hold a checkpoint's tensors.
protocol TensorSource: Sendable {
    /// The names of all tensors that are stored, sorted.
    var tensorNames: [String] { get }

    /// Whether there is a tensor of that name, be it stored as it is or quantised.
    func contains(_ name: String) -> Bool

    /// The tensor of that name and shape.
    ///
    /// - Throws: ``CheckpointError`` that names the file and the tensor.
    func tensor(_ name: String, shape: [Int]) throws(CheckpointError) -> StoredTensor

    /// The stored names from which a tensor is read: its own where it is not quantised.
    func parts(of name: String) -> [String]

    /// What the identity of a model covers of each stored tensor, in any order.
    var samples: [TensorSample] { get }
}

/// A tensor's name, type and shape, and where its bytes are.
struct TensorSample {
    let name: String
    let type: String
    let shape: [Int]
    let file: MappedFile
    let range: Range<Int>
}

/// The safetensors files of a model directory.
struct SafeTensorsSource: TensorSource {
    let files: [SafeTensorsFile]
    /// For each tensor the index in `files` of the file that holds it.
    let locations: [String: Int]
    /// What errors call all of the files.
    let path: String
    /// How tensors are quantised, where `config.json` says that some are.
    var quantization: Quantization?

    /// Opens `model.safetensors`, or the shards that `model.safetensors.index.json` lists.
    ///
    /// - Parameters:
    ///   - directory: The model's directory.
    ///   - names: The names of its entries.
    /// - Throws: ``CheckpointError`` that names the file at fault.
    init(directory: String, present names: Set<String>) throws(CheckpointError) {
        if names.contains("model.safetensors") {
            let file = try SafeTensorsFile(directory + "/model.safetensors")
            files = [file]
            locations = file.entries.mapValues { _ in 0 }
            path = file.path
        } else if names.contains("model.safetensors.index.json") {
            (files, locations) = try Self.shards(directory: directory, present: names)
            path = files.count == 1 ? files[0].path : directory + "/model.safetensors.index.json"
        } else {
            let file = names.filter { $0.hasSuffix(".gguf") }.min()
            let others = names.filter { $0.hasSuffix(".bin") || $0.hasSuffix(".pth") }
            throw .missingFile(
                directory: directory, name: "model.safetensors",
                hint: file.map { "name \($0) itself as the model" } ?? others.min().map {
                    "convert \($0) to safetensors"
                } ?? "download the weights")
        }
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

    var tensorNames: [String] { locations.keys.sorted() }

    func contains(_ name: String) -> Bool { parts(of: name).contains { locations[$0] != nil } }

    func parts(of name: String) -> [String] { quantization?.parts(of: name, in: self) ?? [name] }

    func tensor(_ name: String, shape: [Int]) throws(CheckpointError) -> StoredTensor {
        if let tensor = try quantization?.tensor(name, shape: shape, in: self) { return tensor }
        guard let index = locations[name] else { throw .missingTensor(path: path, tensor: name) }
        let tensor = try files[index].tensor(name)
        guard tensor.shape == shape else {
            throw .wrongShape(path: tensor.path, tensor: name, expected: shape, found: tensor.shape)
        }
        return tensor
    }

    /// A stored tensor of any type; nil where there is none of that name.
    func part(_ name: String) -> TensorSample? {
        guard let index = locations[name], let entry = files[index].entries[name] else { return nil }
        return TensorSample(
            name: name, type: entry.type, shape: entry.shape, file: files[index].file, range: entry.range)
    }

    var samples: [TensorSample] { locations.keys.compactMap { part($0) } }
}
