import SCXInference

/// The place in the model at which rows are compared.
public enum Stage: Hashable, Sendable {
    /// The residual stream that enters a block; with the number of blocks, the one that leaves the last block.
    case hidden(Int)
    /// That stream after the norm, from which a block's queries, keys and values are computed.
    case normed(Int)
    /// The keys and values, `k | v`, of a block, before the rotation.
    case keysAndValues(Int)
    /// The keys and values, `k | v`, of a block, after the rotation.
    case rotated(Int)
    /// The result of a block's attention, before its output product.
    case attended(Int)
    /// The residual stream that enters a block's feed-forward network.
    case afterAttention(Int)

    var block: Int {
        switch self {
        case .hidden(let block), .normed(let block), .keysAndValues(let block), .rotated(let block),
            .attended(let block), .afterAttention(let block):
            block
        }
    }
}

/// The tokens found so far, with the model's KV cache for them, and the rows that any next token would give at each
/// stage.
final class Prefix {
    private let model: PublicModel
    private let cache: KVCache
    private var workspace = Workspace()
    private(set) var tokens: [Int32] = []

    init(_ model: PublicModel) {
        self.model = model
        cache = model.decoder.makeCache()
    }

    /// Adds a token.
    ///
    /// - Returns: The logits of the next token.
    @discardableResult
    func append(_ token: Int32) throws(AttackError) -> [Float] {
        var hidden = Array(model.embedding[Int(token)])
        var span = hidden.mutableSpan
        do throws(KVCacheError) {
            try model.decoder.run(
                blocks: 0..<model.configuration.blockCount, on: &span,
                segments: [CacheSegment(cache: cache, position: tokens.count, rows: 1)], workspace: &workspace
            )
        } catch {
            throw .memory("\(error)")
        }
        tokens.append(token)
        return model.decoder.logits(hidden.span, workspace: &workspace)
    }

    /// The rows at a stage for candidates for the next token, one row each; the products are computed in batches.
    func rows(of candidates: [Int32], at stage: Stage) throws(AttackError) -> Matrix {
        var hidden = model.embedding.selecting(candidates.map { Int($0) })
        for block in 0..<stage.block {
            hidden.add(try attention(hidden, block, candidates))
            hidden.add(feedForward(hidden, block))
        }
        switch stage {
        case .hidden: return hidden
        case .normed(let block): return model.normed(hidden, block: block)
        case .keysAndValues(let block):
            let rows = projected(hidden, block, candidates)
            return rows.columns(model.queryWidth..<rows.columns)
        case .rotated(let block):
            let rows = rotated(hidden, block, candidates)
            return rows.columns(model.queryWidth..<rows.columns)
        case .attended(let block): return try attended(hidden, block, candidates)
        case .afterAttention(let block):
            hidden.add(try attention(hidden, block, candidates))
            return hidden
        }
    }

    private func projected(_ hidden: Matrix, _ block: Int, _ candidates: [Int32]) -> Matrix {
        if block == 0 { return model.projectedVocabulary().selecting(candidates.map { Int($0) }) }
        let normed = model.normed(hidden, block: block)
        return Matrix(
            columns: model.queryWidth + 2 * model.keyWidth,
            values: model.decoder.product(normed.values.span, .queryKeyValue(block: block)))
    }

    private func rotated(_ hidden: Matrix, _ block: Int, _ candidates: [Int32]) -> Matrix {
        var rows = projected(hidden, block, candidates)
        let positions = [Int](repeating: tokens.count, count: rows.rows)
        model.rotate(&rows, block: block, positions: positions, queryHeads: model.configuration.headCount)
        return rows
    }

    private func attended(
        _ hidden: Matrix, _ block: Int, _ candidates: [Int32]
    ) throws(AttackError) -> Matrix {
        let rows = rotated(hidden, block, candidates)
        let layer = cache.layers[block]
        var out: [Float] = []
        out.reserveCapacity(rows.rows * model.queryWidth)
        for row in 0..<rows.rows {
            do throws(KVCacheError) {
                out += try model.decoder.attend(
                    rows.values.span.extracting(row * rows.columns..<(row + 1) * rows.columns), queries: 1,
                    keys: 1, block: block, cache: layer)
            } catch {
                throw .memory("\(error)")
            }
            layer.truncate(to: tokens.count)
        }
        return Matrix(rows: rows.rows, columns: model.queryWidth, values: out)
    }

    /// Computes what a block's attention adds to the residual stream.
    private func attention(
        _ hidden: Matrix, _ block: Int, _ candidates: [Int32]
    ) throws(AttackError) -> Matrix {
        let attended = try attended(hidden, block, candidates)
        return Matrix(
            rows: hidden.rows, columns: hidden.columns,
            values: model.decoder.product(attended.values.span, .output(block: block)))
    }

    private func feedForward(_ hidden: Matrix, _ block: Int) -> Matrix {
        Matrix(
            rows: hidden.rows, columns: hidden.columns,
            values: model.decoder.feedForward(hidden.values.span, block: block, workspace: &workspace))
    }
}

extension Matrix {
    fileprivate mutating func add(_ other: Matrix) {
        var span = values.mutableSpan
        SCXInference.add(other.values.span, into: &span)
    }
}
