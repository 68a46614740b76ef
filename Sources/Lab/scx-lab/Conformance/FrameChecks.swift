import SCXLink

extension ConformanceCheck {
    /// Heads and frames.
    static let frames = heads + rests

    /// A change to a head.
    private typealias Change = @Sendable (inout WireHead) -> Void

    private static let heads: [ConformanceCheck] = [
        bad(201, "bytes of another protocol") { _, _ in Array("GET / HTTP/1.1\r\nHost: worker\r\n\r\n".utf8)
        },
        badHead(202, "another magic") { $0.magic = Array("SCX2".utf8) },
        badHead(203, "a payload one byte above the limit") {
            ($0.fields, $0.payload) = (0, UInt32(FrameHead.payloadLimit) + 1)
        },
        badHeads(
            204, "a payload of 2^31 and of 2^32 - 1 bytes", [{ $0.payload = 1 << 31 }, { $0.payload = .max }]),
        badHeads(
            205, "a kind that there is not",
            ([0, 14, 63, 66, 255, .max] as [UInt16]).map { kind -> Change in { $0.kind = kind } }),
        badHeads(
            206, "flags that there are not",
            ([2, 3, 128, 255] as [UInt8]).map { flags -> Change in { $0.flags = flags } }),
        badHeads(
            207, "elements that there are not",
            ([3, 4, 255] as [UInt8]).map { code -> Change in { $0.elements = code } }),
        badHeads(
            208, "fields that are longer than the payload",
            [{ ($0.fields, $0.payload) = (5, 4) }, { $0.fields = 1 }, { $0.fields = .max }]),
        badHeads(
            209, "a tensor above 2^29 elements",
            ([(1 << 15, (1 << 14) + 1), (1, (1 << 29) + 1), (.max, .max)] as [(UInt32, UInt32)]).map {
                rows, channels -> Change in
                { ($0.elements, $0.rows, $0.channels) = (2, rows, channels) }
            }),
        badHeads(
            210, "a tensor whose size wraps to a small one in 32 or 64 bits",
            ([(1 << 16, 1 << 16), (1 << 31, 2), ((1 << 31) + 1, 2), (1 << 30, 4), (1 << 31, 1 << 31)]
                as [(UInt32, UInt32)]).map { rows, channels -> Change in
                    { ($0.elements, $0.rows, $0.channels) = (1, rows, channels) }
                }),
        badHeads(
            211, "elements without a tensor, or a tensor without elements",
            [
                { $0.elements = 1 }, { ($0.elements, $0.rows) = (2, 5) },
                { ($0.elements, $0.channels) = (2, 5) },
                { ($0.rows, $0.channels) = (1, 1) },
            ]),
        badHeads(
            212, "more bytes than the tensor has",
            [{ $0.payload = 1 }, { ($0.elements, $0.rows, $0.channels, $0.payload) = (1, 1, 1, 5) }]),
        badHead(213, "an answer instead of a request") { $0.flags = 1 },
        badHead(214, "a failure as a request") { $0.kind = MessageKind.failure.rawValue },
        badHead(215, "the rest of a message that did not begin") { $0.kind = MessageKind.more.rawValue },
        ConformanceCheck(216, .frames, "a request with another number than the next ends the connection") {
            subject in
            for wrong: UInt64 in [0, 1, 3, 1 << 63, .max] {
                try subject.refuses { _ in WireHead(.stats, number: wrong).bytes }
            }
            return "numbers 0, 1, 3, 2^63 and 2^64 - 1 where 2 is next"
        },
    ]

    private static let rests: [ConformanceCheck] = [
        badRest(217, "a next frame with another number") { $0.number += 1 },
        badRest(218, "a next frame that is an answer") { $0.flags = 1 },
        badRest(219, "a next frame with other elements") { $0.elements = 1 },
        badRests(220, "a next frame with another shape", [{ $0.rows += 1 }, { $0.channels += 1 }]),
        badRest(221, "a next frame with fields") { $0.fields = 1 },
        badRest(222, "an empty next frame") { $0.payload = 0 },
        badRest(223, "a next frame that is longer than the tensor's rest") { $0.payload += 4 },
        badRests(
            224, "another message in the middle of one",
            [
                { $0.kind = MessageKind.linearRing.rawValue },
                {
                    $0 = WireHead(.stats, number: $0.number + 1)
                },
            ]),
        badRest(225, "a next frame without its magic") { $0.magic = [0, 0, 0, 0] },
    ]

    /// A check of bytes that end a connection with failure 4.
    private static func bad(
        _ number: Int, _ name: String,
        _ bytes: @escaping @Sendable (ConformanceSubject, _ number: UInt64) -> [UInt8]
    ) -> ConformanceCheck {
        ConformanceCheck(number, .frames, "\(name): failure 4") { subject in
            try subject.refuses { bytes(subject, $0) }
            try subject.proveServing()
            return "and others are served"
        }
    }

    /// A check of heads that end a connection, each made of that of `stats`, which alone would be right.
    private static func badHeads(
        _ number: Int, _ name: String, _ changes: [Change]
    ) -> ConformanceCheck {
        refusals(number, name, changes) { number, change in
            var head = WireHead(.stats, number: number)
            change(&head)
            return head.bytes
        }
    }

    private static func badHead(
        _ number: Int, _ name: String, _ change: @escaping Change
    ) -> ConformanceCheck {
        badHeads(number, name, [change])
    }

    /// A check of second frames that end a connection, each made of the right head, whose payload follows.
    private static func badRests(
        _ number: Int, _ name: String, _ changes: [Change]
    ) -> ConformanceCheck {
        refusals(number, name, changes) { number, change in
            // A ring request of which the first frame has two words; a worker refuses it only when it is whole.
            let request = WireRequest.linearRing(0, 1, [UInt32](repeating: 7, count: 16), rows: 1)
            let first = request.frames(number: number, parts: [8])[0]
            var head = request.head(number: number)
            (head.kind, head.fields, head.payload) = (MessageKind.more.rawValue, 0, 56)
            change(&head)
            return first + head.bytes + [UInt8](repeating: 7, count: 56)
        }
    }

    private static func badRest(
        _ number: Int, _ name: String, _ change: @escaping Change
    ) -> ConformanceCheck {
        badRests(number, name, [change])
    }

    /// A check that each of several changes makes bytes which end a connection with failure 4.
    private static func refusals(
        _ number: Int, _ name: String, _ changes: [Change],
        _ bytes: @escaping @Sendable (_ number: UInt64, Change) -> [UInt8]
    ) -> ConformanceCheck {
        ConformanceCheck(number, .frames, "\(name): failure 4") { subject in
            for change in changes { try subject.refuses { number in bytes(number, change) } }
            try subject.proveServing()
            return "and others are served"
        }
    }
}
