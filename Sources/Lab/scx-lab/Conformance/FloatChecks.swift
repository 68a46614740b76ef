import SCXInference
import SCXLink

extension ConformanceCheck {
    /// Requests in float32, of which nothing is kept.
    static let floats: [ConformanceCheck] = [
        ConformanceCheck(501, .floats, "'linear' at each kind of site, 1, 2 and 17 rows") { subject in
            try subject.needsWhole()
            let (session, sites) = (try subject.session(), subject.singleSites)
            var numbers = SampleNumbers(seed: 501)
            for site in sites {
                for rows in [1, 2, 17] {
                    let values = numbers.floats(rows * subject.model.inputs(of: site))
                    try session.compare(.linear(site, values, rows: rows))
                }
            }
            return "\(sites.count) sites, \(session.nearness)"
        },
        ConformanceCheck(502, .floats, "'linear' with exact 1, identical to the last bit") { subject in
            try subject.needsWhole()
            guard subject.reference.knowsWeights else {
                throw ConformanceSkip("weights '\(subject.hello.weights)' are none that this program has")
            }
            // Where int8 weights are two matrices of integers, there is no product of both.
            let isInt8 = subject.hello.weights == WeightFormat.int8.rawValue
            let sites = subject.singleSites.filter { !isInt8 || subject.model.owner(of: $0).isCausal }
            guard !sites.isEmpty else {
                throw ConformanceSkip("its int8 weights are two matrices of integers")
            }
            let session = try subject.session()
            var numbers = SampleNumbers(seed: 502)
            for site in sites {
                for (rows, scale) in [(1, 1), (2, 0x1p20), (17, 0x1p40)] as [(Int, Float)] {
                    let values = numbers.floats(rows * subject.model.inputs(of: site)).map { $0 * scale }
                    try session.compare(.linear(site, exact: 1, values, rows: rows))
                }
            }
            return "\(sites.count) sites"
        },
        ConformanceCheck(503, .floats, "'attention' without a slot, of one part and of several") { subject in
            try subject.needsBlocks()
            let session = try subject.session()
            var numbers = SampleNumbers(seed: 503)
            let many = subject.mostRows
            for layer in subject.layers {
                for sizes in [[(1, 1)], [(2, 2)], [(many, many)], [(1, 9)], [(3, 5), (1, 1), (4, many)]] {
                    try session.compare(subject.attention(layer, sizes, &numbers))
                }
            }
            return "\(subject.layers.count) layers, \(session.nearness)"
        },
        ConformanceCheck(504, .floats, "'attention' in groups of 8 and 4 bits, with a prefix") { subject in
            try subject.needsBlocks()
            let session = try subject.session()
            var numbers = SampleNumbers(seed: 504)
            let width = subject.attentionWidth(queries: 2, keys: 3)
            for (bits, prefix) in [(8, 0), (4, 0), (8, 1), (4, width / 2), (8, width), (4, width - 1)] {
                let part = WireRequest.Part(queries: 2, keys: 3)
                let words = numbers.groups(width, bits: bits, prefix: prefix)
                try session.compare(
                    .parts([(part, UInt8(bits), prefix, width)], .words(words)))
                // Between a part in float32 and one of the other precision.
                let plain = numbers.floats(width).map(\.bitPattern)
                let other = numbers.groups(width, bits: 12 - bits, prefix: 0)
                try session.compare(
                    .parts(
                        [
                            (part, UInt8(bits), prefix, width), (part, 0, 0, width),
                            (part, UInt8(12 - bits), 0, width),
                        ],
                        .words(words + plain + other)))
            }
            return session.nearness
        },
        ConformanceCheck(505, .floats, "'feedForward' in the first and the last layer, 1, 2 and 17 rows") {
            subject in
            try subject.needsBlocks()
            let session = try subject.session()
            var numbers = SampleNumbers(seed: 505)
            for layer in subject.layers {
                for rows in [1, 2, 17] {
                    try session.compare(
                        .feedForward(layer, numbers.floats(rows * subject.model.hiddenSize), rows: rows))
                }
            }
            return "\(subject.layers.count) layers, \(session.nearness)"
        },
        ConformanceCheck(506, .floats, "'headTopK' of few logits, the largest first") { subject in
            try subject.needsHead()
            let session = try subject.session()
            var numbers = SampleNumbers(seed: 506)
            let vocabulary = subject.model.vocabularySize
            for (rows, count) in [(1, 1), (2, 5), (17, 40)] where count < vocabulary {
                try session.compare(
                    .headTopK(count, numbers.floats(rows * subject.model.hiddenSize), rows: rows))
            }
            // A row of zeros gives equal logits where the head has no bias: the lower token comes first.
            try session.compare(
                .headTopK(3, [Float](repeating: 0, count: subject.model.hiddenSize), rows: 1))
            return "1 to 40 of \(vocabulary)"
        },
        ConformanceCheck(507, .floats, "'headTopK' of all logits, in float32") { subject in
            try subject.needsHead()
            let session = try subject.session()
            var numbers = SampleNumbers(seed: 507)
            for rows in [1, 2, 17] {
                try session.compare(
                    .headTopK(
                        subject.model.vocabularySize, numbers.floats(rows * subject.model.hiddenSize),
                        rows: rows))
            }
            return session.nearness
        },
        ConformanceCheck(508, .floats, "'middle' of one block and of all, 1, 2 and 17 rows") { subject in
            try subject.needsBlocks()
            let session = try subject.session()
            var numbers = SampleNumbers(seed: 508)
            let last = subject.model.blockCount - 1
            for blocks in [0..<1, last..<last + 1, subject.manyBlocks] {
                for rows in [1, 2, subject.mostRows] {
                    try session.compare(
                        .middle(
                            blocks, [.init(slot: 1, queries: rows)],
                            numbers.floats(rows * subject.model.hiddenSize), rows: rows))
                }
            }
            return session.nearness
        },
        ConformanceCheck(509, .floats, "'middle' of several sessions in one request") { subject in
            try subject.needsBlocks()
            let session = try subject.session()
            var numbers = SampleNumbers(seed: 509)
            try session.compare(
                .middle(
                    subject.manyBlocks,
                    [.init(slot: 5, queries: 4), .init(slot: 0, queries: 1), .init(slot: .max, queries: 7)],
                    numbers.floats(12 * subject.model.hiddenSize), rows: 12))
            return session.nearness
        },
        ConformanceCheck(510, .floats, "'middle' of the blocks of an encoder of pictures") { subject in
            try subject.needsWhole()
            guard let vision = subject.model.vision else {
                throw ConformanceSkip("the model takes no pictures")
            }
            let session = try subject.session()
            var numbers = SampleNumbers(seed: 510)
            let (blocks, hidden) = (subject.model.towerBlocks, vision.encoder.hiddenSize)
            let rows = min(vision.rows, 17)
            try session.compare(
                .middle(
                    blocks, [.init(slot: 1, queries: rows), .init(slot: 2, queries: 1)],
                    numbers.floats((rows + 1) * hidden), rows: rows + 1))
            return "\(blocks.count) blocks, \(session.nearness)"
        },
    ]
}

extension ConformanceSubject {
    /// The first and the last layer of the decoder.
    var layers: [Int] { model.blockCount > 1 ? [0, model.blockCount - 1] : [0] }

    /// The kinds of sites that have one matrix, which 'linear' multiplies by.
    fileprivate var singleSites: [DecoderSite] { sites.filter { model.groups(of: $0) == 1 } }

    /// All blocks; the first alone where each block's roundings would choose other experts in the next.
    ///
    /// Two workers that round rows to integers may differ by a step, and so choose another expert for a row.
    var manyBlocks: Range<Int> {
        model.experts != nil && hello.weights != WeightFormat.f32.rawValue ? 0..<1 : 0..<model.blockCount
    }

    /// As many rows of one session as are tried at once.
    var mostRows: Int { min(17, model.maximumLength) }

    func needsHead() throws {
        try needsWhole()
        guard model.hasHead else { throw ConformanceSkip("the model has no head") }
    }

    /// How many numbers a part of an attention has.
    func attentionWidth(queries: Int, keys: Int) -> Int {
        (queries * model.headCount + 2 * keys * model.keyValueHeadCount) * model.headSize
    }

    /// An attention whose parts have so many queries and keys, and no slots.
    func attention(
        _ layer: Int, _ sizes: [(queries: Int, keys: Int)], _ numbers: inout SampleNumbers
    ) -> WireRequest {
        attention(layer, sizes.map { WireRequest.Part(queries: $0.queries, keys: $0.keys) }, &numbers)
    }

    func attention(
        _ layer: Int, _ parts: [WireRequest.Part], _ numbers: inout SampleNumbers
    ) -> WireRequest {
        let sized = parts.map { ($0, attentionWidth(queries: $0.queries, keys: $0.keys)) }
        return .attention(layer, sized, numbers.floats(sized.reduce(0) { $0 + $1.1 }))
    }
}

extension ComparedSession {
    /// How near the answers were, for the table.
    var nearness: String { "within \(deviation.short) of the largest" }
}

extension SampleNumbers {
    /// The words of a part in groups: a prefix in float32, then groups of 64 values with a minimum and a step.
    mutating func groups(_ channels: Int, bits: Int, prefix: Int) -> [UInt32] {
        var result = floats(prefix).map(\.bitPattern)
        // Minimum −1.5 and step 1/64 for 8 bits, 1/4 for 4: binary16 numbers 0xBE00, 0x2400 and 0x3400.
        let head: UInt32 = bits == 8 ? 0x2400_BE00 : 0x3400_BE00
        for _ in 0..<(channels - prefix + 63) / 64 { result += [head] + words(bits == 8 ? 16 : 8) }
        return result
    }
}
