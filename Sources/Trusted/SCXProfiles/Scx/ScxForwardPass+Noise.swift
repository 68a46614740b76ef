import SCXEncoding
import SCXInference
import SCXLink

/// What the trusted side does so that a session's numbers do not depend on the keys that were drawn.
extension ScxForwardPass {
    /// Computes the queries, keys and values of rows that are sent with noise, before the rotation.
    ///
    /// The rows are rounded to the noise's step and the sums are exact, so that no trace of the noise is left.
    ///
    /// - Parameters:
    ///   - normed: The rows after the block's norm, which are consumed.
    ///   - block: One of the first blocks.
    ///   - redundant: Redundant rows among which they are sent.
    /// - Returns: `[rows, (heads + 2 · keyValueHeads) · headSize]`
    /// - Throws: ``LinkError`` when the exchange fails.
    func projectNoised(
        _ normed: consuming Plaintext, _ block: Int, among redundant: consuming Plaintext
    ) throws(LinkError) -> Plaintext {
        let source = noise[block]
        let beyond = source.grid.fit(&normed)
        let key = OneTimeRowKey(
            rows: normed.rows, redundant: redundant, noise: source.take(normed.rows), random: &random)
        let exchange = key.encode(normed)
        let answer = try link.exchange(
            Request(.linear(layer: block, site: .queryKeyValue, slot: nil, exact: true), exchange.tensor))
        var projected = try exchange.open(
            answer, channels: layers.outputs(of: .queryKeyValue(block: block)))
        if let beyond { source.addProduct(of: beyond, to: &projected) }
        var span = projected.values
        layers.addBias(of: .queryKeyValue(block: block), to: &span)
        return projected
    }

    /// Applies the heads' norm, if the family has one, and the rotation, and rounds queries and keys so that scores do not
    /// depend on the order of their channels.
    func rotate(_ projected: inout Plaintext, _ block: Int, _ table: RotaryTable) {
        let (rows, width) = (projected.rows, projected.channels)
        var span = projected.values
        layers.rotate(&span, block: block, queryHeads: shape.heads, table: table)
        roundHeads(
            &span, stride: width, rows: rows, heads: shape.heads + shape.keyValueHeads,
            headSize: shape.headSize)
    }
}
