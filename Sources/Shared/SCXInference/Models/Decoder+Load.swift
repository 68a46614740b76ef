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
    /// Whether the output head is loaded, where the model has one.
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
        var tower: Decoder?
        if let view = checkpoint.tower {
            tower = try Decoder(
                view, format: format, pool: pool, parts: parts == nil ? nil : DecoderParts(), shard: shard)
        }
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
        let head = parts.head && configuration.hasHead ? try loader.site(.head) : nil
        progress(1)
        self.init(
            configuration: configuration, pool: pool, format: format, shard: shard, blocks: blocks,
            finalNorm: try loader.finalNorm(), head: head, tower: tower)
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
        let loaded = try loadGroups(site, of: checkpoint, format: format, pool: pool, shard: shard)
        precondition(loaded.groups.count == 1, "Decoder: a site of several matrices")
        return (loaded.groups[0], loaded.bias)
    }

    /// Loads one site of a checkpoint, without the rest of the model: a matrix for each of its groups.
    ///
    /// The parameters and errors are those of ``loadSite(_:of:format:pool:shard:)``.
    public static func loadGroups(
        _ site: DecoderSite, of checkpoint: Checkpoint, format: WeightFormat, pool: ThreadPool,
        shard: Shard = .whole
    ) throws(LoadError) -> (groups: [PackedMatrix], bias: [Float]) {
        if let view = checkpoint.tower, let (_, own) = checkpoint.configuration.towerSite(site) {
            return try loadGroups(own, of: view, format: format, pool: pool, shard: shard)
        }
        let loaded = try Loader(checkpoint: checkpoint, format: format, pool: pool, shard: shard).site(site)
        return (loaded.groups, loaded.bias)
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
        let isDense = configuration.feedForwardSize(of: index) != nil
        return Decoder.Block(
            attentionNorm: try norm(.attentionNorm, .attentionNormBias, index),
            queryKeyValue: try parts.queryKeyValue.contains(index) ? site(.queryKeyValue(block: index)) : nil,
            sinks: try vector(.sinks, index),
            queryNorm: try vector(.queryNorm, index, adding: configuration.normOffset),
            keyNorm: try vector(.keyNorm, index, adding: configuration.normOffset),
            output: try parts.output.contains(index) ? site(.output(block: index)) : nil,
            attentionResultNorm: try norm(.attentionResultNorm, .attentionResultNormBias, index),
            feedForwardNorm: try norm(.feedForwardNorm, .feedForwardNormBias, index),
            gateUp: try feedForward && isDense ? site(.gateUp(block: index)) : nil,
            down: try feedForward && isDense ? site(.down(block: index)) : nil,
            feedForwardResultNorm: try norm(.feedForwardResultNorm, .feedForwardResultNormBias, index),
            experts: try experts(index, isLoaded: feedForward),
            latent: try latent(index, parts))
    }

    /// The norms of latent attention, and its products if they are wanted; nil where the attention is another one.
    private func latent(_ index: Int, _ parts: DecoderParts) throws(LoadError) -> Decoder.LatentLayer? {
        guard let latent = configuration.latent else { return nil }
        let queries = parts.queryKeyValue.contains(index)
        return Decoder.LatentLayer(
            queryNorm: try vector(.queryDownNorm, index), latentNorm: try vector(.latentNorm, index),
            queryUp: try queries && latent.queryRank != nil ? site(.queryUp(block: index)) : nil,
            queryLatent: try queries ? site(.queryLatent(block: index)) : nil,
            valueUp: try parts.output.contains(index) ? site(.valueUp(block: index)) : nil)
    }

    /// The router of a block and, if they are wanted, its experts; nil for a dense block.
    private func experts(_ index: Int, isLoaded: Bool) throws(LoadError) -> Decoder.ExpertLayer? {
        guard let experts = configuration.experts, configuration.hasExperts(index) else { return nil }
        let router: PackedMatrix
        do {
            router = try PackedMatrix(rows: experts.count, columns: configuration.hiddenSize, format: .f32)
        } catch {
            throw .kernel(
                path: checkpoint.directory, tensor: configuration.name(of: .router, block: index), error)
        }
        let scores = try matrix(.router, index)
        unsafe router.pack(scores.span.bytes, as: .f32, firstRow: 0, count: experts.count, pool: pool)
        return Decoder.ExpertLayer(
            router: router, routerBias: try vector(.routerBias, index),
            choiceBias: try vector(.choiceBias, index), sharedScore: try matrix(.sharedScore, index),
            gateUp: try isLoaded ? site(.expertGateUp(block: index)) : nil,
            down: try isLoaded ? site(.expertDown(block: index)) : nil)
    }

    func finalNorm() throws(LoadError) -> HiddenNorm {
        do { return try HiddenNorm(final: checkpoint) } catch { throw .checkpoint(error) }
    }

    private func norm(
        _ weight: BlockTensor, _ bias: BlockTensor, _ index: Int
    ) throws(LoadError) -> HiddenNorm {
        HiddenNorm(
            configuration, weight: try vector(weight, index, adding: configuration.normOffset),
            bias: try vector(bias, index))
    }

    func site(_ site: DecoderSite) throws(LoadError) -> Decoder.LinearSite {
        switch site {
        case .queryKeyValue(let block):
            try self.site(
                block,
                [
                    (.query, .queryBias), (.queryDown, .queryDownBias), (.latentDown, .latentDownBias),
                    (.key, .keyBias), (.value, .valueBias),
                ])
        case .queryUp(let block):
            try self.site([.queryUp].compactMap { configuration.place(of: $0, block: block) })
        case .queryLatent(let block), .valueUp(let block):
            try groups(
                configuration.headCount, configuration.name(of: .latentUp, block: block)
            ) { head in [configuration.place(of: site, head: head)].compactMap(\.self) }
        case .output(let block): try self.site(block, [(.output, .outputBias)])
        case .gateUp(let block) where configuration.hasExperts(block):
            try self.site(
                [.sharedGate, .sharedUp].compactMap { configuration.place(of: $0, block: block) })
        case .down(let block) where configuration.hasExperts(block):
            try self.site([.sharedDown].compactMap { configuration.place(of: $0, block: block) })
        case .gateUp(let block): try self.site(block, [(.gate, .gateBias), (.up, .upBias)])
        case .down(let block): try self.site(block, [(.down, .downBias)])
        case .expertGateUp(let block): try experts([.gate, .up], of: block)
        case .expertDown(let block): try experts([.down], of: block)
        case .head:
            try self.site([
                TensorPlace(
                    stored: TensorPlan(
                        name: configuration.outputHeadName,
                        shape: [configuration.vocabularySize, configuration.hiddenSize]),
                    rows: 0..<configuration.vocabularySize, isTransposed: false)
            ])
        }
    }

    /// Loads a fused product of a block: matrices with a common input, one above the other.
    private func site(_ index: Int, _ parts: [(weight: BlockTensor, bias: BlockTensor)]) throws(LoadError)
        -> Decoder.LinearSite
    {
        var places: [TensorPlace] = []
        var bias: [Float] = []
        for part in parts {
            guard let place = configuration.place(of: part.weight, block: index) else { continue }
            places.append(place)
            bias += try vector(part.bias, index)
        }
        return try site(places, bias: bias)
    }

    private func site(_ places: [TensorPlace], bias: [Float] = []) throws(LoadError) -> Decoder.LinearSite {
        let (part, columns) = try shape(places)
        let weights: PackedMatrix
        do { weights = try PackedMatrix(rows: part.count, columns: columns, format: format) } catch {
            throw .kernel(path: checkpoint.directory, tensor: places[0].stored.name, error)
        }
        try pack(places, part, into: weights)
        let rests = [Float](repeating: 0, count: (planes - 1) * bias.count)
        return Decoder.LinearSite(weights: weights, bias: bias + rests, planes: planes)
    }

    /// How many matrices of int8 hold the weights of a site, one above the other.
    private var planes: Int { format == .int8 ? configuration.ringPlanes : 1 }

    /// Loads the same matrices of all experts of a block.
    private func experts(_ tensors: [ExpertTensor], of block: Int) throws(LoadError) -> Decoder.LinearSite {
        let name = configuration.name(of: .router, block: block)
        let site = try groups(configuration.experts?.count ?? 0, name) { expert in
            tensors.compactMap { configuration.place(of: $0, expert: expert, block: block) }
        }
        let isDown = tensors.contains(.down)
        let plans = configuration.expertBiases(
            of: isDown ? .expertDown(block: block) : .expertGateUp(block: block))
        let stored = try plans.map { plan throws(LoadError) in try tensor(plan.name, plan.shape).values() }
        var bias: [Float] = []
        for expert in site.groups.indices {
            for (plan, values) in zip(plans, stored) {
                bias += values[expert * plan.shape[1]..<(expert + 1) * plan.shape[1]]
            }
        }
        return Decoder.LinearSite(groups: site.groups, bias: bias)
    }

    /// Loads the matrices of a site with several, in one piece of memory.
    private func groups(
        _ count: Int, _ name: String, _ places: (_ group: Int) -> [TensorPlace]
    ) throws(LoadError) -> Decoder.LinearSite {
        let (part, columns) = try shape(places(0))
        // Each one begins at a panel of its own.
        let stride = (part.count + 15) / 16 * 16
        let whole: PackedMatrix
        do { whole = try PackedMatrix(rows: count * stride, columns: columns, format: format) } catch {
            throw .kernel(path: checkpoint.directory, tensor: name, error)
        }
        let groups = (0..<count).map { whole.matrix(ofRows: $0 * stride..<$0 * stride + part.count) }
        for (index, group) in groups.enumerated() { try pack(places(index), part, into: group) }
        return Decoder.LinearSite(groups: groups, bias: [])
    }

    /// The part of the outputs that is loaded, and how many inputs there are.
    private func shape(_ places: [TensorPlace]) throws(LoadError) -> (part: Range<Int>, columns: Int) {
        let shape = places[0].stored.shape
        let part = shard.range(of: planes * places.reduce(0) { $0 + $1.rows.count })
        guard !part.isEmpty else {
            throw .kernel(
                path: checkpoint.directory, tensor: places[0].stored.name,
                .emptyShard(index: shard.index, of: shard.count))
        }
        return (part, places[0].isTransposed ? places[0].inputs?.count ?? shape[0] : shape[shape.count - 1])
    }

    /// Packs the rows of these tensors that are in `part`, one tensor above the other.
    private func pack(
        _ places: [TensorPlace], _ part: Range<Int>, into weights: PackedMatrix
    ) throws(LoadError) {
        let tensors = try places.map { place throws(LoadError) in
            try tensor(place.stored.name, place.stored.shape)
        }
        for tensor in tensors { tensor.prefetch() }
        var row = 0
        for (place, tensor) in zip(places, tensors) {
            let own = part.clamped(to: row..<row + place.rows.count)
            let first = place.rows.lowerBound + own.lowerBound - row
            pack(
                tensor, rows: first..<first + own.count, place, into: weights,
                at: own.isEmpty ? 0 : own.lowerBound - part.lowerBound)
            row += place.rows.count
        }
        for (place, tensor) in zip(places, tensors) where planes > 1 {
            let own = part.clamped(to: row..<row + place.rows.count)
            let first = place.rows.lowerBound + own.lowerBound - row
            if !own.isEmpty {
                try packRest(
                    of: tensor, rows: first..<first + own.count, place, into: weights,
                    at: own.lowerBound - part.lowerBound)
            }
            row += place.rows.count
        }
        for tensor in tensors { tensor.discard() }
    }

    /// Packs what the rounding of rows of a stored matrix leaves.
    private func packRest(
        of tensor: StoredTensor, rows: Range<Int>, _ place: TensorPlace, into weights: PackedMatrix,
        at row: Int
    ) throws(LoadError) {
        do throws(KernelError) {
            // Some rows at a time, since they are held in float32.
            for first in stride(from: rows.lowerBound, to: rows.upperBound, by: 1_024) {
                let some = first..<min(first + 1_024, rows.upperBound)
                let exact = try PackedMatrix(rows: some.count, columns: weights.columns, format: .f32)
                let rounded = try PackedMatrix(rows: some.count, columns: weights.columns, format: format)
                pack(tensor, rows: some, place, into: exact, at: 0)
                pack(tensor, rows: some, place, into: rounded, at: 0)
                weights.pack(
                    restOf: exact, in: rounded, at: row + first - rows.lowerBound, pool: pool)
            }
        } catch { throw .kernel(path: checkpoint.directory, tensor: tensor.name, error) }
    }

    /// Packs rows of a stored matrix, or columns of it where it is stored the other way round.
    private func pack(
        _ tensor: StoredTensor, rows: Range<Int>, _ place: TensorPlace, into weights: PackedMatrix,
        at row: Int
    ) {
        guard !tensor.isQuantized else {
            guard place.isTransposed else {
                return tensor.packQuantized(rows, into: weights, at: row, pool: pool)
            }
            return tensor.packTurned(
                rows, inputs: place.inputs ?? 0..<tensor.shape[0], into: weights, at: row, pool: pool)
        }
        unsafe tensor.withUnsafeBytes { bytes in
            let (size, columns) = (tensor.type.byteCount, weights.columns)
            guard place.isTransposed else {
                let bytes = unsafe bytes[rows.lowerBound * columns * size..<rows.upperBound * columns * size]
                unsafe weights.pack(
                    UnsafeRawBufferPointer(rebasing: bytes), as: tensor.type, firstRow: row,
                    count: rows.count,
                    pool: pool)
                return
            }
            let stride = tensor.shape[tensor.shape.count - 1] * size
            let start = (place.inputs?.lowerBound ?? 0) * stride
            var turned = [UInt8](repeating: 0, count: rows.count * columns * size)
            for column in 0..<columns {
                for (i, r) in rows.enumerated() {
                    for byte in 0..<size {
                        unsafe turned[(i * columns + column) * size + byte] =
                            bytes[start + column * stride + r * size + byte]
                    }
                }
            }
            unsafe turned.withUnsafeBytes {
                unsafe weights.pack($0, as: tensor.type, firstRow: row, count: rows.count, pool: pool)
            }
        }
    }

    /// Loads a vector of a block, with a number added to each element; empty when this model has none.
    func vector(_ tensor: BlockTensor, _ index: Int, adding offset: Float = 0) throws(LoadError) -> [Float] {
        guard let place = configuration.place(of: tensor, block: index) else { return [] }
        let values = try self.tensor(place.stored.name, place.stored.shape).values()[place.rows]
        return offset == 0 ? Array(values) : values.map { $0 + offset }
    }

    /// Loads a small matrix of a block in float32; empty when the block has none.
    private func matrix(_ tensor: BlockTensor, _ index: Int) throws(LoadError) -> [Float] {
        do { return try checkpoint.values(of: tensor, block: index) ?? [] } catch { throw .checkpoint(error) }
    }

    private func tensor(_ name: String, _ shape: [Int]) throws(LoadError) -> StoredTensor {
        do { return try checkpoint.tensor(name, shape: shape) } catch { throw .checkpoint(error) }
    }
}
