// BERT, RoBERTa and XLM-RoBERTa; defaults of
// https://github.com/huggingface/transformers/blob/v5.24.0/src/transformers/models/bert/configuration_bert.py
// https://github.com/huggingface/transformers/blob/v5.24.0/src/transformers/models/xlm_roberta/configuration_xlm_roberta.py
extension DecoderConfiguration {
    /// An encoder: tokens attend to all others, sums are normed, positions and kinds of tokens are learned, biases
    /// everywhere, no gate.
    static func bert(_ reader: ConfigurationReader) throws(CheckpointError) -> Self {
        var configuration = try encoder(.bert, reader, kinds: 2)
        configuration.layout.prefix = "bert."
        return configuration
    }

    /// As BERT, with positions that begin after that of the padding token.
    static func roberta(
        _ family: ModelFamily, _ reader: ConfigurationReader
    ) throws(CheckpointError) -> Self {
        var configuration = try encoder(family, reader, kinds: 2)
        configuration.layout.prefix = "roberta."
        let padding = try reader.tokens("pad_token_id")?.first ?? 1
        guard padding < configuration.maximumLength - 1 else {
            throw reader.fault(
                "pad_token_id", "is \(padding), which leaves none of \(configuration.maximumLength) positions"
            )
        }
        configuration.positionOffset = padding + 1
        configuration.maximumLength -= padding + 1
        return configuration
    }

    private static func encoder(
        _ family: ModelFamily, _ reader: ConfigurationReader, kinds: Int
    ) throws(CheckpointError) -> Self {
        var reader = reader
        reader.names["rms_norm_eps"] = "layer_norm_eps"
        reader.ignore([
            "attention_probs_dropout_prob", "classifier_dropout", "directionality", "gradient_checkpointing",
            "hidden_dropout_prob", "output_past", "pooler_fc_size", "pooler_num_attention_heads",
            "pooler_num_fc_layers", "pooler_size_per_head", "pooler_type",
        ])
        var configuration = try Self(
            family, reader,
            Defaults(
                vocabularySize: 30_522, hiddenSize: 768, blockCount: 12, headCount: 12,
                feedForwardSize: 3_072,
                maximumLength: 512, normEpsilon: 1e-12, activation: .gelu, tiedEmbeddings: true))
        let positions = try reader.text("position_embedding_type") ?? "absolute"
        guard positions == "absolute" else {
            throw reader.unsupported("position_embedding_type '\(positions)'", "absolute")
        }
        for field in ["is_decoder", "add_cross_attention"] {
            guard try reader.flag(field) != true else { throw reader.unsupported(field, "encoders") }
        }
        configuration.tokenTypeCount = try reader.size("type_vocab_size", limit: 1 << 10) ?? kinds
        configuration.isCausal = false
        configuration.hasHead = false
        configuration.hasFinalNorm = false
        configuration.normsEmbedding = true
        configuration.norm = .layer(bias: true)
        configuration.normPlacement = .sum
        configuration.isGated = false
        configuration.queryKeyValueBias = true
        configuration.outputBias = true
        configuration.feedForwardBias = true
        configuration.learnedPositions = true
        configuration.rotations = Array(repeating: .none, count: configuration.blockCount)
        var layout = CheckpointLayout()
        layout.embedding = "embeddings.word_embeddings.weight"
        layout.positions = "embeddings.position_embeddings.weight"
        layout.blocks = "encoder.layer."
        for (tensor, bias, name) in [
            (BlockTensor.query, BlockTensor.queryBias, "attention.self.query"),
            (.key, .keyBias, "attention.self.key"), (.value, .valueBias, "attention.self.value"),
            (.output, .outputBias, "attention.output.dense"),
            (.attentionResultNorm, .attentionResultNormBias, "attention.output.LayerNorm"),
            (.up, .upBias, "intermediate.dense"), (.down, .downBias, "output.dense"),
            (.feedForwardResultNorm, .feedForwardResultNormBias, "output.LayerNorm"),
        ] {
            layout.blockTensors[tensor] = name + ".weight"
            layout.blockTensors[bias] = name + ".bias"
        }
        configuration.layout = layout
        return configuration
    }
}

extension CheckpointLayout {
    /// Takes the names of norms that checkpoints of BERT's first years have.
    mutating func useOldNormNames() {
        func old(_ name: String) -> String {
            for (new, old) in [("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta")]
            where name.hasSuffix(new) { return name.dropLast(new.count) + old }
            return name
        }
        embeddingNorm = old(embeddingNorm)
        embeddingNormBias = old(embeddingNormBias)
        blockTensors = blockTensors.mapValues { old($0) }
    }
}
