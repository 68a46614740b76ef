import SCXLink

extension ConformanceCheck {
    /// Fields and tensors of requests.
    static let fields: [ConformanceCheck] = [
        cuts(301, .linear, WireRequest.linear(0, 1, [1], rows: 1)),
        cuts(
            302, .attention, WireRequest.attention(0, [(.init(queries: 1, keys: 1), 3)], [1, 2, 3])),
        cuts(303, .feedForward, WireRequest.feedForward(0, [1], rows: 1)),
        cuts(304, .headTopK, WireRequest.headTopK(1, [1], rows: 1)),
        cuts(305, .unlock, WireRequest.unlock(slot: 1, 0, position: 0, from: 2, [0]), whole: [10, 14]),
        cuts(306, .lockTail, WireRequest.lockTail(slot: 1, 0, [1], rows: 1)),
        cuts(
            307, .middle,
            WireRequest.middle(0..<1, [.init(slot: 1, queries: 1)], mutual: [0], [1], rows: 1),
            whole: [20, 21]),
        cuts(308, .tailScores, WireRequest.tailScores(0, [.init(slot: 1, queries: 1)], [1])),
        cuts(309, .linearRing, WireRequest.linearRing(0, 1, groups: [0], [1], rows: 1), whole: [4, 8]),
        cuts(310, .release, WireRequest.release(slot: 1)),
        cuts(311, .stats, WireRequest.stats),
        cuts(
            312, .padProducts,
            WireRequest.padProducts(0, 1, seed: [UInt8](repeating: 7, count: 32), first: 0, count: 1)),
        bad(313, "a site that there is not") { _ in
            [0, 11, .max].flatMap { site in
                [
                    WireRequest.linear(0, site, [1], rows: 1), WireRequest.linearRing(0, site, [1], rows: 1),
                    WireRequest.padProducts(
                        0, site, seed: [UInt8](repeating: 7, count: 32), first: 0, count: 1),
                ]
            }
        },
        bad(314, "an exactness above 1") { _ in
            [
                WireRequest.linear(0, 1, exact: 2, [1], rows: 1),
                WireRequest.linear(0, 1, exact: 255, [1], rows: 1),
            ]
        },
        bad(315, "a tensor of another kind, or none") { _ in
            let (floats, words) = (Message.Tensor.floats([1, 2]), Message.Tensor.words([0, 1]))
            func with(_ request: WireRequest, _ tensor: Message.Tensor) -> WireRequest {
                tensor == .none
                    ? WireRequest(request.kind, request.fields)
                    : WireRequest(request.kind, request.fields, tensor, rows: 1)
            }
            let part = WireRequest.Part(slot: 1, queries: 1)
            let takingFloats = [
                WireRequest.linear(0, 1, [1], rows: 1), .feedForward(0, [1], rows: 1),
                .headTopK(1, [1], rows: 1),
                .lockTail(slot: 1, 0, [1], rows: 1), .middle(0..<1, [part], [1], rows: 1),
                .tailScores(0, [part], [1]),
            ]
            let takingWords = [
                WireRequest.unlock(slot: 1, 0, position: 0, [0]), .linearRing(0, 1, [1], rows: 1),
            ]
            let takingNone = [
                WireRequest.release(slot: 1), .stats,
                .padProducts(0, 1, seed: [UInt8](repeating: 7, count: 32), first: 0, count: 1),
            ]
            return takingFloats.flatMap { [with($0, words), with($0, .none)] }
                + takingWords.flatMap { [with($0, floats), with($0, .none)] }
                + takingNone.flatMap { [with($0, floats), with($0, words)] }
        },
        bad(316, "blocks that end before they begin, and segments that are not there") { _ in
            let segment = WireRequest.Part(slot: 1, queries: 1)
            func middle(_ first: UInt16, _ end: UInt16, _ rest: [UInt8]) -> WireRequest {
                WireRequest(.middle, wire(first) + wire(end) + rest, .floats([1]), rows: 1)
            }
            let one = wire(UInt32(1)) + wire(segment.slot) + wire(UInt32(0)) + wire(UInt32(1))
            return [
                middle(1, 1, one), middle(2, 1, one), middle(0, 1, wire(UInt32.max)),
                middle(0, 1, wire(UInt32(2)) + one.dropFirst(4)),
                WireRequest(.tailScores, wire(UInt16(0)) + wire(UInt32.max), .floats([1]), rows: 1),
            ]
        },
        bad(317, "a direction of attention above 1, or too few of them") { _ in
            let segments = [WireRequest.Part(slot: 1, queries: 1), .init(slot: 2, queries: 1)]
            return [[2, 0], [0, 255], [0], [0, 0, 0]].map {
                WireRequest.middle(0..<1, segments, mutual: $0, [1, 2], rows: 2)
            }
        },
        bad(318, "groups of a site that do not rise, are none, or are too few") { _ in
            let twoOfOne = WireRequest(
                .linearRing, wire(UInt16(0)) + wire(UInt16(6)) + wire(UInt16(2)) + wire(UInt16(0)),
                .words([1]), rows: 1)
            return [[], [0, 0], [1, 0], [3, 4, 4]].map {
                WireRequest.linearRing(0, 6, groups: $0, [1], rows: 1)
            }
                + [twoOfOne]
        },
        bad(319, "pads of no row, and of 65,537") { _ in
            [0, 65_537, Int(UInt32.max)].map {
                WireRequest.padProducts(0, 1, seed: [UInt8](repeating: 7, count: 32), first: 0, count: $0)
            }
        },
        bad(320, "an attention of no part, of 16,385, and of parts that are not there") { _ in
            let part = WireRequest.attentionPart(
                .init(queries: 1, keys: 1), precision: 0, prefix: 0, channels: 1)
            func parts(_ count: UInt32, _ there: Int) -> WireRequest {
                WireRequest(
                    .attention,
                    wire(UInt16(0)) + wire(count) + [[UInt8]](repeating: part, count: there).flatMap { $0 },
                    .floats([Float](repeating: 1, count: max(1, there))), rows: 1)
            }
            return [parts(0, 0), parts(16_385, 16_385), parts(.max, 1), parts(2, 1)]
        },
        bad(321, "parts of an attention whose precision or prefix is none") { _ in
            [(1, 0, 3), (32, 0, 3), (255, 0, 3), (0, 1, 3), (8, 4, 3), (4, Int(UInt32.max), 3)].map {
                precision, prefix, channels in
                WireRequest.parts(
                    [(.init(queries: 1, keys: 1), UInt8(precision), prefix, channels)], .words([1, 2, 3]))
            }
        },
        bad(322, "parts of an attention whose channels are not those of the tensor") { _ in
            let part = WireRequest.Part(queries: 1, keys: 1)
            return [
                .parts([(part, 0, 0, 2)], .floats([1, 2, 3])), .parts([(part, 0, 0, 4)], .floats([1, 2, 3])),
                .parts([(part, 0, 0, 2), (part, 0, 0, 2)], .floats([1, 2, 3])),
                .parts([(part, 8, 0, 3)], .floats([1, 2, 3])), .parts([(part, 0, 0, 3)], .words([1, 2, 3])),
            ]
        },
        bad(323, "groups of values with a word too few or too many, or in two rows") { _ in
            let part = WireRequest.Part(queries: 1, keys: 1)
            var rows = WireRequest.parts([(part, 8, 0, 128)], .words([UInt32](repeating: 0, count: 34)))
            (rows.rows, rows.channels) = (2, 17)
            return [
                .parts([(part, 8, 0, 70)], .words([UInt32](repeating: 0, count: 33))),
                .parts([(part, 8, 0, 70)], .words([UInt32](repeating: 0, count: 35))),
                .parts([(part, 4, 3, 70)], .words([UInt32](repeating: 0, count: 22))),
                rows,
            ]
        },
        bad(324, "a group whose minimum or step is not finite") { _ in
            let part = WireRequest.Part(queries: 1, keys: 1)
            return [0x7C00, 0xFC00, 0x7E00, 0x7C00_0000, 0xFE00_0000].map { (word: UInt32) in
                .parts([(part, 8, 0, 64)], .words([word] + [UInt32](repeating: 0, count: 16)))
            }
        },
    ]

    /// A check that a request, which is given with all of its fields, is malformed when these are cut or longer; `whole` are
    /// the numbers of bytes that are right.
    private static func cuts(
        _ number: Int, _ kind: MessageKind, _ request: WireRequest, whole: Set<Int>? = nil
    ) -> ConformanceCheck {
        let whole = whole ?? [request.fields.count]
        return ConformanceCheck(number, .fields, "'\(kind)' with too few or too many fields: failure 4") {
            subject in
            var cut = request
            let counts = (0...request.fields.count + 3).filter { !whole.contains($0) }
            for count in counts {
                cut.fields = Array((request.fields + [255, 255, 255]).prefix(count))
                try subject.refuses(cut)
            }
            try subject.proveServing()
            return "\(counts.count) lengths"
        }
    }

    /// A check of requests that end a connection with failure 4, whatever the model.
    private static func bad(
        _ number: Int, _ name: String, _ requests: @escaping @Sendable (ConformanceSubject) -> [WireRequest]
    ) -> ConformanceCheck {
        ConformanceCheck(number, .fields, "\(name): failure 4") { subject in
            let requests = requests(subject)
            for (i, request) in requests.enumerated() {
                do { try subject.refuses(request) } catch {
                    throw ConformanceFailure(
                        "request \(i + 1) of \(requests.count), '\(request.kind)': \(error)")
                }
            }
            try subject.proveServing()
            return requests.count == 1 ? "1 request" : "\(requests.count) requests"
        }
    }
}

extension ConformanceSubject {
    /// Checks that a request is taken for malformed.
    func refuses(_ request: WireRequest) throws {
        try refuses { request.frames(number: $0).flatMap { $0 } }
    }
}

extension WireRequest {
    /// An attention of layer 0 whose parts and tensor may be any.
    static func parts(
        _ parts: [(part: Part, precision: UInt8, prefix: Int, channels: Int)], _ tensor: Message.Tensor
    ) -> WireRequest {
        let fields = parts.flatMap {
            attentionPart($0.part, precision: $0.precision, prefix: $0.prefix, channels: $0.channels)
        }
        return WireRequest(
            .attention, wire(UInt16(0)) + wire(UInt32(parts.count)) + fields, tensor, rows: 1)
    }
}
