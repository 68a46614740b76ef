import SCXLink
import Testing

@Suite("both halves of the protocol")
struct ProtocolTests {
    static let tensor = EncodedTensor(encodedRows: 2, channels: 4, values: [1, 2, 3, 4, 5, 6, 7, 8])
    static let request = Request(.feedForward(layer: 0), tensor)
    static let answer = Answer.tensor(tensor)
    static var hello: Hello {
        var hello = Hello(digest: LinkSamples.digest, weights: "int8")
        (hello.ring, hello.window) = (true, 2)
        return hello
    }
    static var worker: WorkerProtocol { WorkerProtocol(hello: hello, largestTensor: 32) }

    /// Both halves after their hellos.
    static func open() throws -> (client: ClientProtocol, worker: WorkerProtocol) {
        var client = ClientProtocol(digest: LinkSamples.digest, widestRow: 4)
        var worker = worker
        let hello = client.hello()
        try worker.begin(hello.head)
        guard case .send(let reply) = try worker.receive(hello) else {
            throw LinkError.disconnected("no reply")
        }
        try client.begin(reply.head)
        let theirs = try client.receiveHello(reply)
        #expect(theirs == hello)
        return (client, worker)
    }

    /// Has the worker take a whole message.
    static func take(_ message: Message, _ worker: inout WorkerProtocol) throws(LinkError)
        -> WorkerProtocol.Action
    {
        try worker.begin(message.head)
        return try worker.receive(message)
    }

    @Test("requests are served in turn, and errors answered leave both sides open")
    func exchange() throws {
        var (client, worker) = try Self.open()
        for i in 0..<6 {
            let message = try client.ask(Self.request)
            #expect(message.head.number == UInt64(i + 2))
            #expect(try Self.take(message, &worker) == .serve(Self.request))
            if i % 2 == 0 {
                let reply = worker.answer(.success(Self.answer))
                try client.begin(reply.head)
                #expect(try client.receive(reply) == Self.answer)
            } else {
                let reply = worker.answer(.failure(.workerFull("no\nplace")))
                try client.begin(reply.head)
                #expect(throws: LinkError.workerFull("no place")) { _ = try client.receive(reply) }
            }
        }
    }

    @Test("every error keeps its code and its reason on the way")
    func errors() throws {
        let errors: [LinkError] = [
            .invalidRequest("a"), .workerFull("b"), .unexpectedAnswer("c"), .malformedFrame("d"),
            .incompatible("e"), .timedOut("f"), .disconnected("g"),
        ]
        #expect(errors.map(\.code) == Array(1...7))
        var (client, worker) = try Self.open()
        for error in errors {
            _ = try Self.take(try client.ask(Self.request), &worker)
            let reply = worker.answer(.failure(error))
            #expect(throws: error) { _ = try client.receive(reply) }
        }
    }

    @Test("a message that may not come now closes the worker's side", arguments: 0..<8)
    func order(index: Int) throws {
        var (client, worker) = try Self.open()
        let next = try client.ask(Self.request)
        var head = next.head
        let reason: String
        switch index {
        case 0: (head.number, reason) = (1, "request 1 where 2 is next")  // Replayed.
        case 1: (head.number, reason) = (3, "request 3 where 2 is next")  // Skipped.
        case 2: (head.kind, reason) = (.hello, "'hello' may not come now")
        case 3: (head.isAnswer, reason) = (true, "'feedForward' is no request")
        case 4: (head.kind, reason) = (.failure, "'failure' is no request")
        case 5: (head.kind, reason) = (.more, "'more' is no request")
        case 6: (head.channels, reason) = (5, "a tensor of 40 bytes, the limit is 32")
        default: (head.number, reason) = (.max, "request 18446744073709551615 where 2 is next")
        }
        #expect(throws: LinkError.malformedFrame(reason)) { try worker.begin(head) }
        #expect(throws: LinkError.malformedFrame("'feedForward' may not come now")) {
            try worker.begin(next.head)
        }
    }

    @Test("the reason for which a request was turned away by its head reaches the client")
    func reason() throws {
        var (client, worker) = try Self.open()
        let large = EncodedTensor(encodedRows: 3, channels: 4, values: [Float](repeating: 0, count: 12))
        let message = try client.ask(Request(.feedForward(layer: 0), large))
        let error = LinkError.malformedFrame("a tensor of 48 bytes, the limit is 32")
        #expect(throws: error) { try worker.begin(message.head) }
        let reply = worker.failure(error)
        try client.begin(reply.head)
        #expect(throws: error) { _ = try client.receive(reply) }
    }

    @Test("a request that comes too early ends the connection, and the answer being computed says so")
    func pipelined() throws {
        var (client, worker) = try Self.open()
        let message = try client.ask(Self.request)
        _ = try Self.take(message, &worker)
        var early = message.head
        early.number += 1
        let error = LinkError.malformedFrame("'feedForward' may not come now")
        #expect(throws: error) { try worker.begin(early) }
        #expect(worker.answer(.success(Self.answer)) == worker.failure(error))
        #expect(throws: error) { try worker.begin(early) }
    }

    @Test("a request replayed after its answer closes the worker's side")
    func replay() throws {
        var (client, worker) = try Self.open()
        let message = try client.ask(Self.request)
        _ = try Self.take(message, &worker)
        _ = worker.answer(.success(Self.answer))
        #expect(throws: LinkError.malformedFrame("request 2 where 3 is next")) {
            try worker.begin(message.head)
        }
    }

    @Test("a request before the hello, or while one is computed, closes the worker's side")
    func early() throws {
        var worker = Self.worker
        #expect(throws: LinkError.malformedFrame("'feedForward' may not come now")) {
            try worker.begin(Self.request.message(number: 1).head)
        }
        var client = ClientProtocol(digest: LinkSamples.digest, widestRow: 4)
        let hello = client.hello()
        #expect(throws: LinkError.malformedFrame("'hello' may not come now")) { try worker.begin(hello.head) }

        (client, worker) = try Self.open()
        _ = try Self.take(try client.ask(Self.request), &worker)
        #expect(throws: LinkError.malformedFrame("'feedForward' may not come now")) {
            try worker.begin(Self.request.message(number: 3).head)
        }
    }

    @Test("a hello carries no tensor")
    func heavyHello() {
        var worker = Self.worker
        var head = FrameHead(kind: .hello, isAnswer: false, number: 1)
        (head.elements, head.rows, head.channels) = (.float32, 1, 1)
        #expect(throws: LinkError.malformedFrame("a tensor of 4 bytes, the limit is 0")) {
            try worker.begin(head)
        }
    }

    @Test("another version or model is refused by the worker, with a reason that travels")
    func incompatible() throws {
        for isVersion in [true, false] {
            var worker = Self.worker
            var client = ClientProtocol(digest: isVersion ? LinkSamples.digest : "other", widestRow: 4)
            var hello = client.hello()
            if isVersion { hello.fields[0] = 3 }
            try worker.begin(hello.head)
            let reason =
                isVersion
                ? "it speaks version 3 of the link, this worker 2"
                : "the worker serves another model (digest \(LinkSamples.digest))"
            #expect(throws: LinkError.incompatible(reason)) { _ = try worker.receive(hello) }
            let reply = worker.failure(.incompatible(reason))
            try client.begin(reply.head)
            #expect(throws: LinkError.incompatible(reason)) { _ = try client.receiveHello(reply) }
            #expect(throws: LinkError.disconnected("it was closed")) { _ = try client.ask(Self.request) }
        }
    }

    @Test("another version or model is refused by the client")
    func incompatibleWorker() throws {
        for (field, value, reason) in [
            (0, 3, "it speaks version 3 of the link, this program 2"),
            (
                4, UInt8(ascii: "S"),
                "it serves another model (digest S\(LinkSamples.digest.dropFirst()), "
                    + "this one has \(LinkSamples.digest))"
            ),
        ] as [(Int, UInt8, String)] {
            var client = ClientProtocol(digest: LinkSamples.digest, widestRow: 4)
            _ = client.hello()
            var reply = try LinkSamples.hellos()[1]
            reply.fields[field] = value
            try client.begin(reply.head)
            #expect(throws: LinkError.incompatible(reason)) { _ = try client.receiveHello(reply) }
        }
    }

    @Test("a malformed request closes the worker's side")
    func malformed() throws {
        var (client, worker) = try Self.open()
        var message = try client.ask(Self.request)
        message.fields.append(0)
        try worker.begin(message.head)
        #expect(throws: LinkError.malformedFrame("1 bytes after its fields")) {
            _ = try worker.receive(message)
        }
        #expect(throws: LinkError.malformedFrame("'feedForward' may not come now")) {
            try worker.begin(Self.request.message(number: 3).head)
        }
    }

    @Test("the answer for several sessions is limited by what was asked for each")
    func batchedAnswers() throws {
        let slots = (0..<3).map { Slot(number: $0) }
        let rows = EncodedTensor(encodedRows: 3, channels: 2, values: [1, 2, 3, 4, 5, 6])
        let part = EncodedTensor(encodedRows: 1, channels: 2, values: [1, 2])
        let parts = [2, 5, 1].map { AttentionPart(queries: $0, keys: 9) }
        for (request, limit) in [
            (Request(.attention(layer: 0, parts: parts), EncodedTensor(joining: [part, part, part])), 8 * 4),
            (
                Request(
                    .tailScores(
                        layer: 0, segments: slots.map { Segment(slot: $0, position: 10, rows: 1) }), rows),
                3 * 74 * 4
            ),
        ] {
            for excess in 0...1 {
                var (client, worker) = try Self.open()
                _ = try Self.take(try client.ask(request), &worker)
                var head = FrameHead(kind: request.kind, isAnswer: true, number: 2)
                (head.elements, head.rows, head.channels) = (.float32, 1, limit + excess)
                do throws(LinkError) {
                    try client.begin(head)
                    #expect(excess == 0)
                } catch {
                    #expect(
                        excess == 1
                            && error
                                == .unexpectedAnswer("1 x \(limit + 1) elements, at most \(limit) were asked")
                    )
                }
            }
        }
    }

    @Test("an answer that may not come closes the client's side", arguments: 0..<7)
    func answers(index: Int) throws {
        var (client, worker) = try Self.open()
        _ = try Self.take(try client.ask(Self.request), &worker)
        var head = worker.answer(.success(Self.answer)).head
        let error: LinkError
        switch index {
        case 0: (head.number, error) = (1, .malformedFrame("an answer to request 1, 2 was asked"))
        case 1: (head.number, error) = (3, .malformedFrame("an answer to request 3, 2 was asked"))
        case 2: (head.isAnswer, error) = (false, .malformedFrame("'feedForward' is no answer"))
        case 3: (head.kind, error) = (.more, .malformedFrame("'more' is no answer"))
        case 4:
            (head.rows, error) = (3, .unexpectedAnswer("3 x 4 elements, at most 8 were asked"))
        case 5:
            (head.channels, error) = (5, .unexpectedAnswer("2 x 5 elements, at most 8 were asked"))
        default:
            (head.rows, error) = (
                1 << 29, .unexpectedAnswer("536870912 x 4 elements, at most 8 were asked")
            )
        }
        #expect(throws: error) { try client.begin(head) }
        #expect(throws: LinkError.disconnected("it was closed")) { _ = try client.ask(Self.request) }
    }

    @Test("an answer that nobody asked for, or that was given before, closes the client's side")
    func unasked() throws {
        var (client, worker) = try Self.open()
        _ = try Self.take(try client.ask(Self.request), &worker)
        let reply = worker.answer(.success(Self.answer))
        try client.begin(reply.head)
        _ = try client.receive(reply)
        #expect(throws: LinkError.malformedFrame("an answer that nobody asked for")) {
            try client.begin(reply.head)
        }
        #expect(throws: LinkError.disconnected("it was closed")) { _ = try client.ask(Self.request) }
    }

    @Test("an answer of another kind, or a failure that cannot be read, closes the client's side")
    func wrongAnswer() throws {
        for isFailure in [true, false] {
            var (client, worker) = try Self.open()
            _ = try Self.take(try client.ask(Self.request), &worker)
            var reply =
                isFailure ? worker.answer(.failure(.workerFull("x"))) : worker.answer(.success(Self.answer))
            if isFailure { reply.fields.removeLast() } else { reply.head.kind = .linear }
            try client.begin(reply.head)
            #expect(throws: LinkError.self) { _ = try client.receive(reply) }
            #expect(throws: LinkError.disconnected("it was closed")) { _ = try client.ask(Self.request) }
        }
    }

    @Test("nothing may be asked before the hellos, and one thing at a time")
    func oneAtATime() throws {
        var client = ClientProtocol(digest: LinkSamples.digest, widestRow: 4)
        #expect(throws: LinkError.disconnected("it was closed")) { _ = try client.ask(Self.request) }
        _ = client.hello()
        #expect(throws: LinkError.disconnected("it was closed")) { _ = try client.ask(Self.request) }
        (client, _) = try Self.open()
        _ = try client.ask(Self.request)
        #expect(throws: LinkError.disconnected("it was closed")) { _ = try client.ask(Self.request) }
    }
}
