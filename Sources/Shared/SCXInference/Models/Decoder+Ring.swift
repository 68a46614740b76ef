/// Products modulo 2³², which profile `sealed` uses.
extension Decoder {
    /// Whether all loaded weights are int8 with one scale for each output, as products modulo 2³² need them.
    public var isRing: Bool { format == .int8 }

    /// The sites whose weights were loaded.
    public var loadedSites: [DecoderSite] {
        var sites: [DecoderSite] = []
        for (index, block) in blocks.enumerated() {
            if block.queryKeyValue != nil { sites.append(.queryKeyValue(block: index)) }
            if block.latent?.queryUp != nil { sites.append(.queryUp(block: index)) }
            if block.latent?.queryLatent != nil { sites.append(.queryLatent(block: index)) }
            if block.latent?.valueUp != nil { sites.append(.valueUp(block: index)) }
            if block.output != nil { sites.append(.output(block: index)) }
            if block.experts?.gateUp != nil { sites.append(.expertGateUp(block: index)) }
            if block.gateUp != nil { sites.append(.gateUp(block: index)) }
            if block.experts?.down != nil { sites.append(.expertDown(block: index)) }
            if block.down != nil { sites.append(.down(block: index)) }
        }
        if head != nil { sites.append(.head) }
        return sites + (tower?.loadedSites.map { $0.moved(by: configuration.blockCount) } ?? [])
    }

    /// The weights of a site, one matrix for each of its groups.
    ///
    /// - Precondition: The site was loaded.
    public func packedWeights(of site: DecoderSite) -> [PackedMatrix] { weights(site).groups }

    /// The bias of a site, one for each output; empty when it has none.
    ///
    /// - Precondition: The site was loaded.
    public func bias(of site: DecoderSite) -> [Float] { weights(site).bias }

    /// How many channels the rows of ``ringProduct(_:_:)`` have: those of the shard that was loaded.
    public func ringOutputs(of site: DecoderSite) -> Int {
        let groups = weights(site).groups
        return groups.count * groups[0].rows
    }

    /// Multiplies rows by a site's int8 weights modulo 2³², without scales and bias.
    ///
    /// - Parameters:
    ///   - rows: `[tokens, inputs]`, row-major.
    ///   - site: The site whose weights are used.
    ///   - groups: The groups of the site whose channels the rows and the result have; nil for all.
    /// - Returns: `[tokens, ringOutputs]`, row-major.
    /// - Precondition: ``isRing``, the site was loaded, and `rows` are whole rows.
    public func ringProduct(
        _ rows: Span<UInt32>, _ site: DecoderSite, groups: [Int]? = nil
    ) -> [UInt32] {
        let matrix = weights(site).groups[0]
        return filled(rows.count / matrix.columns * matrix.rows) { out in
            ringProduct(rows, site, groups: groups, into: &out)
        }
    }

    /// Multiplies rows by a site's int8 weights modulo 2³², and writes the result to the caller's memory.
    public func ringProduct(
        _ rows: Span<UInt32>, _ site: DecoderSite, groups chosen: [Int]? = nil,
        into out: inout MutableSpan<UInt32>
    ) {
        let all = weights(site).groups
        let groups = chosen.map { $0.map { all[$0] } } ?? all
        ringLinear(
            rows, groups, into: &out, tokens: rows.count / (groups.count * groups[0].columns), pool: pool)
    }
}
