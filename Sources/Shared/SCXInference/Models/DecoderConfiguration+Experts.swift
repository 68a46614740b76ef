extension DecoderConfiguration {
    /// How the feed-forward network of some blocks is divided into experts, of which each token takes a few.
    ///
    /// A router, which is one small matrix, gives each expert a score for each token; the token takes the experts with
    /// the largest scores, and the results are added with weights that are made of the scores. See Shazeer et al. 2017,
    /// "Outrageously Large Neural Networks" (<https://arxiv.org/abs/1701.06538>).
    public struct Experts: Equatable, Sendable {
        /// How many experts a block has; at most ``limit``.
        public var count: Int
        /// How many of them a token takes.
        public var perToken: Int
        /// Channels of an expert's activation.
        public var feedForwardSize: Int
        /// Channels of the activation of the expert that every token takes; nil where there is none.
        public var sharedSize: Int?
        /// Whether the shared expert's result is multiplied by the sigmoid of a learned score.
        public var sharedHasGate = false
        /// Whether the weights of a token's experts are divided by their sum, so that they add up to 1.
        public var isNormalized = true
        /// How scores become probabilities.
        public var scoring = Scoring.softmax
        /// Whether the router has a bias.
        public var hasRouterBias = false
        /// Whether a learned number is added to each expert's probability for the choice of experts alone.
        public var hasChoiceBias = false
        /// The groups of experts from which a token's experts are chosen; nil for a choice from all.
        public var grouping: Grouping?
        /// The factor of the weights of a token's experts.
        public var scale: Float = 1
        /// Which blocks have experts; the others have one dense feed-forward network.
        public var blocks: [Bool]
        /// Whether the checkpoint holds the matrices of all experts of a block as one tensor.
        public var isFused = false
        /// Whether such tensors hold each expert's matrix as `[inputs, outputs]`.
        public var isTransposed = false
        /// Whether the products of the experts have biases.
        public var hasBias = false

        public init(count: Int, perToken: Int, feedForwardSize: Int, blocks: [Bool]) {
            self.count = count
            self.perToken = perToken
            self.feedForwardSize = feedForwardSize
            self.blocks = blocks
        }

        /// How the router's scores become probabilities.
        public enum Scoring: Equatable, Sendable {
            /// Over all experts.
            case softmax
            /// Of each expert by itself.
            case sigmoid
        }

        /// Equal groups of consecutive experts; a token chooses some groups first, then experts of these.
        public struct Grouping: Equatable, Sendable {
            public var count: Int
            /// How many groups a token chooses.
            public var perToken: Int
            /// By how many of its largest probabilities, added, a group is rated.
            public var rated: Int

            public init(count: Int, perToken: Int, rated: Int) {
                (self.count, self.perToken, self.rated) = (count, perToken, rated)
            }
        }

        /// The most experts of a block.
        public static let limit = 1 << 10
        /// The most experts of all blocks together, so that the list of a model's tensors has a bound.
        public static let totalLimit = 1 << 17
    }

    /// Whether a block's feed-forward network is divided into experts.
    public func hasExperts(_ block: Int) -> Bool { experts?.blocks[block] ?? false }

    /// Channels of the activation of a block's dense network, or of its shared expert; nil where it has neither.
    public func feedForwardSize(of block: Int) -> Int? {
        hasExperts(block) ? experts?.sharedSize : feedForwardSize
    }

    /// The sites of the model, in the order of a forward pass.
    public var sites: [DecoderSite] {
        (0..<blockCount).flatMap { block -> [DecoderSite] in
            let dense = feedForwardSize(of: block) != nil
            var sites: [DecoderSite] = [.queryKeyValue(block: block)]
            if latent?.queryRank != nil { sites.append(.queryUp(block: block)) }
            if latent != nil { sites += [.queryLatent(block: block), .valueUp(block: block)] }
            sites.append(.output(block: block))
            if hasExperts(block) { sites.append(.expertGateUp(block: block)) }
            if dense { sites.append(.gateUp(block: block)) }
            if hasExperts(block) { sites.append(.expertDown(block: block)) }
            if dense { sites.append(.down(block: block)) }
            return sites
        } + (hasHead ? [.head] : [])
            + (vision?.encoder.sites.map { $0.moved(by: blockCount) } ?? [])
    }

    /// Whether the model has a site; false for blocks that it does not have.
    public func has(_ site: DecoderSite) -> Bool {
        if let (tower, site) = towerSite(site) { return tower.has(site) }
        return switch site {
        case .queryKeyValue(let block), .output(let block): (0..<blockCount).contains(block)
        case .gateUp(let block), .down(let block):
            (0..<blockCount).contains(block) && feedForwardSize(of: block) != nil
        case .queryUp(let block): (0..<blockCount).contains(block) && latent?.queryRank != nil
        case .queryLatent(let block), .valueUp(let block):
            (0..<blockCount).contains(block) && latent != nil
        case .expertGateUp(let block), .expertDown(let block):
            (0..<blockCount).contains(block) && hasExperts(block)
        case .head: hasHead
        }
    }

    /// How many matrices of equal shape a site has; each multiplies channels of its own, so that together they are one
    /// matrix with these blocks on its diagonal.
    public func groups(of site: DecoderSite) -> Int {
        if let (tower, site) = towerSite(site) { return tower.groups(of: site) }
        return switch site {
        case .expertGateUp, .expertDown: experts?.count ?? 1
        case .queryLatent, .valueUp: latent == nil ? 1 : headCount
        case .queryKeyValue, .queryUp, .output, .gateUp, .down, .head: 1
        }
    }

    /// How many channels the input rows of a site have, in all groups together; 0 when the model has no such site.
    public func inputs(of site: DecoderSite) -> Int {
        guard has(site) else { return 0 }
        if let (tower, site) = towerSite(site) { return tower.inputs(of: site) }
        return switch site {
        case .queryKeyValue, .gateUp, .head: hiddenSize
        case .queryUp: latent?.queryRank ?? 0
        case .queryLatent: headCount * (latent?.plainSize ?? 0)
        case .valueUp: headCount * (latent?.rank ?? 0)
        case .output: attendedSize
        case .down(let block): feedForwardSize(of: block) ?? 0
        case .expertGateUp: groups(of: site) * hiddenSize
        case .expertDown: groups(of: site) * (experts?.feedForwardSize ?? 0)
        }
    }

    /// How many channels the output rows of a site have, in all groups together; 0 when the model has no such site.
    public func outputs(of site: DecoderSite) -> Int {
        guard has(site) else { return 0 }
        if let (tower, site) = towerSite(site) { return tower.outputs(of: site) }
        let gates = isGated ? 2 : 1
        return switch site {
        case .queryKeyValue: projectedSize
        case .queryUp: headCount * (latent?.querySize ?? 0)
        case .queryLatent: headCount * (latent?.rank ?? 0)
        case .valueUp: attendedSize
        case .gateUp(let block): gates * (feedForwardSize(of: block) ?? 0)
        case .expertGateUp: gates * groups(of: site) * (experts?.feedForwardSize ?? 0)
        case .expertDown: groups(of: site) * hiddenSize
        case .output, .down: hiddenSize
        case .head: vocabularySize
        }
    }

    /// How many weights a token is multiplied by in all blocks: all those of the dense sites, and those of the experts
    /// that it takes.
    public var weightsPerToken: Int {
        sites.reduce(0) { sum, site in
            if site == .head || towerSite(site) != nil { return sum }
            let groups = groups(of: site)
            let isExpert = site.isOfExperts
            let used = isExpert ? experts?.perToken ?? 1 : groups
            return sum + used * (inputs(of: site) / groups) * (outputs(of: site) / groups)
        }
    }

    /// Where a matrix of one expert is stored: in a tensor of its own, or among those of all experts of the block.
    ///
    /// - Precondition: The block has this expert.
    public func place(of tensor: ExpertTensor, expert: Int, block: Int) -> TensorPlace? {
        guard let experts, isGated || tensor != .gate else { return nil }
        precondition(hasExperts(block) && (0..<experts.count).contains(expert), "Decoder: no such expert")
        let size = experts.feedForwardSize
        let shape = tensor == .down ? [hiddenSize, size] : [size, hiddenSize]
        let prefix = "\(layout.prefix)\(layout.blocks)\(block).\(layout.experts)"
        if layout.stacksExperts {
            return TensorPlace(
                stored: TensorPlan(name: prefix + layout.name(tensor), shape: [experts.count] + shape),
                rows: expert * shape[0]..<(expert + 1) * shape[0], isTransposed: false)
        }
        guard experts.isFused else {
            return TensorPlace(
                stored: TensorPlan(name: "\(prefix)\(expert).\(layout.name(tensor))", shape: shape),
                rows: 0..<shape[0], isTransposed: false)
        }
        let parts = tensor == .down ? 1 : isGated ? 2 : 1
        let first = (expert * parts + (tensor == .up && isGated ? 1 : 0)) * shape[0]
        let stored = TensorPlan(
            name: prefix + (tensor == .down ? layout.fusedDown : layout.fusedGateUp),
            shape: experts.isTransposed
                ? [experts.count, shape[1], parts * shape[0]] : [experts.count, parts * shape[0], shape[1]])
        guard experts.isTransposed else {
            return TensorPlace(stored: stored, rows: first..<first + shape[0], isTransposed: false)
        }
        let row = tensor == .up && isGated ? shape[0] : 0
        return TensorPlace(
            stored: stored, rows: row..<row + shape[0], isTransposed: true,
            inputs: expert * shape[1]..<(expert + 1) * shape[1])
    }

    /// The biases of all experts of a block for a site, `[experts, outputs]` for each matrix of an expert or for all of
    /// them; empty where there are none.
    func expertBiases(of site: DecoderSite) -> [TensorPlan] {
        guard let experts, experts.hasBias, has(site) else { return [] }
        let (block, fused, tensors): (Int, String, [ExpertTensor])
        switch site {
        case .expertGateUp(let index):
            (block, fused, tensors) = (index, layout.fusedGateUp, isGated ? [.gate, .up] : [.up])
        case .expertDown(let index): (block, fused, tensors) = (index, layout.fusedDown, [.down])
        default: return []
        }
        let prefix = "\(layout.prefix)\(layout.blocks)\(block).\(layout.experts)"
        let names =
            layout.stacksExperts
            ? tensors.map { layout.name($0).replacing(".weight", with: ".bias") } : [fused + "_bias"]
        let width = outputs(of: site) / experts.count / names.count
        return names.map { TensorPlan(name: prefix + $0, shape: [experts.count, width]) }
    }

    /// The stored tensors of a block's experts.
    func expertTensors(of block: Int) -> [TensorPlan] {
        guard let experts, hasExperts(block) else { return [] }
        var plans = [.expertGateUp(block: block), .expertDown(block: block)].flatMap(expertBiases)
        let isOne = experts.isFused || layout.stacksExperts
        for expert in 0..<(isOne ? 1 : experts.count) {
            for tensor in ExpertTensor.allCases where !(experts.isFused && isGated && tensor == .up) {
                if let place = place(of: tensor, expert: expert, block: block) { plans.append(place.stored) }
            }
        }
        return plans
    }
}

/// The matrices of one expert, `[outputs, inputs]`; the raw values are the names that most families use.
public enum ExpertTensor: String, CaseIterable, Sendable {
    case gate = "gate_proj.weight"
    case up = "up_proj.weight"
    case down = "down_proj.weight"
}

extension DecoderConfiguration {
    /// Reads the experts of Qwen's models: which blocks have them, how many, and how large they are.
    ///
    /// - Parameters:
    ///   - reader: The configuration.
    ///   - count: The default number of experts.
    ///   - perToken: The default number of those that a token takes.
    ///   - size: The default number of channels of an expert's activation.
    /// - Returns: The experts, without a shared one.
    /// - Throws: ``CheckpointError`` that names the field.
    func readExperts(
        _ reader: ConfigurationReader, count: Int, perToken: Int, size: Int
    ) throws(CheckpointError) -> Experts {
        let step = try reader.size("decoder_sparse_step", limit: 1 << 10) ?? 1
        var blocks = (1...blockCount).map { $0 % step == 0 }
        if let list = reader.value("mlp_only_layers") {
            let dense = (list.array ?? []).compactMap(\.int)
            guard let all = list.array, dense.count == all.count,
                dense.allSatisfy({ (0..<blockCount).contains($0) })
            else { throw reader.fault("mlp_only_layers", "is not a list of blocks below \(blockCount)") }
            for block in dense { blocks[block] = false }
        }
        let field = reader.value("num_experts") == nil ? "num_local_experts" : "num_experts"
        var experts = try readExperts(
            reader, field, count: count, perToken: perToken, blocks: blocks,
            size: try reader.size("moe_intermediate_size", limit: 1 << 20) ?? size)
        experts.isNormalized = try reader.flag("norm_topk_prob") ?? false
        return experts
    }

    /// Reads how many experts there are, and how many a token takes.
    ///
    /// - Parameters:
    ///   - reader: The configuration.
    ///   - field: The field with the number of experts.
    ///   - count: Its default.
    ///   - perToken: The default number of those that a token takes.
    ///   - blocks: Which blocks have experts.
    ///   - size: Channels of an expert's activation.
    /// - Returns: The experts, without a shared one.
    /// - Throws: ``CheckpointError`` that names the field.
    func readExperts(
        _ reader: ConfigurationReader, _ field: String, count: Int, perToken: Int, blocks: [Bool], size: Int
    ) throws(CheckpointError) -> Experts {
        let count = try reader.size(field, limit: Experts.limit) ?? count
        let perToken = try reader.size("num_experts_per_tok", limit: Experts.limit) ?? perToken
        guard perToken <= count else {
            throw reader.fault("num_experts_per_tok", "is \(perToken), and there are \(count) experts")
        }
        guard blocks.count(where: { $0 }) * count <= Experts.totalLimit else {
            throw reader.fault(
                field, "is \(count), which is more than \(Experts.totalLimit) experts in all blocks together")
        }
        return Experts(count: count, perToken: perToken, feedForwardSize: size, blocks: blocks)
    }
}
