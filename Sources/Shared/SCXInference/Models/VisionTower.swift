/// An encoder of pictures, with what comes before its blocks and after them.
///
/// A picture is cut into square patches. Each becomes a row by one product, gets the vector of its position, and goes
/// through the blocks with all others at once, as the tokens of a text do in BERT; see Dosovitskiy et al. 2020, "An
/// Image is Worth 16x16 Words" (<https://arxiv.org/abs/2010.11929>). The blocks are a ``DecoderConfiguration`` of their
/// own, so that all that computes an encoder computes them. What comes before and after them is small, and the trusted
/// side computes it by itself.
public struct VisionTower: Equatable, Sendable {
    /// The blocks that are computed, which may be fewer than the checkpoint has, and the norm after them.
    public var encoder: DecoderConfiguration
    /// Rows and columns of a picture.
    public var imageSize: Int
    /// Rows and columns of a patch; what a picture has beyond whole patches is left out.
    public var patchSize: Int
    /// Channels of a picture: 3 where it has colours.
    public var channelCount: Int
    /// Whether a learned row comes before those of the patches.
    public var hasClassRow: Bool
    public var patchHasBias: Bool
    /// Whether rows are normed before the first block.
    public var normsInput: Bool
    public var result: Result
    public var names: Names
    /// How many blocks the checkpoint has.
    public var storedBlocks: Int

    /// What is made of the rows after the blocks.
    public enum Result: Equatable, Sendable {
        /// One vector of each picture.
        case vector(Pooling, Projection?)
        /// Rows that take the place of embedded tokens of a decoder.
        case tokens(Tokens)
    }

    /// How the rows of a picture become one vector.
    public enum Pooling: Equatable, Sendable {
        /// The learned row.
        case first
        case mean
        /// Attention of one learned query over all rows, and a feed-forward network, as in SigLIP.
        case attention
    }

    /// A product with a pooled vector.
    public struct Projection: Equatable, Sendable {
        /// The name of the tensors before `.weight`, `[outputs, hiddenSize]`, and `.bias`.
        public var name: String
        public var outputs: Int
        public var hasBias: Bool
        /// Whether the results are logits of labels rather than a vector that is compared with others.
        public var givesLabels: Bool
    }

    /// How rows of pictures take the place of tokens.
    public struct Tokens: Equatable, Sendable {
        /// The token at whose places they are.
        public var token: Int
        /// Whether the tokens of a picture attend to each other in both directions.
        public var isMutual: Bool
        /// How many picture tokens there may be one after the other; nil for any number.
        public var longestRun: Int?
        /// Rows at the beginning that are left out: 1 without the learned row, where it is not wanted.
        public var skippedRows: Int
        public var projector: Projector
    }

    /// What turns rows of the encoder into rows of the decoder.
    public enum Projector: Equatable, Sendable {
        /// Two products with a function between them, as in LLaVA.
        case network(Activation, hasBias: Bool)
        /// The mean of squares of neighbouring patches, a norm and a product, as in Gemma 3: so many rows and columns.
        case pooled(side: Int)
    }

    /// What the checkpoint's tensors are called.
    public struct Names: Equatable, Sendable {
        /// What may come before the names of the tower's tensors; the first that fits a checkpoint is taken.
        public var prefixes: [String]
        public var classRow = "embeddings.class_embedding"
        public var patches = "embeddings.patch_embedding"
        public var positions = "embeddings.position_embedding.weight"
        /// Dimensions of 1 before those of the learned row and the positions.
        public var leadingOnes: (row: Int, positions: Int) { hasOnes ? (2, 1) : (0, 0) }
        public var hasOnes = false
        public var inputNorm = "pre_layrnorm"
        public var pooling = "head."
        /// What may come before the projector's names.
        public var projectors = ["model.multi_modal_projector.", "multi_modal_projector."]
        /// What may come before the decoder's tensors, and the head's name that goes with it.
        public var decoders = [
            ["model.language_model.", "lm_head.weight"],
            ["language_model.model.", "language_model.lm_head.weight"],
        ]
        /// Layouts of blocks that older checkpoints have.
        public var olderBlocks: CheckpointLayout?
    }

    /// Patches in a row, and in a column.
    public var side: Int { imageSize / patchSize }
    /// Rows of a picture in the blocks.
    public var rows: Int { side * side + (hasClassRow ? 1 : 0) }
    /// Inputs of the product that makes a row of a patch.
    public var patchInputs: Int { channelCount * patchSize * patchSize }

    /// How many tokens of the decoder a picture takes the place of; 0 where there is no decoder.
    public var tokensPerPicture: Int {
        guard case .tokens(let tokens) = result else { return 0 }
        switch tokens.projector {
        case .network: return rows - tokens.skippedRows
        case .pooled(let side): return side * side
        }
    }

    /// What comes before the names of the tower's tensors.
    var prefix: String { encoder.layout.prefix }
}

extension VisionTower {
    /// The learned row's tensor; nil where there is none.
    public var classRowPlan: TensorPlan? {
        guard hasClassRow else { return nil }
        let ones = [Int](repeating: 1, count: names.leadingOnes.row)
        return TensorPlan(name: prefix + names.classRow, shape: ones + [encoder.hiddenSize])
    }

    /// The weights of the product that makes rows of patches.
    public var patchPlan: TensorPlan {
        TensorPlan(
            name: prefix + names.patches + ".weight",
            shape: [encoder.hiddenSize, channelCount, patchSize, patchSize])
    }

    /// Its bias; nil where there is none.
    public var patchBiasPlan: TensorPlan? {
        patchHasBias ? TensorPlan(name: prefix + names.patches + ".bias", shape: [encoder.hiddenSize]) : nil
    }

    /// The vectors of positions, the learned row's first.
    public var positionsPlan: TensorPlan {
        let ones = [Int](repeating: 1, count: names.leadingOnes.positions)
        return TensorPlan(name: prefix + names.positions, shape: ones + [rows, encoder.hiddenSize])
    }

    /// Weight and bias of the norm before the first block; empty where there is none.
    public var inputNormPlans: [TensorPlan] {
        normsInput ? layer(prefix + names.inputNorm, [encoder.hiddenSize]) : []
    }

    /// The tensors of pooling by attention; empty where rows are pooled in another way.
    ///
    /// In this order: the query; the products to queries, keys and values as one; the product of the result; the norm; the
    /// two products of the network. Each but the first has a bias after it.
    public var poolingPlans: [TensorPlan] {
        guard case .vector(.attention, _) = result else { return [] }
        let (width, head) = (encoder.hiddenSize, prefix + names.pooling)
        return [
            TensorPlan(name: head + "probe", shape: [1, 1, width]),
            TensorPlan(name: head + "attention.in_proj_weight", shape: [3 * width, width]),
            TensorPlan(name: head + "attention.in_proj_bias", shape: [3 * width]),
        ] + layer(head + "attention.out_proj", [width, width]) + layer(head + "layernorm", [width])
            + layer(head + "mlp.fc1", [encoder.feedForwardSize, width])
            + layer(head + "mlp.fc2", [width, encoder.feedForwardSize])
    }

    /// The tensors of the product with a pooled vector: its weights, and its bias if it has one.
    public var projectionPlans: [TensorPlan] {
        guard case .vector(_, let projection?) = result else { return [] }
        let plans = layer(projection.name, [projection.outputs, encoder.hiddenSize])
        return projection.hasBias ? plans : [plans[0]]
    }

    /// The projector's tensors; none where there is no decoder.
    ///
    /// - Parameter decoder: The configuration of the whole model.
    /// - Returns: For a network the weights of both products, each followed by its bias if it has one; else the norm's
    ///   weights, and the product's, `[encoder, decoder]`.
    public func projectorPlans(for decoder: DecoderConfiguration) -> [TensorPlan] {
        guard case .tokens(let tokens) = result else { return [] }
        let (inputs, width, prefix) = (encoder.hiddenSize, decoder.hiddenSize, names.projectors[0])
        switch tokens.projector {
        case .network(_, let hasBias):
            let plans = [("linear_1", inputs), ("linear_2", width)].map { layer(prefix + $0, [width, $1]) }
            return plans.flatMap { hasBias ? $0 : [$0[0]] }
        case .pooled:
            return [
                TensorPlan(name: prefix + "mm_soft_emb_norm.weight", shape: [inputs]),
                TensorPlan(name: prefix + "mm_input_projection_weight", shape: [inputs, width]),
            ]
        }
    }

    /// Weight and bias of this name.
    private func layer(_ name: String, _ shape: [Int]) -> [TensorPlan] {
        [
            TensorPlan(name: name + ".weight", shape: shape),
            TensorPlan(name: name + ".bias", shape: [shape[0]]),
        ]
    }

    /// Every stored tensor of the tower and the projector.
    func expectedTensors(for decoder: DecoderConfiguration) -> [TensorPlan] {
        [classRowPlan, patchPlan, patchBiasPlan, positionsPlan].compactMap(\.self) + inputNormPlans
            + encoder.expectedTensors() + poolingPlans + projectionPlans + projectorPlans(for: decoder)
    }

    /// Whether a tensor that is not used is of a part that is left out: blocks after the one whose rows are taken, with
    /// the norm and pooling after them, or the texts' part of a model that compares pictures with texts.
    func leavesOut(_ name: String) -> Bool {
        for block in encoder.blockCount..<max(storedBlocks, encoder.blockCount)
        where name.hasPrefix("\(prefix)\(encoder.layout.blocks)\(block).") { return true }
        if ["text_model.", "text_projection.", "logit_scale", "logit_bias"].contains(where: {
            name.hasPrefix($0)
        }) {
            return true
        }
        return [names.pooling, encoder.layout.finalNorm, encoder.layout.finalNormBias].contains {
            name.hasPrefix(prefix + $0)
        }
    }
}

extension DecoderSite {
    /// The number of the block; nil for the head.
    var block: Int? {
        switch self {
        case .queryKeyValue(let block), .queryUp(let block), .queryLatent(let block), .valueUp(let block),
            .output(let block), .gateUp(let block), .down(let block), .expertGateUp(let block),
            .expertDown(let block):
            block
        case .head: nil
        }
    }

    /// The same site of the block so many blocks later.
    func moved(by count: Int) -> DecoderSite {
        switch self {
        case .queryKeyValue(let block): .queryKeyValue(block: block + count)
        case .queryUp(let block): .queryUp(block: block + count)
        case .queryLatent(let block): .queryLatent(block: block + count)
        case .valueUp(let block): .valueUp(block: block + count)
        case .output(let block): .output(block: block + count)
        case .gateUp(let block): .gateUp(block: block + count)
        case .down(let block): .down(block: block + count)
        case .expertGateUp(let block): .expertGateUp(block: block + count)
        case .expertDown(let block): .expertDown(block: block + count)
        case .head: .head
        }
    }
}

extension DecoderConfiguration {
    /// The blocks of the encoder of pictures, which are numbered after those of the decoder; empty without one.
    public var towerBlocks: Range<Int> { blockCount..<blockCount + (vision?.encoder.blockCount ?? 0) }

    /// The encoder of pictures and its own name of a site, where the site is one of its blocks'.
    func towerSite(_ site: DecoderSite) -> (tower: DecoderConfiguration, site: DecoderSite)? {
        guard let block = site.block, block >= blockCount, let vision else { return nil }
        return (vision.encoder, site.moved(by: -blockCount))
    }

    /// The part of the model that a site belongs to: the encoder of pictures, or the decoder itself.
    public func owner(of site: DecoderSite) -> DecoderConfiguration { towerSite(site)?.tower ?? self }

    /// Takes the names that a checkpoint has where there are several.
    mutating func adaptPictures(contains: (_ name: String) -> Bool) {
        guard var tower = vision else { return }
        if case .tokens = tower.result,
            let names = tower.names.decoders.first(where: { contains($0[0] + layout.embedding) })
        {
            (layout.prefix, layout.head) = (names[0], names[1])
        }
        let patches = tower.names.patches + ".weight"
        if let prefix = tower.names.prefixes.first(where: { contains($0 + patches) }) {
            tower.encoder.layout.prefix = prefix
        }
        if let older = tower.names.olderBlocks {
            let query = "\(tower.prefix)\(older.blocks)0.\(older.name(.query))"
            if contains(query) {
                (tower.encoder.layout.blocks, tower.encoder.layout.blockTensors) = (
                    older.blocks, older.blockTensors
                )
            }
        }
        if let probe = tower.projectorPlans(for: self).first, let first = tower.names.projectors.first {
            let rest = String(probe.name.dropFirst(first.count))
            if let found = tower.names.projectors.first(where: { contains($0 + rest) }) {
                tower.names.projectors = [found]
            }
        }
        vision = tower
    }
}

extension Decoder {
    /// Runs blocks of the encoder of pictures on hidden states, in place; keys and values are kept for a block only.
    ///
    /// - Parameters:
    ///   - range: Blocks to run, by their numbers in the whole model (``DecoderConfiguration/towerBlocks``).
    ///   - hidden: `[rows, hidden]` of the encoder, row-major: the rows of all pictures, one after the other.
    ///   - pictures: How many rows each picture has.
    ///   - workspace: Scratch memory.
    /// - Throws: ``KVCacheError`` when there is no memory for a block's keys and values.
    /// - Precondition: The model has these blocks, and the pictures' rows add up to those of `hidden`.
    public func run(
        towerBlocks range: Range<Int>, on hidden: inout MutableSpan<Float>, pictures: [Int],
        workspace: inout Workspace
    ) throws(KVCacheError) {
        guard let tower else { preconditionFailure("Decoder: no encoder of pictures") }
        for block in range {
            let own = block - configuration.blockCount
            try tower.run(
                blocks: own..<own + 1, on: &hidden,
                segments: pictures.map { CacheSegment(cache: tower.makeCache(), position: 0, rows: $0) },
                workspace: &workspace)
        }
    }
}
