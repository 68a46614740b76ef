/// Why a model cannot be loaded.
public enum LoadError: Error, CustomStringConvertible, Sendable {
    case checkpoint(CheckpointError)
    case kernel(path: String, tensor: String, KernelError)

    public var description: String {
        switch self {
        case .checkpoint(let error): "\(error)"
        case .kernel(let path, let tensor, let error): "\(path): tensor '\(tensor)': \(error)"
        }
    }
}

/// Which of a decoder's products are loaded.
///
/// The weights of the norms, which are small, are always loaded. Using a product that was not loaded stops the
/// process.
public struct DecoderParts: Sendable {
    /// Blocks whose queries, keys and values can be computed.
    public var queryKeyValue: Set<Int>
    /// Blocks whose attention can be projected back to hidden states.
    public var output: Set<Int>
    /// Blocks whose feed-forward network can be computed.
    public var feedForward: Set<Int>
    /// Whether the output head is loaded.
    public var head: Bool

    public init(
        queryKeyValue: Set<Int> = [], output: Set<Int> = [], feedForward: Set<Int> = [], head: Bool = false
    ) {
        self.queryKeyValue = queryKeyValue
        self.output = output
        self.feedForward = feedForward
        self.head = head
    }

    /// All products of a model.
    public static func all(_ configuration: DecoderConfiguration) -> DecoderParts {
        let blocks = Set(0..<configuration.blockCount)
        return DecoderParts(queryKeyValue: blocks, output: blocks, feedForward: blocks, head: true)
    }
}

extension Decoder {
    /// Loads the weights of a checkpoint, packed for the kernels in the chosen precision.
    ///
    /// Each tensor's pages are given back to the system once it is packed, so that loading needs little more memory
    /// than the packed weights.
    ///
    /// - Parameters:
    ///   - checkpoint: The checkpoint with the weights.
    ///   - format: Precision of the matrices; norms and biases stay in float32.
    ///   - pool: Threads that pack now and compute later.
    ///   - parts: What to load; nil for the whole model.
    ///   - shard: The part of each site's outputs to load. A decoder with a shard can compute ``ringProduct(_:_:)``
    ///     and nothing else.
    ///   - progress: Called with the fraction done, 0 to 1, after each block.
    /// - Throws: ``LoadError`` that names the file and the tensor.
    public convenience init(
        _ checkpoint: Checkpoint, format: WeightFormat, pool: ThreadPool, parts: DecoderParts? = nil,
        shard: Shard = .whole, progress: (_ fraction: Double) -> Void = { _ in }
    ) throws(LoadError) {
        let configuration = checkpoint.configuration
        let parts = parts ?? .all(configuration)
        let loader = Loader(checkpoint: checkpoint, format: format, pool: pool, shard: shard)
        // Before any work, so that a missing tensor is found at once and not at 90 %.
        do { try checkpoint.validate() } catch { throw .checkpoint(error) }
        let steps = Double(configuration.blockCount + 1)
        var blocks: [Block] = []
        for index in 0..<configuration.blockCount {
            blocks.append(try loader.block(index, parts))
            progress(Double(index + 1) / steps)
        }
        let head = parts.head ? try loader.site(.head) : nil
        progress(1)
        self.init(
            configuration: configuration, pool: pool, format: format, shard: shard, blocks: blocks,
            finalNorm: try loader.vector(DecoderConfiguration.finalNormName, configuration.hiddenSize),
            head: head)
    }
}

extension Decoder {
    /// Loads one site of a checkpoint, without the rest of the model.
    ///
    /// - Parameters:
    ///   - site: The site.
    ///   - checkpoint: The checkpoint with its tensors.
    ///   - format: The format in which the weights are held.
    ///   - pool: Threads that pack.
    ///   - shard: The part of its outputs to load.
    /// - Returns: The weights, and the whole site's bias, which is empty when it has none.
    /// - Throws: ``LoadError`` that names the file and the tensor.
    public static func loadSite(
        _ site: DecoderSite, of checkpoint: Checkpoint, format: WeightFormat, pool: ThreadPool,
        shard: Shard = .whole
    ) throws(LoadError) -> (weights: PackedMatrix, bias: [Float]) {
        let loader = Loader(checkpoint: checkpoint, format: format, pool: pool, shard: shard)
        let loaded = try loader.site(site)
        return (loaded.weights, loaded.bias)
    }
}

/// Reads tensors and packs them.
private struct Loader {
    let checkpoint: Checkpoint
    let format: WeightFormat
    let pool: ThreadPool
    let shard: Shard

    var configuration: DecoderConfiguration { checkpoint.configuration }

    func block(_ index: Int, _ parts: DecoderParts) throws(LoadError) -> Decoder.Block {
        let feedForward = parts.feedForward.contains(index)
        return Decoder.Block(
            attentionNorm: try vector(.attentionNorm, index),
            queryKeyValue: try parts.queryKeyValue.contains(index) ? site(.queryKeyValue(block: index)) : nil,
            queryNorm: try vector(.queryNorm, index),
            keyNorm: try vector(.keyNorm, index),
            output: try parts.output.contains(index) ? site(.output(block: index)) : nil,
            feedForwardNorm: try vector(.feedForwardNorm, index),
            gateUp: try feedForward ? site(.gateUp(block: index)) : nil,
            down: try feedForward ? site(.down(block: index)) : nil)
    }

    func site(_ site: DecoderSite) throws(LoadError) -> Decoder.LinearSite {
        switch site {
        case .queryKeyValue(let block):
            try self.site(block, [(.query, .queryBias), (.key, .keyBias), (.value, .valueBias)])
        case .output(let block): try self.site(block, [(.output, .outputBias)])
        case .gateUp(let block): try self.site(block, [(.gate, .gateBias), (.up, .upBias)])
        case .down(let block): try self.site(block, [(.down, .downBias)])
        case .head:
            try self.site([
                TensorPlan(
                    name: configuration.outputHeadName,
                    shape: [configuration.vocabularySize, configuration.hiddenSize])
            ])
        }
    }

    /// Loads a fused product of a block: matrices with a common input, one above the other.
    private func site(_ index: Int, _ parts: [(weight: BlockTensor, bias: BlockTensor)]) throws(LoadError)
        -> Decoder.LinearSite
    {
        var plans: [TensorPlan] = []
        var bias: [Float] = []
        for part in parts {
            guard let shape = configuration.shape(of: part.weight) else {
                preconditionFailure("Loader: \(part.weight) is not part of this model")
            }
            plans.append(TensorPlan(name: part.weight.name(block: index), shape: shape))
            bias += try vector(part.bias, index)
        }
        return try site(plans, bias: bias)
    }

    private func site(_ plans: [TensorPlan], bias: [Float] = []) throws(LoadError) -> Decoder.LinearSite {
        let part = shard.range(of: plans.reduce(0) { $0 + $1.shape[0] })
        guard !part.isEmpty else {
            throw .kernel(
                path: checkpoint.directory, tensor: plans[0].name,
                .emptyShard(index: shard.index, of: shard.count))
        }
        let weights: PackedMatrix
        do {
            weights = try PackedMatrix(rows: part.count, columns: plans[0].shape[1], format: format)
        } catch {
            throw .kernel(path: checkpoint.directory, tensor: plans[0].name, error)
        }
        let tensors = try plans.map { plan throws(LoadError) in try tensor(plan.name, plan.shape) }
        for tensor in tensors { tensor.prefetch() }
        var row = 0
        for (plan, tensor) in zip(plans, tensors) {
            let own = part.clamped(to: row..<row + plan.shape[0])
            let rowBytes = plan.shape[1] * tensor.type.byteCount
            unsafe tensor.withUnsafeBytes { bytes in
                let start = (own.lowerBound - row) * rowBytes
                unsafe weights.pack(
                    UnsafeRawBufferPointer(rebasing: bytes[start..<start + own.count * rowBytes]),
                    as: tensor.type, firstRow: own.isEmpty ? 0 : own.lowerBound - part.lowerBound,
                    count: own.count, pool: pool)
            }
            tensor.discard()
            row += plan.shape[0]
        }
        return Decoder.LinearSite(weights: weights, bias: bias)
    }

    /// Loads a vector of a block; empty when this model has none.
    func vector(_ tensor: BlockTensor, _ index: Int) throws(LoadError) -> [Float] {
        guard let shape = configuration.shape(of: tensor) else { return [] }
        return try vector(tensor.name(block: index), shape[0])
    }

    func vector(_ name: String, _ count: Int) throws(LoadError) -> [Float] {
        let tensor = try tensor(name, [count])
        return tensor.values()
    }

    private func tensor(_ name: String, _ shape: [Int]) throws(LoadError) -> StoredTensor {
        do { return try checkpoint.tensor(name, shape: shape) } catch { throw .checkpoint(error) }
    }
}
