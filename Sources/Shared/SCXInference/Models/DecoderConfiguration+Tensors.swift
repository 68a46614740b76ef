extension DecoderConfiguration {
    /// The name of the embedding table, `[vocabularySize, hiddenSize]`.
    public var embeddingName: String { layout.prefix + layout.embedding }
    /// The name of the learned positions, `[positionRows, hiddenSize]`.
    public var positionsName: String { layout.prefix + layout.positions }
    /// Rows of the table of learned positions.
    public var positionRows: Int { maximumLength + positionOffset }
    /// The name of the vectors of token kinds, `[tokenTypeCount, hiddenSize]`.
    public var tokenTypesName: String { layout.prefix + layout.tokenTypes }
    /// The name of the weights of the embedding's norm, `[hiddenSize]`.
    public var embeddingNormName: String { layout.prefix + layout.embeddingNorm }
    /// The name of the bias of the embedding's norm, `[hiddenSize]`.
    public var embeddingNormBiasName: String { layout.prefix + layout.embeddingNormBias }
    /// The name of the last norm's weights, `[hiddenSize]`.
    public var finalNormName: String { layout.prefix + layout.finalNorm }
    /// The name of the last norm's bias, `[hiddenSize]`.
    public var finalNormBiasName: String { layout.prefix + layout.finalNormBias }

    /// The name of the output head's matrix, `[vocabularySize, hiddenSize]`.
    public var outputHeadName: String { tiedEmbeddings ? embeddingName : layout.head }

    /// The name of a block's tensor in the checkpoint; several tensors may be stored under one name.
    public func name(of tensor: BlockTensor, block: Int) -> String {
        "\(layout.prefix)\(layout.blocks)\(block).\(layout.name(tensor))"
    }

    /// The shape of a block's tensor; nil when this block has no such tensor.
    public func shape(of tensor: BlockTensor, block: Int = 0) -> [Int]? {
        if hasExperts(block) {
            let shared = experts?.sharedSize
            switch tensor {
            case .gate, .gateBias, .up, .upBias, .down, .downBias: return nil
            case .router: return experts.map { [$0.count, hiddenSize] }
            case .routerBias: return experts?.hasRouterBias == true ? [experts?.count ?? 0] : nil
            case .choiceBias: return experts?.hasChoiceBias == true ? [experts?.count ?? 0] : nil
            case .sharedGate: return isGated ? shared.map { [$0, hiddenSize] } : nil
            case .sharedUp: return shared.map { [$0, hiddenSize] }
            case .sharedDown: return shared.map { [hiddenSize, $0] }
            case .sharedScore:
                guard experts?.sharedHasGate == true else { return nil }
                return layout.stacksExperts ? [hiddenSize] : [1, hiddenSize]
            default: break
            }
        }
        if let latent {
            let key = latent.rank + latent.rotatedSize
            switch tensor {
            case .query: return latent.queryRank == nil ? [headCount * latent.querySize, hiddenSize] : nil
            case .queryBias, .key, .keyBias, .value, .valueBias: return nil
            case .queryDown: return latent.queryRank.map { [$0, hiddenSize] }
            case .queryDownBias: return queryKeyValueBias ? latent.queryRank.map { [$0] } : nil
            case .queryDownNorm: return latent.queryRank.map { [$0] }
            case .queryUp: return latent.queryRank.map { [headCount * latent.querySize, $0] }
            case .latentDown: return [key, hiddenSize]
            case .latentDownBias: return queryKeyValueBias ? [key] : nil
            case .latentNorm: return [latent.rank]
            case .latentUp where layout.latentKeys != nil: return nil
            case .latentUp: return [headCount * (latent.plainSize + latent.valueSize), latent.rank]
            case .output: return [hiddenSize, attendedSize]
            default: break
            }
        }
        let queries = headCount * headSize
        let keys = keyValueHeadCount * headSize
        return switch tensor {
        case .attentionNorm, .feedForwardNorm: normPlacement.isBefore ? [hiddenSize] : nil
        case .attentionNormBias, .feedForwardNormBias:
            normPlacement.isBefore && norm == .layer(bias: true) ? [hiddenSize] : nil
        case .attentionResultNorm, .feedForwardResultNorm: normPlacement == .before ? nil : [hiddenSize]
        case .attentionResultNormBias, .feedForwardResultNormBias:
            normPlacement != .before && norm == .layer(bias: true) ? [hiddenSize] : nil
        case .query: [queries, hiddenSize]
        case .key, .value: [keys, hiddenSize]
        case .queryBias: queryKeyValueBias ? [queries] : nil
        case .keyBias, .valueBias: queryKeyValueBias ? [keys] : nil
        case .sinks: hasSinks ? [headCount] : nil
        case .queryNorm: queryKeyNorm == .none ? nil : [queryKeyNorm == .rows ? queries : headSize]
        case .keyNorm: queryKeyNorm == .none ? nil : [queryKeyNorm == .rows ? keys : headSize]
        case .output: [hiddenSize, queries]
        case .outputBias: outputBias ? [hiddenSize] : nil
        case .gate: isGated ? [feedForwardSize, hiddenSize] : nil
        case .gateBias: isGated && feedForwardBias ? [feedForwardSize] : nil
        case .up: [feedForwardSize, hiddenSize]
        case .upBias: feedForwardBias ? [feedForwardSize] : nil
        case .down: [hiddenSize, feedForwardSize]
        case .downBias: feedForwardBias ? [hiddenSize] : nil
        case .router, .routerBias, .choiceBias, .sharedGate, .sharedUp, .sharedDown, .sharedScore: nil
        case .queryDown, .queryDownBias, .queryDownNorm, .queryUp: nil
        case .latentDown, .latentDownBias, .latentNorm, .latentUp: nil
        }
    }

    /// Where a block's tensor is stored; nil when this model has no such tensor.
    public func place(of tensor: BlockTensor, block: Int) -> TensorPlace? {
        guard let own = shape(of: tensor, block: block) else { return nil }
        if block == 0, !normsFirstInput, [.attentionNorm, .attentionNormBias].contains(tensor) { return nil }
        var rows = 0..<own[0]
        var total = 0
        for other in BlockTensor.allCases where layout.name(other) == layout.name(tensor) {
            guard let shape = shape(of: other, block: block) else { continue }
            if other == tensor { rows = total..<total + own[0] }
            total += shape[0]
        }
        let shape = [total] + own.dropFirst()
        let isTransposed = layout.isTransposed && own.count == 2
        return TensorPlace(
            stored: TensorPlan(
                name: name(of: tensor, block: block), shape: isTransposed ? shape.reversed() : shape),
            rows: rows, isTransposed: isTransposed)
    }

    /// Every stored tensor of the model, in the order of the forward pass.
    public func expectedTensors() -> [TensorPlan] {
        var plan: [TensorPlan] = []
        if vocabularySize > 0 {
            plan.append(TensorPlan(name: embeddingName, shape: [vocabularySize, hiddenSize]))
        }
        if learnedPositions {
            plan.append(TensorPlan(name: positionsName, shape: [positionRows, hiddenSize]))
        }
        if tokenTypeCount > 0 {
            plan.append(TensorPlan(name: tokenTypesName, shape: [tokenTypeCount, hiddenSize]))
        }
        if normsEmbedding {
            plan.append(TensorPlan(name: embeddingNormName, shape: [hiddenSize]))
            if norm == .layer(bias: true) {
                plan.append(TensorPlan(name: embeddingNormBiasName, shape: [hiddenSize]))
            }
        }
        for block in 0..<blockCount {
            for tensor in BlockTensor.allCases {
                // A part of a stored tensor that is not the first was counted with the first.
                guard let place = place(of: tensor, block: block), place.rows.lowerBound == 0 else {
                    continue
                }
                plan.append(place.stored)
            }
            plan += latentTensors(of: block) + expertTensors(of: block)
        }
        if hasFinalNorm {
            plan.append(TensorPlan(name: finalNormName, shape: [hiddenSize]))
            if norm == .layer(bias: true) {
                plan.append(TensorPlan(name: finalNormBiasName, shape: [hiddenSize]))
            }
        }
        if hasHead, !tiedEmbeddings {
            plan.append(TensorPlan(name: layout.head, shape: [vocabularySize, hiddenSize]))
        }
        return plan + (sequenceHead?.tensors(self) ?? []) + (vision?.expectedTensors(for: self) ?? [])
    }

    /// How many numbers the model's tensors have in all.
    public var parameterCount: Int {
        expectedTensors().reduce(0) { $0 + $1.shape.reduce(1, *) }
    }

    /// What distinguishes this model from the form of Llama, in words; nil when nothing does.
    ///
    /// Profile `scx` and some attacks know only that form: norms before each part of a block, by the root mean square;
    /// a gated activation by silu; one rotation for all blocks.
    public var differenceFromLlama: String? {
        if vision != nil { return "its pictures go through an encoder, whose rows attend to later ones too" }
        if !isCausal { return "its tokens attend to later ones too" }
        if experts != nil { return "it divides its feed-forward networks into experts" }
        if latent != nil { return "its attention is over latents" }
        if norm != .rootMeanSquare { return "its norms subtract the mean" }
        if normPlacement != .before {
            return "it norms the results of attention and of the feed-forward network"
        }
        if !isGated || activation != .silu { return "its feed-forward network is not gated by silu" }
        if queryKeyNorm == .rows { return "it norms queries and keys over all heads" }
        if hasSinks { return "its attention has sinks" }
        if clampedGate != nil { return "its gate is clamped" }
        if scoreCap != nil || logitCap != nil { return "it caps scores or logits" }
        if scoreScale != nil || embeddingScale != 1 || residualScale != 1 || logitDivisor != 1 {
            return "it has scales of its own for embeddings, scores, updates or logits"
        }
        if rotations.contains(where: { $0 != .global }) || learnedPositions {
            return "its blocks do not all use the same rotation"
        }
        if rope.rotaryDimension != headSize { return "it rotates only a part of each head" }
        return nil
    }
}

extension DecoderConfiguration.NormPlacement {
    /// Whether the inputs of a block's parts are normed.
    var isBefore: Bool { self == .before || self == .around }
}
