package import SCXEncoding
package import SCXInference

/// What the trusted side has of a model in profile `sealed`.
///
/// Embedding, norms, and for each site its scales, its bound and its secret sketch. The weights are read once, site by
/// site, and not kept.
package final class RingModel: Sendable {
    package let checkpoint: Checkpoint
    package let embedding: TokenEmbedding
    /// Norms and rotation; no products.
    package let layers: Decoder
    /// In the order of a forward pass.
    package let sites: [RingSite]
    private let bySite: [DecoderSite: RingSite]

    package var configuration: DecoderConfiguration { layers.configuration }

    /// Reads a checkpoint.
    ///
    /// - Parameters:
    ///   - checkpoint: The model.
    ///   - pool: Threads that pack now and compute later.
    ///   - progress: Called with the fraction done, 0 to 1.
    /// - Throws: ``LoadError`` or ``CheckpointError`` that names the file and the tensor.
    package init(
        _ checkpoint: Checkpoint, pool: ThreadPool, progress: (_ fraction: Double) -> Void = { _ in }
    ) throws {
        self.checkpoint = checkpoint
        embedding = try TokenEmbedding(checkpoint)
        layers = try Decoder(checkpoint, format: .int8, pool: pool, parts: DecoderParts())
        var random = SecureRandom()
        var sites: [RingSite] = []
        let names = DecoderSite.all(blocks: checkpoint.configuration.blockCount)
        for name in names {
            let loaded = try Decoder.loadSite(name, of: checkpoint, format: .int8, pool: pool)
            sites.append(
                RingSite(name, weights: loaded.weights, bias: loaded.bias, random: &random, pool: pool))
            progress(Double(sites.count) / Double(names.count))
        }
        self.sites = sites
        bySite = Dictionary(uniqueKeysWithValues: sites.map { ($0.site, $0) })
    }

    package subscript(site: DecoderSite) -> RingSite {
        guard let found = bySite[site] else { preconditionFailure("RingModel: no such site") }
        return found
    }

    /// A product that this side computes itself, from the checkpoint: slow, since it reads and packs the site's weights.
    ///
    /// - Parameters:
    ///   - rows: `[rows, inputs]`, modulo 2³².
    ///   - site: What they are multiplied by.
    /// - Returns: `[rows, outputs]`, modulo 2³².
    /// - Throws: ``LoadError`` when the checkpoint is gone.
    package func product(_ rows: Span<UInt32>, _ site: RingSite) throws(LoadError) -> SecretBuffer<UInt32> {
        let loaded = try Decoder.loadSite(site.site, of: checkpoint, format: .int8, pool: layers.pool)
        let tokens = rows.count / site.inputs
        var result = SecretBuffer<UInt32>(repeating: 0, count: tokens * site.outputs)
        var out = result.mutableSpan
        ringLinear(rows, loaded.weights, into: &out, tokens: tokens, pool: layers.pool)
        return result
    }
}
