import SCXInference
import SCXLink

extension SessionSorter {
    /// Whether a request is one of the blocks of an encoder of pictures, which belong to no session's tokens.
    func isOfPictures(_ operation: Request.Operation) -> Bool {
        switch operation {
        case .linear(let layer, _, _, _), .linearRing(let layer, _, _):
            configuration.towerBlocks.contains(layer)
        case .middle(let blocks, _): configuration.towerBlocks.contains(blocks.lowerBound)
        default: false
        }
    }

    /// Checks that a request fits the model, as a worker does before it answers.
    func check(
        _ entry: TranscriptEntry, _ operation: Request.Operation, _ message: Int
    ) throws(AttackError) {
        let c = configuration
        let (queries, keys) = (c.headCount * c.headSize, c.keyValueHeadCount * c.headSize)
        func layer(_ layer: Int) throws(AttackError) {
            guard layer < c.blockCount else {
                throw .message(message, reason: "block \(layer) of a model of \(c.blockCount)")
            }
        }
        func rows(_ channels: Int, of elements: ElementCode = .float32) throws(AttackError) {
            guard entry.elements == elements, entry.rows > 0, entry.channels == channels else {
                throw .message(
                    message,
                    reason:
                        "'\(entry.kind)' of \(entry.rows) x \(entry.channels) \(entry.elements), where rows of "
                        + "\(channels) channels belong")
            }
        }
        /// The channels that a site's rows have, in all of its groups or some.
        func inputs(_ index: Int, _ site: Site, _ groups: [Int]? = nil) throws(AttackError) -> Int {
            let name = DecoderSite(site, layer: index)
            let all = c.groups(of: name)
            guard c.has(name), groups?.last ?? 0 < all else {
                throw .message(message, reason: "'\(site)' of block \(index), which has none")
            }
            return c.inputs(of: name) / all * (groups?.count ?? all)
        }
        switch operation {
        case .linear(let index, let site, _, _):
            if !isOfPictures(operation) { try layer(index) }
            try rows(inputs(index, site))
        case .linearRing(let index, let site, let groups):
            if !isOfPictures(operation) { try layer(index) }
            try rows(inputs(index, site, groups), of: .uint32)
        case .feedForward(let index):
            try layer(index)
            try rows(c.hiddenSize)
        case .headTopK: try rows(c.hiddenSize)
        case .attention(let index, let parts):
            try layer(index)
            for (part, layout) in zip(parts, entry.layouts) {
                guard part.position <= c.maximumLength, part.keys <= c.maximumLength - part.position,
                    part.queries > 0, part.queries <= part.position + part.keys, entry.rows == 1,
                    layout.channels == part.queries * queries + part.keys * 2 * keys
                else {
                    throw .message(
                        message,
                        reason:
                            "'attention' of \(layout.channels) numbers for \(part.queries) queries and "
                            + "\(part.keys) keys at position \(part.position)")
                }
            }
        case .middle(let blocks, let segments) where isOfPictures(operation):
            guard blocks.upperBound <= c.towerBlocks.upperBound, let vision = c.vision,
                segments.allSatisfy({ $0.position == 0 && (1...vision.rows).contains($0.rows) })
            else { throw .message(message, reason: "blocks \(blocks) of an encoder of pictures") }
            try rows(vision.encoder.hiddenSize)
        case .middle(let blocks, let segments):
            guard blocks.upperBound <= c.blockCount else {
                throw .message(
                    message, reason: "block \(blocks.upperBound - 1) of a model of \(c.blockCount)")
            }
            try rows(c.hiddenSize)
            var count = 0
            for segment in segments {
                guard segment.rows > 0, segment.position <= c.maximumLength,
                    segment.rows <= c.maximumLength - segment.position
                else { throw .message(message, reason: "a segment beyond the model's length") }
                count += segment.rows
            }
            guard count == entry.rows else {
                throw .message(message, reason: "segments of \(count) rows, a tensor of \(entry.rows)")
            }
        case .tailScores(let index, let segments):
            try layer(index)
            try rows(c.hiddenSize)
            guard segments.count == entry.rows,
                segments.allSatisfy({ $0.rows == 1 && $0.position < c.maximumLength })
            else { throw .message(message, reason: "segments that do not fit \(entry.rows) rows") }
        case .lockTail(_, let index):
            try layer(index)
            try rows(keys)
        case .unlock(_, let index, _, _):
            try layer(index)
            guard entry.elements == .uint32 else { throw .message(message, reason: "'unlock' without rows") }
        case .padProducts, .release, .stats: break
        }
    }
}
