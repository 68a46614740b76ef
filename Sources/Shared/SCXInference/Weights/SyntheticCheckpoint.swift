/// Writes checkpoints with random weights, for tests and for measuring speed at the sizes of published models.
public enum SyntheticCheckpoint {
    /// Writes a whole model directory; the same arguments give the same bytes on every machine.
    ///
    /// Matrices and biases are drawn with standard deviation 0.02; norms are 1. Weights above `shardLimit` bytes are
    /// split into shards. `config.json` is written last, so that a run that was interrupted leaves no directory that
    /// looks complete.
    ///
    /// - Parameters:
    ///   - shape: The model's sizes.
    ///   - directory: Made if it is not there. Files of an earlier run are removed first; others stay.
    ///   - seed: Determines the weights.
    ///   - type: How weights are stored.
    ///   - outliers: Channels with large activations; nil for none.
    ///   - shardLimit: The most bytes of tensors in one file, unless a single tensor has more.
    ///   - pool: Draws the numbers.
    ///   - progress: Called with the bytes written and the bytes in all.
    /// - Throws: ``CheckpointError/file(path:action:reason:)`` when the system refuses to write.
    public static func write(
        _ shape: SyntheticShape, to directory: String, seed: UInt64, type: ElementType = .bf16,
        outliers: SyntheticOutliers? = nil, shardLimit: Int = 5_000_000_000, pool: ThreadPool,
        progress: (_ written: Int, _ total: Int) -> Void = { _, _ in }
    ) throws(CheckpointError) {
        try makeDirectory(directory)
        for name in try existingFiles(directory) { try removeFile(directory + "/" + name) }

        let configuration = shape.configuration
        let tensors = configuration.expectedTensors().map {
            SafeTensorsWriter.Tensor($0.name, type, $0.shape)
        }
        var shards: [[SafeTensorsWriter.Tensor]] = [[]]
        var shardSize = 0
        for tensor in tensors {
            if shardSize > 0, shardSize + tensor.byteCount > shardLimit {
                shards.append([])
                shardSize = 0
            }
            shards[shards.count - 1].append(tensor)
            shardSize += tensor.byteCount
        }
        let total = tensors.reduce(0) { $0 + $1.byteCount }
        var written = 0
        var map: [JSON.Member] = []
        for (i, shard) in shards.enumerated() {
            let name =
                shards.count == 1
                ? "model.safetensors"
                : "model-\(fiveDigits(i + 1))-of-\(fiveDigits(shards.count)).safetensors"
            var writer = try SafeTensorsWriter(directory + "/" + name, tensors: shard)
            for tensor in shard {
                try write(tensor, seed: seed, outliers, to: &writer, pool) { count in
                    written += count
                    progress(written, total)
                }
                map.append(.init(tensor.name, .string(name)))
            }
            try writer.finish()
        }
        if shards.count > 1 {
            let index: JSON = ["metadata": ["total_size": .int(total)], "weight_map": .object(map)]
            try OutputFile.save(index.text, to: directory + "/model.safetensors.index.json")
        }
        let tokenizer = SyntheticTokenizer(configuration.family, vocabularySize: configuration.vocabularySize)
        let generation: JSON = [
            "bos_token_id": configuration.beginOfSequence.map(JSON.int) ?? .null,
            "eos_token_id": [.int(tokenizer.special.end), .int(tokenizer.special.endOfTurn)],
            "do_sample": true, "temperature": 0.7, "top_p": 0.9,
        ]
        try OutputFile.save(tokenizer.file.text, to: directory + "/tokenizer.json")
        try OutputFile.save(
            tokenizer.configurationFile(maximumLength: configuration.maximumLength).text,
            to: directory + "/tokenizer_config.json")
        try OutputFile.save(generation.text, to: directory + "/generation_config.json")
        try OutputFile.save(shape.configurationFile(type: type).text, to: directory + "/config.json")
    }

    /// Whether a directory is empty, or not there yet.
    public static func isVacant(_ directory: String) throws(CheckpointError) -> Bool {
        guard fileExists(directory) else { return true }
        return try directoryEntries(directory).isEmpty
    }

    /// The files of a checkpoint in a directory.
    private static func existingFiles(_ directory: String) throws(CheckpointError) -> [String] {
        try directoryEntries(directory).filter { name in
            [
                "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
                "model.safetensors.index.json",
            ].contains(name) || (name.hasPrefix("model") && name.hasSuffix(".safetensors"))
        }
    }

    private static func fiveDigits(_ number: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
    }

    /// How many elements are drawn between two system calls: they fit the cache, and the allocator reuses their
    /// memory.
    private static let batch = 1 << 20

    private static func write(
        _ tensor: SafeTensorsWriter.Tensor, seed: UInt64, _ outliers: SyntheticOutliers?,
        to writer: inout SafeTensorsWriter, _ pool: ThreadPool,
        written: (_ bytes: Int) -> Void
    ) throws(CheckpointError) {
        var name = FNV128()
        name.add(tensor.name)
        let key = mix(seed) ^ UInt64(truncatingIfNeeded: name.value)
        let isNorm = tensor.name.hasSuffix("norm.weight")
        let count = tensor.shape.reduce(1, *)
        let (rows, columns) = outliers?.factors(tensor) ?? ([], [])
        let isScaled = !rows.isEmpty || !columns.isEmpty
        let width = tensor.shape.count > 1 ? tensor.shape[1] : 1
        var done = 0
        while done < count {
            let size = min(batch, count - done)
            let first = done
            switch tensor.type {
            case .f32: try append(size) { element(first + $0) }
            case .f16: try append(size) { Float16(element(first + $0)) }
            case .bf16: try append(size) { bfloat16(element(first + $0)) }
            }
            done += size
            written(size * tensor.type.byteCount)
        }

        @inline(__always)
        func element(_ index: Int) -> Float {
            let value = isNorm ? 1 : draw(key, index)
            guard isScaled else { return value }
            let row = rows.isEmpty ? 1 : rows[index / width]
            return value * row * (columns.isEmpty ? 1 : columns[index % width])
        }

        // Inlined, so that the loop contains the formula and no call.
        @inline(__always)
        func append<T: BitwiseCopyable>(_ count: Int, _ element: (Int) -> T) throws(CheckpointError) {
            let values = unsafe [T](unsafeUninitializedCapacity: count) { buffer, initialized in
                let buffer = unsafe buffer
                let piece = 1 << 15
                pool.run((count + piece - 1) / piece) { p in
                    // Each index writes a piece of its own.
                    for i in p * piece..<min(count, (p + 1) * piece) {
                        unsafe buffer.initializeElement(at: i, to: element(i))
                    }
                }
                initialized = count
            }
            try unsafe writer.append(values.span.bytes)
        }
    }

    /// Element `index` of the tensor with that key: the sum of four uniform numbers, which is nearly normal.
    ///
    /// Only integers and one product are involved, so all machines give the same result.
    @inline(__always)
    private static func draw(_ key: UInt64, _ index: Int) -> Float {
        let bits = mix(key &+ UInt64(index) &* 0x9E37_79B9_7F4A_7C15)
        let sum = (bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + (bits >> 48)
        // A uniform number of 16 bits has variance (2³² − 1) / 12, so the sum has deviation 37,837.2.
        return Float(Int(sum) - 131_070) * (0.02 / 37_837.2)
    }

    /// Rounds to nearest, ties to even.
    @inline(__always)
    private static func bfloat16(_ value: Float) -> UInt16 {
        let bits = value.bitPattern
        return UInt16(truncatingIfNeeded: (bits + 0x7FFF + (bits >> 16 & 1)) >> 16)
    }

    /// The finalizer of SplitMix64 (Steele, Lea and Flood 2014).
    @inline(__always)
    private static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
