/// Products modulo 2³², which profile `sealed` uses.
extension Decoder {
    /// Whether all loaded weights are int8 with one scale for each output, as products modulo 2³² need them.
    public var isRing: Bool { format == .int8 }

    /// The sites whose weights were loaded.
    public var loadedSites: [DecoderSite] {
        var sites: [DecoderSite] = []
        for (index, block) in blocks.enumerated() {
            if block.queryKeyValue != nil { sites.append(.queryKeyValue(block: index)) }
            if block.output != nil { sites.append(.output(block: index)) }
            if block.gateUp != nil { sites.append(.gateUp(block: index)) }
            if block.down != nil { sites.append(.down(block: index)) }
        }
        if head != nil { sites.append(.head) }
        return sites
    }

    /// The int8 weights of a site, without scales and bias.
    ///
    /// - Precondition: The site was loaded.
    public func packedWeights(of site: DecoderSite) -> PackedMatrix { weights(site).weights }

    /// The bias of a site, one for each output; empty when it has none.
    ///
    /// - Precondition: The site was loaded.
    public func bias(of site: DecoderSite) -> [Float] { weights(site).bias }

    /// How many channels the rows of ``ringProduct(_:_:)`` have: those of the shard that was loaded.
    public func ringOutputs(of site: DecoderSite) -> Int { weights(site).weights.rows }

    /// Multiplies rows by a site's int8 weights modulo 2³², without scales and bias.
    ///
    /// - Parameters:
    ///   - rows: `[tokens, inputs]`, row-major.
    ///   - site: The site whose weights are used.
    /// - Returns: `[tokens, ringOutputs]`, row-major.
    /// - Precondition: ``isRing``, the site was loaded, and `rows` are whole rows.
    public func ringProduct(_ rows: Span<UInt32>, _ site: DecoderSite) -> [UInt32] {
        let weights = weights(site).weights
        return filled(rows.count / weights.columns * weights.rows) { out in
            ringProduct(rows, site, into: &out)
        }
    }

    /// Multiplies rows by a site's int8 weights modulo 2³², and writes the result to the caller's memory.
    public func ringProduct(_ rows: Span<UInt32>, _ site: DecoderSite, into out: inout MutableSpan<UInt32>) {
        let weights = weights(site).weights
        ringLinear(rows, weights, into: &out, tokens: rows.count / weights.columns, pool: pool)
    }
}
