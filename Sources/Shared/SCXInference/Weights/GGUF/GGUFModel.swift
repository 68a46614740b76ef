/// A model in a GGUF file, or in several that belong together.
struct GGUFModel {
    let configuration: DecoderConfiguration
    /// The values of the metadata that say what the model computes.
    let options: [ConfigurationOption]
    let generation: GenerationDefaults
    /// The same values, for the model's identity.
    let identity: [(name: String, file: MappedFile, range: Range<Int>)]
    let source: GGUFSource

    /// Opens a file and those that it is split into.
    ///
    /// - Parameter path: The file's path; the first of several.
    /// - Throws: ``CheckpointError`` that names the file at fault.
    init(_ path: String) throws(CheckpointError) {
        let files = try Self.files(path)
        let first = files[0]
        var entries: [String: (file: Int, entry: GGUFFile.Entry)] = [:]
        for (index, file) in files.enumerated() {
            for (name, entry) in file.entries {
                guard entries.updateValue((index, entry), forKey: name) == nil else {
                    throw .malformedTensor(path: file.path, tensor: name, reason: "is in another file too")
                }
            }
        }
        var source = GGUFSource(path: path, files: files, entries: entries)
        let reader = try GGUFConfiguration(first, source)
        var (configuration, options) = try reader.configuration()
        // Ends of turns too, since that is where an answer ends.
        configuration.endOfSequence = try reader.endOfSequence()
        source.pairedHeads = reader.rotatesNeighbours ? configuration : nil
        try reader.refuseUnknownTensors(configuration)
        (self.configuration, self.source, self.options) = (configuration, source, options)
        generation = try GenerationDefaults(
            json: reader.sampling(), path: path, configuration: configuration)
        identity = first.keys.sorted().compactMap { key in
            guard key == "general.architecture" || key.hasPrefix(reader.architecture + "."),
                let value = first.values[key]
            else { return nil }
            return (key, first.file, value.range)
        }
    }

    /// The file, and those whose names differ in the number alone, as `split.count` says.
    private static func files(_ path: String) throws(CheckpointError) -> [GGUFFile] {
        let first = try GGUFFile(path)
        let count = try first.integer("split.count") ?? 1
        guard count > 1 else { return [first] }
        let number = try first.integer("split.no") ?? 0
        guard count <= 1_024, (0..<count).contains(number) else {
            throw .field(
                path: path, field: "split.count", reason: "is \(count) in part \(number), counted from 0")
        }
        let suffix = "-\(padded(number + 1))-of-\(padded(count)).gguf"
        guard path.hasSuffix(suffix) else {
            throw .field(
                path: path, field: "split.count",
                reason: "is \(count), but the file's name does not end with '\(suffix)'")
        }
        let name = String(path.dropLast(suffix.count))
        guard number == 0 else {
            throw .unsupported(
                path: path, what: "part \(number + 1) of \(count) as the model",
                supported: "the first part, which finds the others beside it")
        }
        var files = [first]
        for index in 1..<count {
            let file = try GGUFFile("\(name)-\(padded(index + 1))-of-\(padded(count)).gguf")
            guard try file.integer("split.no") == index, try file.integer("split.count") == count else {
                throw .field(path: file.path, field: "split.no", reason: "does not fit the file's name")
            }
            files.append(file)
        }
        let total = files.reduce(0) { $0 + $1.entries.count }
        guard try first.integer("split.tensors.count") ?? total == total else {
            throw .field(
                path: path, field: "split.tensors.count", reason: "is not \(total), the tensors of all parts")
        }
        return files
    }

    private static func padded(_ number: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
    }
}

/// The tensors of GGUF files.
struct GGUFSource: TensorSource {
    let path: String
    let files: [GGUFFile]
    let entries: [String: (file: Int, entry: GGUFFile.Entry)]
    /// The model whose queries and keys lie in the order of ``PairedRows``; nil where they do not.
    var pairedHeads: DecoderConfiguration?

    var tensorNames: [String] { entries.keys.sorted() }

    func contains(_ name: String) -> Bool { entries[name] != nil }

    func parts(of name: String) -> [String] { [name] }

    func tensor(_ name: String, shape: [Int]) throws(CheckpointError) -> StoredTensor {
        guard let (index, entry) = entries[name] else { throw .missingTensor(path: path, tensor: name) }
        let file = files[index].file
        guard entry.shape == shape else {
            throw .wrongShape(path: file.path, tensor: name, expected: shape, found: entry.shape)
        }
        let order = order(of: name)
        if order == nil, let element = entry.format.element {
            return StoredTensor(name: name, type: element, shape: shape, file: file, range: entry.range)
        }
        // The elements of a bias are ordered as the rows of its matrix.
        let columns = order != nil && shape.count == 1 ? 1 : shape[shape.count - 1]
        guard columns % entry.format.blockValues == 0 else {
            throw .unsupported(
                path: file.path, what: "tensor '\(name)' in format \(entry.format.name)",
                supported: "F32, F16 and BF16 for biases")
        }
        return StoredTensor(
            name: name, type: .f32, shape: shape, file: file, range: entry.range,
            quantized: GGUFRows(
                file: file, range: entry.range, format: entry.format, columns: columns, order: order))
    }

    private func order(of name: String) -> PairedRows? {
        guard let model = pairedHeads, name.hasPrefix("blk.") else { return nil }
        let isPaired = [".attn_q.weight", ".attn_q.bias", ".attn_k.weight", ".attn_k.bias"].contains {
            name.hasSuffix($0)
        }
        return isPaired ? PairedRows(headSize: model.headSize) : nil
    }

    var samples: [TensorSample] {
        entries.values.map { index, entry in
            TensorSample(
                name: entry.name, type: entry.format.name, shape: entry.shape, file: files[index].file,
                range: entry.range)
        }
    }
}
