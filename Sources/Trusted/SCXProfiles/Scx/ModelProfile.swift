package import SCXEncoding
package import SCXInference

/// What profile `scx` needs to know of a model: what the rows at each place look like, and how much noise hides a
/// token.
///
/// The trusted side alone measures it on a public text, so that a worker cannot influence it, and stores it in a
/// file.
package struct ModelProfile: Sendable {
    /// A place in the model at which rows are sent.
    package enum Place: Hashable, Sendable {
        /// After the norm, before queries, keys and values.
        case attentionInput(Int)
        /// The result of attention, before its output projection.
        case outputInput(Int)
        /// Hidden states before a feed-forward network.
        case feedForwardInput(Int)
        /// Hidden states after the last block.
        case headInput
        /// Keys after the rotation.
        case keys(Int)

        /// All places of a model.
        package static func all(blocks: Int) -> [Place] {
            (0..<blocks).flatMap {
                [.attentionInput($0), .outputInput($0), .feedForwardInput($0), .keys($0)]
            }
                + [.headInput]
        }

        /// The place's name in the profile's file.
        var name: String {
            switch self {
            case .attentionInput(let block): "blocks.\(block).attention"
            case .outputInput(let block): "blocks.\(block).output"
            case .feedForwardInput(let block): "blocks.\(block).feedForward"
            case .keys(let block): "blocks.\(block).keys"
            case .headInput: "head"
            }
        }
    }

    let places: [Place: RowStatistics]
    /// The smallest scale of noise at which the filters of ``NoiseCalibration`` find no more tokens than guessing.
    package let noiseScale: Float

    /// What rows at a place look like.
    package func statistics(of place: Place) -> RowStatistics {
        guard let statistics = places[place] else { preconditionFailure("ModelProfile: no such place") }
        return statistics
    }
}

extension ModelProfile {
    /// How many tokens of the text are measured.
    private static let sampleLength = 256

    /// Measures a model.
    ///
    /// Blocks are loaded one at a time, so this needs little memory besides that of the activations.
    ///
    /// - Parameters:
    ///   - checkpoint: The model.
    ///   - tokens: Tokens of a public text: at least ``RowStatistics/fewestRows``; more than 256 are not used.
    ///   - noiseScale: The scale of the noise; nil to find it by ``NoiseCalibration``.
    ///   - pool: Threads that compute.
    ///   - progress: Called with the fraction done, 0 to 1.
    /// - Throws: ``LoadError``, ``CheckpointError``, ``KernelError`` or ``KVCacheError``.
    package init(
        measuring checkpoint: Checkpoint, tokens: [Int32], noiseScale: Float? = nil, pool: ThreadPool,
        progress: (_ fraction: Double) -> Void = { _ in }
    ) throws {
        let configuration = checkpoint.configuration
        let tokens = Array(tokens.prefix(min(Self.sampleLength, configuration.maximumLength)))
        guard tokens.count >= RowStatistics.fewestRows else {
            throw CheckpointError.file(
                path: checkpoint.directory, action: "profile it",
                reason: "\(tokens.count) tokens of text fit, \(RowStatistics.fewestRows) are needed")
        }
        var places: [Place: RowStatistics] = [:]
        func measure(_ place: Place, _ rows: Span<Float>, channels: Int) throws {
            places[place] = try RowStatistics(measuring: rows, channels: channels)
        }
        let embedding = try TokenEmbedding(checkpoint)
        var hidden = embedding.rows(of: tokens)
        let width = configuration.headCount * configuration.headSize
        let keyWidth = configuration.keyValueHeadCount * configuration.headSize
        var workspace = Workspace()
        let blocks = configuration.blockCount
        for block in 0..<blocks {
            let model = try Decoder(
                checkpoint, format: .bf16, pool: pool,
                parts: DecoderParts(queryKeyValue: [block], output: [block], feedForward: [block]))
            var normed = Plaintext(rows: tokens.count, channels: configuration.hiddenSize)
            var normedSpan = normed.values
            model.attentionNorm(hidden.span, block: block, into: &normedSpan)
            try measure(.attentionInput(block), normed.span, channels: normed.channels)

            var projected = model.product(normed.span, .queryKeyValue(block: block))
            var span = projected.mutableSpan
            model.rotate(
                &span, block: block, queryHeads: configuration.headCount,
                table: model.rotaryTable(positions: 0..<tokens.count))
            // In the order of an attention request: all queries, then the keys and values of each token.
            let stride = width + 2 * keyWidth
            var rows: [Float] = []
            var keys: [Float] = []
            for token in 0..<tokens.count { rows += projected[token * stride..<token * stride + width] }
            for token in 0..<tokens.count {
                rows += projected[token * stride + width..<(token + 1) * stride]
                keys += projected[token * stride + width..<token * stride + width + keyWidth]
            }
            try measure(.keys(block), keys.span, channels: keyWidth)
            let attended = try model.attend(
                rows.span, queries: tokens.count, keys: tokens.count, block: block,
                cache: model.makeLayerCache())
            try measure(.outputInput(block), attended.span, channels: width)
            hidden.add(model.product(attended.span, .output(block: block)))
            try measure(.feedForwardInput(block), hidden.span, channels: hidden.channels)
            hidden.add(model.feedForward(hidden.span, block: block, workspace: &workspace))
            progress(0.8 * Double(block + 1) / Double(blocks))
        }
        try measure(.headInput, hidden.span, channels: hidden.channels)
        self.places = places
        self.noiseScale =
            try noiseScale ?? NoiseCalibration(checkpoint, pool: pool).smallestScaleAtChance()
        progress(1)
    }

    /// A public text for models with a tokenizer.
    package static let sampleText = """
        The harbour office keeps a list of every boat that has come in since spring, with the name of its master, the \
        weight of what it carried and the hour at which it left again. In 1987 a clerk noticed that some of the figures \
        could not be right: one small boat seemed to have brought 4,200 tonnes of salt in a single night. He wrote a \
        letter to the ministry, and asked whether anybody had checked the numbers. Nobody had. "We add them up," they \
        answered, "but we do not read them." So he began to read. He found three kinds of mistakes: digits in the wrong \
        order, names that were spelled in two ways, and days that did not exist. What is the 31st of June? How can a \
        ship leave before it arrives? Each evening he corrected a page, and explained below why he had done so; for \
        example, that the tide at that hour would have been too low, or that the captain had been seen in another town. \
        After two years the list was clean. A professor of statistics came to look at it, copied everything into her \
        computer, and published a short paper: def mean(x): return sum(x) / len(x) was all the code that she needed. \
        The result surprised her. Trade had not fallen at all, as the newspapers said every winter; it had only moved \
        from large ships to small ones, and from the day to the night. The clerk read the paper twice, smiled, put it \
        into the drawer with the letters, and went down to the water to count the boats.
        """

    /// Tokens for models without a tokenizer: spread over the vocabulary, and always the same.
    package static func sampleTokens(vocabulary: Int) -> [Int32] {
        (1...sampleLength).map { Int32($0 * 7919 % vocabulary) }
    }
}

extension Plaintext {
    /// Adds an update of the same shape to these rows.
    fileprivate mutating func add(_ update: [Float]) {
        var span = values
        precondition(span.count == update.count, "Plaintext: another shape")
        for i in span.indices { span[i] += update[i] }
    }
}
