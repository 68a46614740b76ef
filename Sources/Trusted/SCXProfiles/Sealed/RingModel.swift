package import SCXEncoding
package import SCXInference
import SCXLink

/// The parts of a model that the trusted side holds in profile `sealed`.
///
/// It has the embedding, the norms, and for each site the scales, the bound and the secret sketch. The weights are
/// read once, site by site, and not kept. With a ``SiteStore`` that has the sites they are not read at all.
package final class RingModel: Sendable {
    package let checkpoint: Checkpoint
    package let embedding: TokenEmbedding
    /// The norms and the rotation; no products are loaded.
    package let layers: Decoder
    /// The sites in the order of a forward pass.
    package let sites: [RingSite]
    private let bySite: [DecoderSite: RingSite]
    /// The encoder of pictures as a model of its own, whose sites are among those of the whole; nil for none.
    let tower: RingModel?
    /// What comes before and after its blocks.
    let pictures: PictureModel?
    private let store: SiteStore?
    /// Whether the sites came from the store, so that no weights were read.
    package let wereKept: Bool

    package var configuration: DecoderConfiguration { layers.configuration }

    /// Reads a checkpoint.
    ///
    /// - Parameters:
    ///   - checkpoint: The model.
    ///   - pool: Threads that pack now and compute later.
    ///   - store: Where the sites are stored between starts; nil to compute them at each start.
    ///   - progress: Called with the fraction done, 0 to 1.
    /// - Throws: ``LoadError`` or ``CheckpointError`` that names the file and the tensor, ``VaultError`` when the
    ///   store was written under another key.
    package init(
        _ checkpoint: Checkpoint, pool: ThreadPool, store: SiteStore? = nil,
        progress: (_ fraction: Double) -> Void = { _ in }
    ) throws {
        self.checkpoint = checkpoint
        self.store = store
        embedding = try TokenEmbedding(checkpoint)
        let layers = try Decoder(checkpoint, format: .int8, pool: pool, parts: DecoderParts())
        self.layers = layers
        let names = checkpoint.configuration.sites
        if let kept = try store?.load(names.map { SiteShape($0, layers) }) {
            (sites, wereKept) = (kept, true)
        } else {
            var random = SecureRandom()
            var made: [RingSite] = []
            for name in names {
                let loaded = try Decoder.loadGroups(name, of: checkpoint, format: .int8, pool: pool)
                made.append(
                    RingSite(name, weights: loaded.groups, bias: loaded.bias, random: &random, pool: pool))
                progress(Double(made.count) / Double(names.count))
            }
            store?.save(made)
            (sites, wereKept) = (made, false)
        }
        let bySite = Dictionary(uniqueKeysWithValues: sites.map { ($0.site, $0) })
        self.bySite = bySite
        pictures = try PictureModel(checkpoint, pool: pool)
        tower =
            if let view = checkpoint.tower, let tower = layers.tower {
                try RingModel(
                    view, layers: tower,
                    sites: zip(view.configuration.sites, names.suffix(view.configuration.sites.count)).map {
                        ($0, bySite[$1])
                    })
            } else { nil }
    }

    /// Makes the model of an encoder of pictures.
    ///
    /// - Parameters:
    ///   - checkpoint: The encoder's part of the checkpoint.
    ///   - layers: Its norms.
    ///   - named: The sites of the whole model by their names in the encoder.
    /// - Throws: ``CheckpointError`` when the norm after its blocks is missing.
    private init(
        _ checkpoint: Checkpoint, layers: Decoder, sites named: [(DecoderSite, RingSite?)]
    ) throws(CheckpointError) {
        self.checkpoint = checkpoint
        (self.layers, store, wereKept) = (layers, nil, true)
        embedding = try TokenEmbedding(checkpoint)
        let found = named.compactMap { name, site in site.map { (name, $0) } }
        sites = found.map(\.1)
        bySite = Dictionary(uniqueKeysWithValues: found)
        (tower, pictures) = (nil, nil)
    }

    /// Returns a site of the model by its name.
    package subscript(site: DecoderSite) -> RingSite {
        guard let found = bySite[site] else { preconditionFailure("RingModel: no such site") }
        return found
    }

    /// Whether the worker or the source of the pad computed a wrong product.
    enum Verdict {
        /// The worker's answer is right, so the product of the pad is wrong.
        case answerIsRight
        /// The worker's answer is wrong, at this column first.
        case answerIsWrong(column: Int)
        /// It is not known, because the weights cannot be read here.
        case unknown
    }

    /// Finds out whether a refused answer is the right product, and draws the site's secret anew.
    ///
    /// What a liar has learned from the refusal is then of no use, neither in this process nor after a restart,
    /// because the stored secret is removed first.
    ///
    /// - Parameters:
    ///   - row: The row whose check failed.
    ///   - site: The site of the product.
    /// - Returns: Who computed the product that was refused.
    /// - Throws: ``LinkError`` when the weights are not those of which the site was made.
    func judge(_ row: WrongRow, _ site: RingSite) throws(LinkError) -> Verdict {
        store?.remove()
        guard let weights = try? self.weights(of: site) else { return .unknown }
        try check(site, weights)
        var random = SecureRandom()
        site.renewSketch(weights, random: &random, pool: layers.pool)
        let right = product(row.padded.span, row.groups.map { weights[$0] })
        let wrong = row.answer.indices.first { row.answer[$0] != right.span[$0] }
        return wrong.map { Verdict.answerIsWrong(column: $0) } ?? .answerIsRight
    }

    /// Computes a product on the trusted side, from the checkpoint.
    ///
    /// This is slow, since it reads and packs the site's weights.
    ///
    /// - Parameters:
    ///   - rows: `[rows, inputs]`, modulo 2³².
    ///   - site: The site by whose integers they are multiplied.
    ///   - groups: The groups of the site whose channels the rows have.
    /// - Returns: `[rows, outputs]`, modulo 2³².
    /// - Throws: ``LinkError`` when the checkpoint is gone, or its weights are not those of which the site was made.
    func product(
        _ rows: Span<UInt32>, _ site: RingSite, groups: [Int]
    ) throws(LinkError) -> SecretBuffer<UInt32> {
        let weights: [PackedMatrix]
        do throws(LoadError) { weights = try self.weights(of: site) } catch {
            throw .unreachable("no worker gives a right product, and the model cannot be read here: \(error)")
        }
        try check(site, weights)
        return product(rows, groups.map { weights[$0] })
    }

    private func weights(of site: RingSite) throws(LoadError) -> [PackedMatrix] {
        try Decoder.loadGroups(site.site, of: checkpoint, format: .int8, pool: layers.pool).groups
    }

    /// Checks that the site was made of these weights: the digest covers only a part of each tensor, so the
    /// checkpoint may have been changed since the store was written.
    private func check(_ site: RingSite, _ weights: [PackedMatrix]) throws(LinkError) {
        guard !site.isMade(of: weights, pool: layers.pool) else { return }
        store?.remove()
        let remedy = store.map { "; \($0.path) was of others and is removed, so start again" } ?? ""
        throw .incompatible("the weights in \(checkpoint.directory) were changed\(remedy)")
    }

    private func product(_ rows: Span<UInt32>, _ weights: [PackedMatrix]) -> SecretBuffer<UInt32> {
        let tokens = rows.count / (weights.count * weights[0].columns)
        var result = SecretBuffer<UInt32>(repeating: 0, count: tokens * weights.count * weights[0].rows)
        var out = result.mutableSpan
        ringLinear(rows, weights, into: &out, tokens: tokens, pool: layers.pool)
        return result
    }
}

extension SiteShape {
    /// The shape of a decoder's site, whether it is loaded or not.
    init(_ site: DecoderSite, _ decoder: Decoder) {
        let configuration = decoder.configuration.owner(of: site)
        let hasBias =
            switch site {
            // Only the reduced queries have a bias, beside the latent.
            case .queryKeyValue: configuration.queryKeyValueBias
            case .output: configuration.outputBias
            case .gateUp(let block), .down(let block):
                configuration.feedForwardBias
                    && (decoder.configuration.towerBlocks.contains(block) || !configuration.hasExperts(block))
            case .expertGateUp, .expertDown: configuration.experts?.hasBias ?? false
            case .queryUp, .queryLatent, .valueUp, .head: false
            }
        self.init(
            site: site, inputs: decoder.inputs(of: site),
            outputs: decoder.configuration.ringOutputs(of: site),
            hasBias: hasBias, groups: decoder.configuration.groups(of: site))
    }
}
