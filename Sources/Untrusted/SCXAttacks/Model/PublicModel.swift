public import SCXInference
import Synchronization

/// What everybody knows of the served model: the weights, the embedding table, and what can be computed from them for
/// each token.
///
/// Tables over the vocabulary are computed when they are first used, and then kept.
public final class PublicModel: Sendable {
    /// The model with its weights.
    public let decoder: Decoder
    /// The embedding table, `[vocabulary, hidden]`.
    public let embedding: Matrix
    private let checkpoint: Checkpoint
    private let tables = Mutex(Tables())

    private struct Tables {
        var normed: Matrix?
        var projected: Matrix?
        var normedIndex: RowIndex?
        var fixedPoint: FixedPointVocabulary?
    }

    public var configuration: DecoderConfiguration { decoder.configuration }
    public var pool: ThreadPool { decoder.pool }
    public var vocabularySize: Int { configuration.vocabularySize }
    /// Channels of a token's queries.
    public var queryWidth: Int { configuration.headCount * configuration.headSize }
    /// Channels of a token's keys, and of its values.
    public var keyWidth: Int { configuration.keyValueHeadCount * configuration.headSize }

    /// Opens a model directory.
    ///
    /// - Parameters:
    ///   - directory: A model directory in Hugging Face's layout.
    ///   - format: How the attacked worker holds its weights, as its hello says.
    ///   - pool: Threads that compute.
    /// - Throws: ``AttackError/model(_:)`` that names the file.
    public convenience init(
        directory: String, format: WeightFormat, pool: ThreadPool
    ) throws(AttackError) {
        let checkpoint: Checkpoint
        do { checkpoint = try Checkpoint(directory: directory) } catch { throw .model(.checkpoint(error)) }
        try self.init(checkpoint, format: format, pool: pool)
    }

    public init(_ checkpoint: Checkpoint, format: WeightFormat, pool: ThreadPool) throws(AttackError) {
        let c = checkpoint.configuration
        do throws(LoadError) { decoder = try Decoder(checkpoint, format: format, pool: pool) } catch {
            throw .model(error)
        }
        func vector(_ name: String, _ shape: [Int]) throws(AttackError) -> [Float] {
            do { return try checkpoint.tensor(name, shape: shape).values() } catch {
                throw .model(.checkpoint(error))
            }
        }
        let table = try vector(c.embeddingName, [c.vocabularySize, c.hiddenSize])
        embedding = Matrix(
            rows: c.vocabularySize, columns: c.hiddenSize,
            values: c.embeddingScale == 1 ? table : table.map { $0 * c.embeddingScale })
        self.checkpoint = checkpoint
    }

    /// The input of a block's queries, keys and values for these hidden states.
    public func normed(_ hidden: Matrix, block: Int) -> Matrix {
        var out = [Float](repeating: 0, count: hidden.values.count)
        var span = out.mutableSpan
        decoder.attentionNorm(hidden.values.span, block: block, into: &span)
        return Matrix(rows: hidden.rows, columns: hidden.columns, values: out)
    }

    /// The input of the first block's queries, keys and values for each token, `[vocabulary, hidden]`.
    public func normedVocabulary() -> Matrix {
        if let table = tables.withLock({ $0.normed }) { return table }
        let table = normed(embedding, block: 0)
        tables.withLock { $0.normed = table }
        return table
    }

    /// The first block's queries, keys and values of each token before the rotation, `[vocabulary, q | k | v]`.
    public func projectedVocabulary() -> Matrix {
        if let table = tables.withLock({ $0.projected }) { return table }
        let table = Matrix(
            columns: queryWidth + 2 * keyWidth,
            values: decoder.product(normedVocabulary().values.span, .queryKeyValue(block: 0)))
        tables.withLock { $0.projected = table }
        return table
    }

    /// What each token would give at a stage if no block before it added anything: a guess without a search.
    ///
    /// Nil for stages where that would be no useful guess.
    func withoutContext(_ stage: Stage) -> Matrix? {
        switch stage {
        case .hidden, .afterAttention: return embedding
        case .normed(let block): return normed(embedding, block: block)
        case .keysAndValues(let block):
            let rows = Matrix(
                columns: queryWidth + 2 * keyWidth,
                values: decoder.product(
                    normed(embedding, block: block).values.span, .queryKeyValue(block: block)))
            return rows.columns(queryWidth..<rows.columns)
        case .rotated, .attended: return nil
        }
    }

    /// The integers to which each token's row is rounded before the first product of profile `sealed`.
    public func fixedPointVocabulary() throws(AttackError) -> FixedPointVocabulary {
        if let table = tables.withLock({ $0.fixedPoint }) { return table }
        let loaded: (weights: PackedMatrix, bias: [Float])
        do throws(LoadError) {
            loaded = try Decoder.loadSite(
                .queryKeyValue(block: 0), of: checkpoint, format: .int8, pool: pool)
        } catch {
            throw .model(error)
        }
        let table = FixedPointVocabulary(normedVocabulary(), weights: loaded.weights, pool: pool)
        tables.withLock { $0.fixedPoint = table }
        return table
    }

    /// An index of ``normedVocabulary()``.
    func normedIndex() throws(AttackError) -> RowIndex {
        if let index = tables.withLock({ $0.normedIndex }) { return index }
        let index = try RowIndex(normedVocabulary(), pool: pool)
        tables.withLock { $0.normedIndex = index }
        return index
    }

    /// Applies norms of heads and the rotation to rows of queries, keys and values of a block, as the trusted side
    /// does.
    ///
    /// - Parameters:
    ///   - rows: `[rows, q | k | v]`, or `[rows, k | v]` when `queryHeads` is 0.
    ///   - block: The block whose norms are applied.
    ///   - positions: One for each row.
    ///   - queryHeads: Heads of queries in a row.
    public func rotate(_ rows: inout Matrix, block: Int, positions: some Collection<Int>, queryHeads: Int) {
        let (size, kvHeads) = (configuration.headSize, configuration.keyValueHeadCount)
        let stride = (queryHeads + 2 * kvHeads) * size
        precondition(rows.columns == stride && rows.rows == positions.count, "PublicModel: rows to rotate")
        var span = rows.values.mutableSpan
        decoder.rotate(
            &span, block: block, queryHeads: queryHeads, table: decoder.rotaryTable(positions: positions))
    }

    /// The weights of a block's keys and values, `[k | v, hidden]`, and their bias.
    func keyValueWeights(block: Int) throws(AttackError) -> (weights: Matrix, bias: [Float]) {
        var values: [Float] = []
        var bias: [Float] = []
        for (weight, offset) in [(BlockTensor.key, BlockTensor.keyBias), (.value, .valueBias)] {
            do throws(CheckpointError) {
                values += try checkpoint.values(of: weight, block: block) ?? []
                bias +=
                    try checkpoint.values(of: offset, block: block)
                    ?? [Float](repeating: 0, count: keyWidth)
            } catch { throw .model(.checkpoint(error)) }
        }
        return (Matrix(rows: 2 * keyWidth, columns: configuration.hiddenSize, values: values), bias)
    }
}
