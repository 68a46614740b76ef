import SCXInference
import SCXLink

/// The rows of an `attention` request, one for each position.
public struct AttentionRows: Sendable {
    /// The block.
    public let layer: Int
    /// The positions of the queries in the session.
    public let queryPositions: Range<Int>
    /// The positions of the keys and values in the session.
    public let keyPositions: Range<Int>
    /// The queries of all heads, `[queries, heads · headSize]`.
    public let queries: Matrix
    /// The keys of all heads, `[keys, keyValueHeads · headSize]`.
    public let keys: Matrix
    /// The values of all heads, `[keys, keyValueHeads · headSize]`.
    public let values: Matrix
}

extension Views {
    /// The queries, keys and values of an `attention` request.
    public func attention(of exchange: Exchange) throws(AttackError) -> AttentionRows? {
        guard case .attention(let layer, let parts) = exchange.operation, let part = parts.first else {
            return nil
        }
        if exchange.isReading { return try readAttention(layer, part, exchange) }
        let (position, queries, keys) = (part.position, part.queries, part.keys)
        let c = configuration
        let (queryWidth, keyWidth) = (c.headCount * c.headSize, c.keyValueHeadCount * c.headSize)
        let tensor = try rows(of: exchange).values
        let split = queries * queryWidth
        let both = Matrix(rows: keys, columns: 2 * keyWidth, values: Array(tensor[split...]))
        return AttentionRows(
            layer: layer, queryPositions: position + keys - queries..<position + keys,
            keyPositions: position..<position + keys,
            queries: Matrix(rows: queries, columns: queryWidth, values: Array(tensor[..<split])),
            keys: both.columns(0..<keyWidth), values: both.columns(keyWidth..<2 * keyWidth))
    }

    /// The queries, keys and values that the worker computed for a `linear(_, queryKeyValue)`, `[rows, q | k | v]`.
    public func projected(of exchange: Exchange) throws(AttackError) -> Matrix? {
        let c = configuration
        guard let answer = try answer(of: exchange) else { return nil }
        let width = (c.headCount + 2 * c.keyValueHeadCount) * c.headSize
        guard answer.columns == width, answer.rows == exchange.request.rows else {
            throw .message(
                exchange.message,
                reason: "answered by \(answer.rows) x \(answer.columns) numbers, not rows of \(width)")
        }
        return answer
    }

    /// The rows that an `unlock` put in order, as the worker holds them after it: keys and values before the
    /// rotation.
    public func unlocked(
        _ exchange: Exchange, in step: Step
    ) throws(AttackError) -> (layer: Int, keysAndValues: Matrix)? {
        guard case .unlock(_, let layer, _, _) = exchange.operation,
            let source = step.first(.linear, layer: layer, site: .queryKeyValue),
            let projected = try projected(of: source)
        else { return nil }
        let order = try permutation(of: exchange)
        guard order.allSatisfy({ $0 < projected.rows }), order.count <= configuration.maximumLength else {
            throw .message(exchange.message, reason: "a permutation that does not fit \(projected.rows) rows")
        }
        let queryWidth = configuration.headCount * configuration.headSize
        return (layer, projected.columns(queryWidth..<projected.columns).selecting(order))
    }
}
