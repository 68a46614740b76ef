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
        var client = ClientProtocol(digest: LinkSamples.digest, model: LinkSamples.model)
        var worker = worker
        let hello = client.hello()
        try worker.begin(hello.head)
        guard case .send(let reply) = try worker.receive(hello) else {
            throw LinkError.disconnected("no reply")
        }
        try client.begin(reply.head)
        let theirs = try client.receiveHello(reply)
        #expect(theirs == Self.hello)
        return (client, worker)
    }

    /// What follows on a closed side.
    static let closed = LinkError.malformedFrame("'feedForward' may not come now")

    /// Has the worker take a whole message.
    static func take(_ message: Message, _ worker: inout WorkerProtocol) throws(LinkError)
        -> WorkerProtocol.Action
    {
        try worker.begin(message.head)
        return try worker.receive(message)
    }

    @Test("requests are served in turn, and requests refused leave both sides open")
    func exchange() throws {
        var (client, worker) = try Self.open()
        for number in 2..<8 as Range<UInt64> {
            let message = try client.ask(Self.request)
            #expect(message.head.number == number)
            #expect(try Self.take(message, &worker) == .serve(Self.request, number: number))
            if number % 2 == 0 {
                let reply = worker.answer(.success(Self.answer), to: number)
                try client.begin(reply.head)
                #expect(try client.receive(reply) == Self.answer)
            } else {
                let reply = worker.answer(.failure(.workerFull("no\nplace")), to: number)
                try client.begin(reply.head)
                #expect(throws: LinkError.workerFull("no\\nplace")) { _ = try client.receive(reply) }
                #expect(client.isOpen)
            }
        }
    }

    @Test("several requests are on their way at once, and answered in any order")
    func inFlight() throws {
        var (client, worker) = try Self.open()
        #expect(client.hasRoom)
        let other = Request(.headTopK(count: 1), Self.tensor)
        _ = try Self.take(try client.ask(Self.request), &worker)
        #expect(client.hasRoom)
        #expect(try Self.take(try client.ask(other), &worker) == .serve(other, number: 3))
        #expect(!client.hasRoom)
        let top = Answer.topK([[TokenLogit(token: 7, logit: 1)], [TokenLogit(token: 8, logit: 2)]])
        let second = worker.answer(.success(top), to: 3)
        #expect(second.head.kind == .headTopK && second.head.number == 3)
        try client.begin(second.head)
        #expect(try client.receive(second) == top)
        // There is room for one more, on both sides, while the first is still computed.
        #expect(client.hasRoom)
        #expect(try Self.take(try client.ask(other), &worker) == .serve(other, number: 4))
        #expect(!client.hasRoom)
        // A request that is refused leaves the others on their way.
        let refusal = worker.answer(.failure(.invalidRequest("no")), to: 4)
        try client.begin(refusal.head)
        #expect(throws: LinkError.invalidRequest("no")) { _ = try client.receive(refusal) }
        let first = worker.answer(.success(Self.answer), to: 2)
        #expect(first.head.kind == .feedForward)
        try client.begin(first.head)
        #expect(try client.receive(first) == Self.answer)
        #expect(client.isOpen && client.hasRoom)
    }

    @Test("a request beyond the window ends the connection, and those in it can still be answered")
    func beyondWindow() throws {
        var (client, worker) = try Self.open()
        for _ in 0..<2 { _ = try Self.take(try client.ask(Self.request), &worker) }
        let third = Self.request.message(number: 4)
        let error = LinkError.malformedFrame("request 4 while 2 are being computed")
        #expect(throws: error) { try worker.begin(third.head) }
        #expect(throws: Self.closed) { try worker.begin(third.head) }
        for number: UInt64 in [3, 2] {
            let reply = worker.answer(.success(Self.answer), to: number)
            try client.begin(reply.head)
            #expect(try client.receive(reply) == Self.answer)
        }
        // It names the request that it is about, which this client never sent.
        let reply = worker.failure(.timedOut("x"))
        #expect(throws: LinkError.malformedFrame("an answer to request 4, which waits for none")) {
            try client.begin(reply.head)
        }
    }

    @Test("a client that has no room asks nothing, and a worker answers what it was asked, once")
    func preconditions() async {
        await #expect(processExitsWith: .failure) {
            var (client, _) = try ProtocolTests.open()
            for _ in 0..<3 { _ = try client.ask(ProtocolTests.request) }
        }
        await #expect(processExitsWith: .failure) {
            var (client, worker) = try ProtocolTests.open()
            _ = try ProtocolTests.take(try client.ask(ProtocolTests.request), &worker)
            for _ in 0..<2 { _ = worker.answer(.success(ProtocolTests.answer), to: 2) }
        }
        await #expect(processExitsWith: .failure) {
            _ = WorkerProtocol(hello: Hello(digest: LinkSamples.digest), largestTensor: 32)
        }
    }

    @Test("every error keeps its code and its reason on the way")
    func errors() throws {
        let errors: [LinkError] = [
            .invalidRequest("a"), .workerFull("b"), .unexpectedAnswer("c"), .malformedFrame("d"),
            .incompatible("e"), .timedOut("f"), .disconnected("g"),
        ]
        #expect(errors.map(\.code) == Array(1...7))
        for error in errors {
            var (client, worker) = try Self.open()
            _ = try Self.take(try client.ask(Self.request), &worker)
            let reply = worker.answer(.failure(error), to: 2)
            try client.begin(reply.head)
            #expect(throws: error) { _ = try client.receive(reply) }
            // A worker that answers anything but a refusal closes: what else is on its way has no answer.
            #expect(client.isOpen == (error.code <= 2))
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
        #expect(throws: Self.closed) { try worker.begin(next.head) }
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

    @Test("a request replayed, before its answer or after it, closes the worker's side")
    func replay() throws {
        for isAnswered in [false, true] {
            var (client, worker) = try Self.open()
            let message = try client.ask(Self.request)
            _ = try Self.take(message, &worker)
            if isAnswered { _ = worker.answer(.success(Self.answer), to: 2) }
            #expect(throws: LinkError.malformedFrame("request 2 where 3 is next")) {
                try worker.begin(message.head)
            }
        }
    }

    @Test("a request before the hello closes the worker's side, and so does a hello among requests")
    func early() throws {
        var worker = Self.worker
        #expect(throws: Self.closed) { try worker.begin(Self.request.message(number: 1).head) }
        var client = ClientProtocol(digest: LinkSamples.digest, model: LinkSamples.model)
        let hello = client.hello()
        #expect(throws: LinkError.malformedFrame("'hello' may not come now")) { try worker.begin(hello.head) }

        (client, worker) = try Self.open()
        _ = try Self.take(try client.ask(Self.request), &worker)
        var again = hello.head
        again.number = 3
        #expect(throws: LinkError.malformedFrame("'hello' may not come now")) { try worker.begin(again) }
        #expect(throws: Self.closed) { try worker.begin(Self.request.message(number: 3).head) }
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
            var client = ClientProtocol(
                digest: isVersion ? LinkSamples.digest : "other", model: LinkSamples.model)
            var hello = client.hello()
            if isVersion { hello.fields[0] = 5 }
            try worker.begin(hello.head)
            let reason =
                isVersion
                ? "it speaks version 5 of the link, this worker 4"
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
            (0, 5, "it speaks version 5 of the link, this program 4"),
            (0, 2, "it speaks version 2 of the link, this program 4"),
            (
                4, UInt8(ascii: "S"),
                "it serves another model (digest S\(LinkSamples.digest.dropFirst()), "
                    + "this one has \(LinkSamples.digest))"
            ),
        ] as [(Int, UInt8, String)] {
            var client = ClientProtocol(digest: LinkSamples.digest, model: LinkSamples.model)
            _ = client.hello()
            var reply = try LinkSamples.hellos()[1]
            reply.fields[field] = value
            try client.begin(reply.head)
            #expect(throws: LinkError.incompatible(reason)) { _ = try client.receiveHello(reply) }
        }
        var client = ClientProtocol(digest: LinkSamples.digest, model: LinkSamples.model)
        let reply = client.hello()  // A worker without a window, as the client's hello has none.
        #expect(throws: LinkError.incompatible("it takes no requests")) { _ = try client.receiveHello(reply) }
        #expect(throws: LinkError.disconnected("it was closed")) { _ = try client.ask(Self.request) }
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
        #expect(throws: Self.closed) { try worker.begin(Self.request.message(number: 3).head) }
    }

    static func unexpected(_ shape: String) -> LinkError {
        .unexpectedAnswer("'feedForward' with \(shape), 2 x 4 float32 were asked")
    }

    @Test("an answer that may not come closes the client's side", arguments: 0..<7)
    func answers(index: Int) throws {
        var (client, worker) = try Self.open()
        _ = try Self.take(try client.ask(Self.request), &worker)
        var head = worker.answer(.success(Self.answer), to: 2).head
        let error: LinkError
        switch index {
        case 0: (head.number, error) = (1, .malformedFrame("an answer to request 1, which waits for none"))
        case 1: (head.number, error) = (3, .malformedFrame("an answer to request 3, which waits for none"))
        case 2: (head.isAnswer, error) = (false, .malformedFrame("'feedForward' is no answer"))
        case 3: (head.kind, error) = (.more, .malformedFrame("'more' is no answer"))
        case 4:
            (head.rows, error) = (3, Self.unexpected("3 x 4 float32"))
        case 5:
            (head.channels, error) = (5, Self.unexpected("2 x 5 float32"))
        default:
            (head.rows, error) = (1 << 29, Self.unexpected("536870912 x 4 float32"))
        }
        #expect(throws: error) { try client.begin(head) }
        #expect(throws: LinkError.disconnected("it was closed")) { _ = try client.ask(Self.request) }
    }

    @Test("an answer that nobody asked for, or that was given before, closes the client's side")
    func unasked() throws {
        var (client, worker) = try Self.open()
        _ = try Self.take(try client.ask(Self.request), &worker)
        _ = try Self.take(try client.ask(Self.request), &worker)
        let reply = worker.answer(.success(Self.answer), to: 2)
        try client.begin(reply.head)
        _ = try client.receive(reply)
        #expect(throws: LinkError.malformedFrame("an answer to request 2, which waits for none")) {
            try client.begin(reply.head)
        }
        // Nor does an answer to the other count any more.
        let late = worker.answer(.success(Self.answer), to: 3)
        #expect(throws: LinkError.malformedFrame("an answer that nobody asked for")) {
            try client.begin(late.head)
        }
        #expect(throws: LinkError.disconnected("it was closed")) { _ = try client.ask(Self.request) }

        var greeting = ClientProtocol(digest: LinkSamples.digest, model: LinkSamples.model)
        #expect(throws: LinkError.malformedFrame("an answer that nobody asked for")) {
            try greeting.begin(reply.head)
        }
        greeting = ClientProtocol(digest: LinkSamples.digest, model: LinkSamples.model)
        _ = greeting.hello()
        #expect(throws: LinkError.malformedFrame("an answer to request 2, 1 was asked")) {
            try greeting.begin(reply.head)
        }
    }

    @Test("an answer of another kind, or a failure that cannot be read, closes the client's side")
    func wrongAnswer() throws {
        for isFailure in [true, false] {
            var (client, worker) = try Self.open()
            _ = try Self.take(try client.ask(Self.request), &worker)
            var reply =
                worker.answer(isFailure ? .failure(.workerFull("x")) : .success(Self.answer), to: 2)
            if isFailure { reply.fields.removeLast() } else { reply.head.kind = .linear }
            #expect(throws: LinkError.self) {
                try client.begin(reply.head)
                _ = try client.receive(reply)
            }
            #expect(throws: LinkError.disconnected("it was closed")) { _ = try client.ask(Self.request) }
        }
    }

    @Test("nothing may be asked before the hellos")
    func beforeHellos() throws {
        var client = ClientProtocol(digest: LinkSamples.digest, model: LinkSamples.model)
        #expect(throws: LinkError.disconnected("it was closed")) { _ = try client.ask(Self.request) }
        _ = client.hello()
        #expect(throws: LinkError.disconnected("it was closed")) { _ = try client.ask(Self.request) }
        #expect(!client.isOpen && !client.hasRoom)
    }
}
