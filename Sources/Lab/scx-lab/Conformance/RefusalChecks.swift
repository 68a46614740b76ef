import SCXInference
import SCXLink

extension ConformanceCheck {
    /// Requests that are well-formed and do not fit: each is refused with failure 1, and nothing has changed then.
    static let refusals: [ConformanceCheck] = [
        refused(701, "layers and sites that the model does not have") { subject, numbers in
            let (blocks, hidden) = (subject.model.blockCount, subject.model.hiddenSize)
            let beyond = subject.model.towerBlocks.upperBound
            let seed = [UInt8](repeating: 7, count: 32)
            var requests = [beyond, 65_535].flatMap { layer in
                [
                    WireRequest.linearRing(layer, 1, numbers.words(hidden), rows: 1),
                    .padProducts(layer, 1, seed: seed, first: 0, count: 1),
                    .linear(layer, 1, numbers.floats(hidden), rows: 1),
                ]
            }
            requests += [max(1, beyond)].flatMap { layer in
                [
                    WireRequest.linearRing(layer, 5, numbers.words(hidden), rows: 1),
                    .linear(layer, 5, numbers.floats(hidden), rows: 1),
                ]
            }
            if blocks > 0 {
                // Of the sites that not every model has, those that this one has not.
                for site in [
                    Site.gateUp, .down, .expertGateUp, .expertDown, .queryUp, .queryLatent, .valueUp,
                ]
                where !subject.model.has(DecoderSite(site, layer: 0)) {
                    requests += [
                        .linearRing(0, site.rawValue, numbers.words(hidden), rows: 1),
                        .padProducts(0, site.rawValue, seed: seed, first: 0, count: 1),
                        .linear(0, site.rawValue, numbers.floats(hidden), rows: 1),
                    ]
                }
            }
            return requests + (subject.canKeep ? [.feedForward(blocks, numbers.floats(hidden), rows: 1)] : [])
        },
        refused(702, "rows with a channel too few or too many") { subject, numbers in
            let (site, hidden) = (subject.smallSite, subject.model.hiddenSize)
            let inputs = subject.model.inputs(of: site)
            var requests: [WireRequest] = []
            for wrong in [inputs - 1, inputs + 1, 1] where wrong > 0 && wrong != inputs {
                requests += [
                    .linearRing(site, numbers.words(2 * wrong), rows: 2),
                    .linear(site, numbers.floats(2 * wrong), rows: 2),
                    .linear(site, exact: 1, numbers.floats(2 * wrong), rows: 2),
                ]
            }
            guard subject.canKeep else { return requests }
            for wrong in [hidden - 1, hidden + 1] {
                requests += [
                    .feedForward(0, numbers.floats(wrong), rows: 1),
                    .middle(0..<1, [.init(slot: 1, position: 3, queries: 1)], numbers.floats(wrong), rows: 1),
                ]
            }
            return requests
        },
        refused(703, "groups that a site does not have") { subject, numbers in
            subject.sites.flatMap { site in
                let count = subject.model.groups(of: site)
                let inputs = subject.model.inputs(of: site) / count
                return [
                    WireRequest.linearRing(site, groups: [count], numbers.words(inputs), rows: 1),
                    .linearRing(site, groups: [65_535], numbers.words(inputs), rows: 1),
                    .linearRing(site, groups: [0], numbers.words(inputs + 1), rows: 1),
                ]
            }
        },
        refused(704, "blocks, segments and positions that do not fit", needs: { try $0.needsCausal() }) {
            subject, numbers in
            let (hidden, blocks) = (subject.model.hiddenSize, subject.model.blockCount)
            let length = min(subject.model.maximumLength, Int(UInt32.max) - 1)
            func middle(
                _ range: Range<Int>, _ parts: [(UInt32, Int, Int)], rows: Int = 2
            ) -> WireRequest {
                .middle(
                    range, parts.map { .init(slot: $0.0, position: $0.1, queries: $0.2) },
                    numbers.floats(rows * hidden), rows: rows)
            }
            let beyond = subject.model.towerBlocks.upperBound
            // Slot 1 holds three tokens, slot 77 is not there.
            return [
                middle(0..<beyond + 1, [(1, 3, 2)]), middle(0..<65_535, [(1, 3, 2)]),
                middle(beyond..<beyond + 1, [(77, 0, 2)]), middle(0..<blocks, []), middle(0..<1, [(1, 3, 1)]),
                middle(0..<1, [(1, 3, 3)]), middle(0..<1, [(1, 3, 0), (77, 0, 2)]),
                middle(0..<1, [(1, 3, Int(UInt32.max)), (77, 0, 3)]), middle(0..<1, [(1, 4, 2)]),
                middle(0..<1, [(77, 1, 2)]), middle(0..<1, [(1, Int(UInt32.max), 2)]),
                middle(0..<1, [(1, length, 2)]), middle(0..<1, [(1, 3, 1), (1, 4, 1)]),
                middle(0..<1, [(1, 0, 1), (1, 0, 1)]),
            ]
        },
        refused(705, "parts of an attention that do not fit", needs: { try $0.needsCausal() }) {
            subject, numbers in
            let layer = subject.model.blockCount
            func one(_ layer: Int, _ part: WireRequest.Part, _ count: Int? = nil) -> WireRequest {
                let count = count ?? subject.attentionWidth(queries: part.queries, keys: part.keys)
                return .attention(layer, [(part, count)], numbers.floats(max(1, count)))
            }
            let width = subject.attentionWidth(queries: 1, keys: 1)
            let big = Int(UInt32.max)
            return [
                one(layer, .init(queries: 1, keys: 1)), one(65_535, .init(queries: 1, keys: 1)),
                one(0, .init(position: 1, queries: 1, keys: 1)),
                one(0, .init(slot: 77, position: 1, queries: 1, keys: 1)),
                one(0, .init(queries: 0, keys: 1)), one(0, .init(queries: 2, keys: 1)),
                one(0, .init(slot: 77, queries: 1, keys: 0)), one(0, .init(queries: 1, keys: 1), width - 1),
                one(0, .init(queries: 1, keys: 1), width + 1), one(0, .init(queries: big, keys: big), width),
                one(0, .init(queries: 1, keys: big), width),
                one(0, .init(queries: 1 << 31, keys: 1 << 31), width),
                one(0, .init(slot: 77, position: big, queries: 1, keys: 1)),
                // The first would do, the second not.
                .attention(
                    0,
                    [(.init(slot: 77, queries: 1, keys: 1), width), (.init(queries: 2, keys: 1), 2 * width)],
                    numbers.floats(3 * width)),
                .attention(
                    0,
                    [
                        (.init(slot: 77, queries: 1, keys: 1), width),
                        (.init(slot: 77, queries: 1, keys: 1), width),
                    ],
                    numbers.floats(2 * width)),
            ]
        },
        refused(
            706, "'linear' with a slot, 'unlock', 'lockTail' and 'tailScores' that do not fit",
            needs: { try $0.needsKeys() }
        ) {
            subject, numbers in
            let (hidden, blocks) = (subject.model.hiddenSize, subject.model.blockCount)
            let width = subject.model.keyValueHeadCount * subject.model.headSize
            let output = subject.model.inputs(of: .output(block: 0))
            let beyond = subject.model.maximumLength
            func tail(_ layer: Int, _ parts: [(UInt32, Int, Int)], rows: Int? = nil) -> WireRequest {
                var request = WireRequest.tailScores(
                    layer, parts.map { .init(slot: $0.0, position: $0.1, queries: $0.2) },
                    numbers.floats((rows ?? parts.count) * hidden))
                request.rows = rows ?? parts.count
                request.channels = hidden
                return request
            }
            // Slot 1 has rows to unlock and locked keys in layer 0.
            return [
                .linear(0, 2, slot: 1, numbers.floats(output), rows: 1),
                .unlock(slot: 77, 0, position: 0, [0]), .unlock(slot: 1, blocks, position: 0, [0]),
                .unlock(slot: 1, 0, position: 3, [4]), .unlock(slot: 1, 0, position: 3, [0, .max]),
                .unlock(slot: 1, 0, position: 4, [0]), .unlock(slot: 1, 0, position: Int(UInt32.max), [0]),
                .unlock(slot: 1, 0, position: 0, from: 77, [0]),
                .lockTail(slot: 77, blocks, numbers.floats(width), rows: 1),
                .lockTail(slot: 77, 0, numbers.floats(width + 1), rows: 1),
                tail(0, [(77, 1, 1)]), tail(blocks, [(1, 1, 1)]), tail(0, [(1, beyond, 1)]),
                tail(0, [(1, 1, 1)], rows: 2), tail(0, [(1, 1, 2)], rows: 2), tail(0, [(1, 1, 0)]),
                tail(0, [(1, 4, 1), (77, 1, 1)]), tail(0, [(1, 4, 1), (1, 5, 1)]), tail(0, [], rows: 1),
            ]
        },
        refused(
            707, "'headTopK' of no logit, of more than there are, or of rows that have none",
            needs: { try $0.needsHead() }
        ) {
            subject, numbers in
            let hidden = subject.model.hiddenSize
            return [0, subject.model.vocabularySize + 1, Int(UInt32.max)].map {
                .headTopK($0, numbers.floats(hidden), rows: 1)
            } + [.headTopK(1, [Float](repeating: .nan, count: hidden), rows: 1)]
        },
        ConformanceCheck(708, .refusals, "a worker with a part of each site refuses all other kinds") {
            subject in
            guard subject.hello.shard != .whole else {
                throw ConformanceSkip("the worker holds all of each site")
            }
            let client = try subject.open()
            var numbers = SampleNumbers(seed: 708)
            let hidden = subject.model.hiddenSize
            let width = subject.attentionWidth(queries: 1, keys: 1)
            for request in [
                WireRequest.linear(subject.smallSite, numbers.floats(hidden), rows: 1),
                .attention(0, [(.init(queries: 1, keys: 1), width)], numbers.floats(width)),
                .feedForward(0, numbers.floats(hidden), rows: 1),
                .headTopK(1, numbers.floats(hidden), rows: 1),
                .middle(0..<1, [.init(slot: 1, queries: 1)], numbers.floats(hidden), rows: 1),
                .unlock(slot: 1, 0, position: 0, [0]), .lockTail(slot: 1, 0, numbers.floats(hidden), rows: 1),
                .tailScores(0, [.init(slot: 1, queries: 1)], numbers.floats(hidden)),
            ] { try client.askInVain(request, "'\(request.kind)'") }
            return "8 kinds"
        },
        ConformanceCheck(
            709, .refusals, "exact products of weights that are two matrices of integers: failure 1"
        ) {
            subject in
            try subject.needsWhole()
            guard subject.hello.weights == WeightFormat.int8.rawValue,
                let site = subject.sites.first(where: {
                    subject.model.groups(of: $0) == 1 && !subject.model.owner(of: $0).isCausal
                })
            else { throw ConformanceSkip("its weights are one matrix at each site") }
            let session = try subject.session()
            var numbers = SampleNumbers(seed: 709)
            let values = numbers.floats(subject.model.inputs(of: site))
            try session.client.askInVain(.linear(site, exact: 1, values, rows: 1), "exact 1")
            try session.compare(.linear(site, values, rows: 1))
            return "failure 1"
        },
    ]

    /// A check of requests that are refused on a connection which goes on as if they had not been sent.
    private static func refused(
        _ number: Int, _ name: String,
        needs: @escaping @Sendable (ConformanceSubject) throws -> Void = { _ in },
        _ requests: @escaping @Sendable (ConformanceSubject, inout SampleNumbers) -> [WireRequest]
    ) -> ConformanceCheck {
        ConformanceCheck(number, .refusals, "\(name): failure 1") { subject in
            try needs(subject)
            let session = try subject.session()
            var numbers = SampleNumbers(seed: UInt64(number))
            try subject.fill(session)
            let requests = requests(subject, &numbers)
            for (i, request) in requests.enumerated() {
                try session.client.askInVain(
                    request, "request \(i + 1) of \(requests.count), '\(request.kind)'")
            }
            try session.compare(subject.good(rows: 1, seed: 7))
            try subject.useWhatWasFilled(session)
            return "\(requests.count) requests"
        }
    }
}

extension ConformanceSubject {
    /// Leaves three tokens in slot 1, four rows to unlock after them, and two locked keys, all in layer 0.
    fileprivate func fill(_ session: ComparedSession) throws {
        guard canKeep else { return }
        try session.compare(begin(slot: 1, rows: 3))
        guard model.latent == nil else { return }
        var numbers = SampleNumbers(seed: 7)
        try session.compare(.linear(0, 1, slot: 1, numbers.floats(4 * model.hiddenSize), rows: 4))
        let width = model.keyValueHeadCount * model.headSize
        try session.compare(.lockTail(slot: 1, 0, numbers.floats(2 * width), rows: 2))
    }

    /// Uses what ``fill(_:)`` left, so that nothing can have changed.
    fileprivate func useWhatWasFilled(_ session: ComparedSession) throws {
        guard canKeep else { return }
        try session.compare(goOn(slot: 1, position: 3))
        guard model.latent == nil else { return }
        var numbers = SampleNumbers(seed: 8)
        try session.compare(
            .tailScores(0, [.init(slot: 1, position: 5, queries: 1)], numbers.floats(model.hiddenSize)))
        try session.compare(.unlock(slot: 1, 0, position: 4, [3, 0, 2]))
        try session.compare(goOn(slot: 1, position: 7))
    }
}
