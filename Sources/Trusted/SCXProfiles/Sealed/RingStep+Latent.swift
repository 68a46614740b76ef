import SCXEncoding
import SCXInference
import SCXLink

/// The products of latent attention between its first one and its attention, of which one was begun.
final class LatentExchange {
    let block: Int
    /// The rows of the product `queryKeyValue`.
    fileprivate let projected: Plaintext
    /// The queries of all heads; no rows where they are in `projected`, or have not come yet.
    fileprivate var queries = Plaintext(rows: 0, channels: 0)
    fileprivate var product: any SentProduct
    /// Whether the product that was begun is that of reduced queries, so that the one against the latents is next.
    fileprivate(set) var isReduced: Bool

    fileprivate init(
        _ block: Int, _ projected: consuming Plaintext, _ product: any SentProduct, isReduced: Bool
    ) {
        self.block = block
        self.projected = projected
        self.product = product
        self.isReduced = isReduced
    }
}

/// Blocks with latent attention: two or three products give the queries and the key, and one the values.
extension RingStep {
    /// Begins the product that gives the queries from reduced ones, or the product against the latents.
    func sendQueries(_ block: Int, _ projected: consuming Plaintext) throws(LinkError) -> LatentExchange {
        guard let latent = configuration.latent else {
            preconditionFailure("RingStep: block \(block) has no latent attention")
        }
        guard let rank = latent.queryRank else {
            let product = try sendPlainQueries(block, projected)
            return LatentExchange(block, projected, product, isReduced: false)
        }
        var reduced = Plaintext(rows: rows, channels: rank)
        var out = reduced.values
        model.layers.reducedQueries(projected.span, block: block, into: &out)
        let product = try products.send(reduced, model[.queryUp(block: block)], groups: nil)
        return LatentExchange(block, projected, product, isReduced: true)
    }

    /// Waits for the queries of all heads, and begins their product against the latents.
    func sendLatentQueries(_ exchange: LatentExchange) throws(LinkError) {
        let queries = try exchange.product.receive()
        exchange.product = try sendPlainQueries(exchange.block, queries)
        exchange.queries = queries
        exchange.isReduced = false
    }

    /// Begins the product against the latents.
    ///
    /// - Parameters:
    ///   - block: The block.
    ///   - queries: Rows that begin with the queries of all heads.
    /// - Returns: The product that was begun.
    /// - Throws: ``LinkError`` when it cannot be sent.
    private func sendPlainQueries(
        _ block: Int, _ queries: borrowing Plaintext
    ) throws(LinkError) -> any SentProduct {
        let size = configuration.headCount * (configuration.latent?.plainSize ?? 0)
        var plain = Plaintext(rows: rows, channels: size)
        var out = plain.values
        model.layers.plainQueries(queries.span, stride: queries.channels, into: &out)
        return try products.send(plain, model[.queryLatent(block: block)], groups: nil)
    }

    /// Waits for the product against the latents, and puts the rows of attention together.
    func attentionRows(_ exchange: LatentExchange) throws(LinkError) -> Plaintext {
        let latents = try exchange.product.receive()
        return attentionRows(exchange.block, exchange.projected, exchange.queries, latents)
    }

    private func attentionRows(
        _ block: Int, _ projected: borrowing Plaintext, _ queries: borrowing Plaintext,
        _ latents: borrowing Plaintext
    ) -> Plaintext {
        var values = Plaintext(
            rows: rows, channels: (configuration.headCount + 2) * configuration.headSize)
        var out = values.values
        model.layers.latentRows(
            projected.span, queries: queries.span, latents: latents.span, block: block, into: &out)
        return values
    }

    /// Begins the product that gives the values of all heads.
    func sendLatents(_ block: Int, _ attended: borrowing Plaintext) throws(LinkError) -> any SentProduct {
        let size = configuration.headCount * (configuration.latent?.rank ?? 0)
        var latents = Plaintext(rows: rows, channels: size)
        var out = latents.values
        model.layers.attendedLatents(attended.span, into: &out)
        return try products.send(latents, model[.valueUp(block: block)], groups: nil)
    }
}
