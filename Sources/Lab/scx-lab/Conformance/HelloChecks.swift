import SCXInference
import SCXLink

extension ConformanceCheck {
    /// The first message.
    static let hello: [ConformanceCheck] = [
        ConformanceCheck(101, .hello, "hello is answered, with the fields of version 4") { subject in
            let client = try subject.connect()
            let answer = try client.ask(WireRequest(.hello, WorkerHello.client(digest: subject.digest)))
            let hello = try WorkerHello(answer)
            try demand(hello.digest == subject.digest, "the worker's digest is \(hello.digest)")
            let shard = hello.shard == .whole ? "" : ", part \(hello.shard.index) of \(hello.shard.count)"
            return
                "weights '\(hello.weights)', ring \(hello.isRing ? 1 : 0), window \(hello.window)\(shard), "
                + "tensors up to \(hello.largestTensor) bytes"
        },
        ConformanceCheck(102, .hello, "fields that a later version may add to hello are ignored") { subject in
            let client = try subject.connect()
            let fields = WorkerHello.client(digest: subject.digest) + wire(UInt64(1 << 28)) + [1, 2, 3, 4, 5]
            _ = try WorkerHello(try client.ask(WireRequest(.hello, fields)))
            return "13 bytes more"
        },
        ConformanceCheck(103, .hello, "another version is refused with failure 5") { subject in
            for version: UInt16 in [0, 3, 5, .max] {
                try subject.refusesHello(
                    code: 5, WorkerHello.client(digest: subject.digest, version: version))
            }
            return "versions 0, 3, 5 and 65535"
        },
        ConformanceCheck(104, .hello, "of a hello of another version only its first three fields are read") {
            subject in
            try subject.refusesHello(code: 5, wire(UInt16(5)) + wire(subject.digest) + wire(""))
            try subject.refusesHello(
                code: 5,
                wire(UInt16(5)) + wire(subject.digest) + wire("") + [UInt8](repeating: 255, count: 40))
            return "no more fields, and 40 bytes of others"
        },
        ConformanceCheck(105, .hello, "another model is refused with failure 5") { subject in
            var other = Array(subject.digest.utf8)
            if let last = other.popLast() { other.append(last ^ 1) }
            let digests = [
                "", "another", subject.digest.uppercased() + " ", subject.digest + "0",
                String(decoding: other, as: UTF8.self),
            ]
            for digest in digests { try subject.refusesHello(code: 5, WorkerHello.client(digest: digest)) }
            return "\(digests.count) digests"
        },
        ConformanceCheck(106, .hello, "texts of a hello that are no names are malformed") { subject in
            let rest = [0] + wire(UInt16(0)) + wire(UInt16(0)) + wire(UInt16(1))
            let names: [[UInt8]] = [
                [7], Array("a\u{7F}".utf8), Array("ä".utf8), [0xFF, 0xFE],
                [UInt8](repeating: 0x61, count: 129),
            ]
            for name in names {
                let text = wire(UInt16(name.count)) + name
                try subject.refusesHello(code: 4, wire(UInt16(4)) + text + wire("") + rest)
                try subject.refusesHello(code: 4, wire(UInt16(4)) + wire(subject.digest) + text + rest)
            }
            return "control characters, no ASCII, no UTF-8, 129 bytes"
        },
        ConformanceCheck(107, .hello, "a hello that ends early is malformed") { subject in
            let fields = WorkerHello.client(digest: subject.digest)
            for count in 0..<fields.count { try subject.refusesHello(code: 4, Array(fields.prefix(count))) }
            return "cut after each of \(fields.count) bytes"
        },
        ConformanceCheck(108, .hello, "a ring above 1 and a shard that is none are malformed") { subject in
            let start = wire(UInt16(4)) + wire(subject.digest) + wire("")
            for (ring, index, count) in [(2, 0, 1), (255, 0, 1), (0, 1, 1), (0, 0, 0), (0, 65_535, 3)] {
                try subject.refusesHello(
                    code: 4,
                    start + [UInt8(ring)] + wire(UInt16(0)) + wire(UInt16(index)) + wire(UInt16(count)))
            }
            return "5 hellos"
        },
        ConformanceCheck(109, .hello, "a second hello ends the connection") { subject in
            let fields = WorkerHello.client(digest: subject.digest)
            try subject.refuses { WireRequest(.hello, fields).frames(number: $0).flatMap { $0 } }
            return "failure 4"
        },
        ConformanceCheck(110, .hello, "a hello whose number is not 1 ends the connection") { subject in
            let hello = WireRequest(.hello, WorkerHello.client(digest: subject.digest))
            for number: UInt64 in [0, 2, .max] {
                try subject.refuses(isGreeting: true) { _ in hello.frames(number: number).flatMap { $0 } }
            }
            return "numbers 0, 2 and 2^64 - 1"
        },
        ConformanceCheck(111, .hello, "a request before hello is refused at its head") { subject in
            // The head alone: a worker that took memory for the tensor first would wait for its bytes.
            try subject.refuses(isGreeting: true) { number in
                var head = WireHead(.linearRing, number: number)
                (head.elements, head.rows, head.channels) = (2, 1 << 10, 1 << 10)
                (head.fields, head.payload) = (4, 4)
                return head.bytes
            }
            try subject.refuses(isGreeting: true) { WireHead(.stats, number: $0).bytes }
            return "failure 4"
        },
        ConformanceCheck(112, .hello, "a hello with a tensor is refused at its head") { subject in
            try subject.refuses(isGreeting: true) { number in
                let fields = WorkerHello.client(digest: subject.digest)
                return WireRequest(.hello, fields, .floats([1, 2]), rows: 1).head(number: number).bytes
            }
            return "failure 4"
        },
    ]
}

extension ConformanceSubject {
    /// Checks that a hello is refused, and the connection closed.
    fileprivate func refusesHello(code: UInt16, _ fields: [UInt8]) throws {
        try refuses(code: code, isGreeting: true) {
            WireRequest(.hello, fields).frames(number: $0).flatMap { $0 }
        }
    }
}
