import SCXInference
import SCXLink

extension ConformanceCheck {
    private static let seed = (0..<32).map { UInt8($0) }
    /// The most sessions and connections that are tried.
    private static let mostTried = 1024

    /// Sizes and counts.
    static let limits: [ConformanceCheck] = [
        ConformanceCheck(801, .limits, "a frame of 1 MiB is read") { subject in
            // It is refused only after it was read, because its rows have another width.
            let words = (FrameHead.payloadLimit - 4) / 4
            guard subject.largestTensor >= 4 * words else {
                throw ConformanceSkip("the worker takes \(subject.largestTensor) bytes in a tensor")
            }
            let client = try subject.open()
            let request = WireRequest.linearRing(0, 1, [UInt32](repeating: 1, count: words), rows: 1)
            try client.askInVain(request, "a whole frame")
            return "\(request.frames(number: 1)[0].count) bytes"
        },
        ConformanceCheck(802, .limits, "a tensor of the worker's largest size is read") { subject in
            let bytes = subject.largestTensor / 4 * 4
            guard bytes <= 256 << 20 else { throw ConformanceSkip("\(bytes >> 20) MiB are too many to try") }
            let client = try subject.open()
            try client.askInVain(
                .linearRing(0, 1, [UInt32](repeating: 1, count: bytes / 4), rows: 1), "the largest tensor")
            return "\(bytes) bytes"
        },
        ConformanceCheck(803, .limits, "a larger tensor is refused at its head") { subject in
            let words = subject.largestTensor / 4 + 1
            guard words <= FrameHead.elementLimit else {
                throw ConformanceSkip("the worker takes all that a head can name")
            }
            // The head alone: a worker that waits for the tensor's bytes has taken memory for it.
            for (elements, kind) in [(2, MessageKind.linearRing), (1, .feedForward)] {
                try subject.refuses { number in
                    var head = WireHead(kind, number: number)
                    (head.elements, head.rows, head.channels) = (UInt8(elements), 1, UInt32(words))
                    (head.fields, head.payload) = (4, 4)
                    return head.bytes
                }
            }
            return "\(4 * words) bytes"
        },
        ConformanceCheck(
            804, .limits, "an attention in groups is refused when its values exceed the largest tensor"
        ) {
            subject in
            try subject.needsWhole()
            guard subject.largestTensor <= 256 << 20 else {
                throw ConformanceSkip("\(subject.largestTensor >> 20) MiB are too many to try")
            }
            let values = subject.largestTensor / 4 + 1
            let words = (values + 63) / 64 * 9
            try subject.refuses(
                .parts(
                    [(.init(queries: 1, keys: 1), 4, 0, values)],
                    .words([UInt32](repeating: 0, count: words))))
            return "\(4 * values) bytes as float32, \(4 * words) as they are sent"
        },
        ConformanceCheck(805, .limits, "a whole window is sent before an answer is read") { subject in
            let session = try subject.session()
            let window = min(subject.hello.window, 64)
            let inputs = subject.model.inputs(of: subject.smallSite)
            // Rows and answers that no buffer of a socket holds.
            let rows = max(1, min(1 << 20, subject.largestTensor) / 4 / inputs)
            for i in 0..<window { try session.send(subject.good(rows: rows, seed: UInt64(i))) }
            for _ in 0..<window { try session.receive() }
            return "\(window) requests of \(rows) rows"
        },
        ConformanceCheck(806, .limits, "a request beyond the window ends the connection") { subject in
            guard subject.hello.window <= 64 else {
                throw ConformanceSkip("a window of \(subject.hello.window)")
            }
            return try subject.exceedWindow()
        },
        ConformanceCheck(807, .limits, "an attention of 16,384 parts is answered") { subject in
            try subject.needsBlocks()
            let width = subject.attentionWidth(queries: 1, keys: 1)
            let bytes = 4 * width << 14
            guard bytes <= min(subject.largestTensor, 128 << 20) else {
                throw ConformanceSkip("their tensor would have \(bytes >> 20) MiB")
            }
            let session = try subject.session()
            var numbers = SampleNumbers(seed: 807)
            try session.compare(
                subject.attention(
                    0, [WireRequest.Part](repeating: .init(queries: 1, keys: 1), count: 1 << 14), &numbers))
            return session.nearness
        },
        ConformanceCheck(808, .limits, "pads of 65,536 rows are answered") { subject in
            try subject.needsRing()
            func widest(_ site: DecoderSite) -> Int {
                max(subject.model.inputs(of: site), subject.model.ringOutputs(of: site))
            }
            guard let site = subject.sites.min(by: { widest($0) < widest($1) }) else { return "" }
            let bytes = 4 * widest(site) << 16
            guard bytes <= 128 << 20 else { throw ConformanceSkip("they would have \(bytes >> 20) MiB") }
            let session = try subject.session()
            try session.compare(.padProducts(site, seed: seed, first: 3, count: 1 << 16))
            return "\(bytes >> 20) MiB"
        },
        ConformanceCheck(809, .limits, "one session more than the worker takes is refused with failure 2") {
            subject in
            try subject.needsCausal()
            let session = try subject.session()
            // Slots of connections that have just ended would be counted.
            _ = try subject.isAlone(session.client, within: .seconds(5))
            var sessions: UInt32 = 0
            while sessions < mostTried {
                let answer = try session.client.ask(subject.begin(slot: sessions, rows: 1), atMost: 1 << 26)
                guard answer.head.kind == .failure else {
                    sessions += 1
                    continue
                }
                let failure = try WireClient.failure(answer)
                try demand(failure.code == 2, "failure \(failure.code) (\(failure.reason)) instead of 2")
                break
            }
            guard sessions < mostTried else {
                throw ConformanceSkip("the worker takes \(mostTried) sessions")
            }
            try demand(sessions > 0, "the worker takes no session")
            // At the limit sessions go on, one that ends gives its place to one other, and no more.
            try session.client.expectAnswer(subject.goOn(slot: 0, position: 1))
            try session.client.expectAnswer(.release(slot: 0))
            try session.client.expectAnswer(subject.begin(slot: sessions, rows: 1))
            try session.client.askInVain(
                subject.begin(slot: sessions + 1, rows: 1), code: 2, "one session more")
            for slot in 1...sessions { try session.client.expectAnswer(.release(slot: slot)) }
            return "\(sessions) sessions"
        },
        ConformanceCheck(810, .limits, "one connection more than the worker takes is refused with failure 2")
        {
            subject in
            let client = try subject.open()
            _ = try subject.isAlone(client, within: .seconds(5))
            var open = [client]
            defer { for client in open { client.close() } }
            let refused = try subject.connectUntilFull(&open, most: mostTried)
            guard let refused else { throw ConformanceSkip("the worker takes \(mostTried) connections") }
            try refused.expectClosed()
            // At the limit connections are served, and one that ends gives its place to one other.
            let count = open.count
            try subject.session(client).compare(subject.good(rows: 1, seed: 810))
            open.removeLast().close()
            let deadline = ContinuousClock.now + subject.patience
            while try subject.connectUntilFull(&open, most: count) != nil {
                try demand(
                    ContinuousClock.now < deadline, "a connection that has ended gives its place to no other")
            }
            try demand(
                try subject.connectUntilFull(&open, most: count + 1) != nil, "afterwards it takes one more")
            // What follows must find a place.
            for other in open.dropFirst() { other.close() }
            _ = try subject.isAlone(client, within: .seconds(5))
            return "\(count) connections"
        },
    ]
}

extension ConformanceSubject {
    /// Sends many requests at once, which are small and take the worker long.
    ///
    /// A worker may have begun to answer some of them before it reads the last, so there are more of them than one too many.
    /// They are small, so that a worker that reads no more does not keep this side from reading.
    fileprivate func exceedWindow() throws -> String {
        let count = hello.window + 16
        let client = try open()
        defer { client.close() }
        let (request, largest) = try slowRequest(of: count)
        client.tryToWrite((0..<count).flatMap { _ in request.frames(number: client.nextNumber())[0] })
        var answers = 0
        while true {
            let message: Message
            do { message = try client.receive(atMost: largest) } catch let error as LinkError {
                guard settings.place.losesLastWords, case .disconnected = error else { throw error }
                break
            }
            guard message.head.kind == .failure else {
                answers += 1
                guard answers == count else { continue }
                let all = "all of \(count) requests at once are answered, the window is \(hello.window)"
                guard hello.isRing else { throw ConformanceSkip("\(all); it may be that fast") }
                throw ConformanceFailure(all)
            }
            let failure = try WireClient.failure(message)
            try demand(failure.code == 4, "failure \(failure.code) (\(failure.reason)) instead of 4")
            try demand(
                failure.number > UInt64(hello.window) + 1,
                "request \(failure.number) is refused, a window of \(hello.window) begins at 2")
            try client.expectClosed()
            break
        }
        try proveServing()
        return "\(count) at once, window \(hello.window), \(answers) answered before"
    }

    /// A request of a few hundred bytes or KiB that takes a worker long, and the bytes of its answer.
    private func slowRequest(of count: Int) throws -> (request: WireRequest, answer: Int) {
        var numbers = SampleNumbers(seed: 806)
        let hidden = model.hiddenSize
        let rows = max(1, (128 << 10) / 4 / hidden / count)
        if hello.isRing {
            // Little to send, much to compute: a few MiB of pads and their products.
            let outputs = model.ringOutputs(of: smallSite)
            let rows = max(1, min(1 << 16, (4 << 20) / 4 / max(model.inputs(of: smallSite), outputs)))
            let seed = [UInt8](repeating: 7, count: 32)
            return (.padProducts(smallSite, seed: seed, first: 0, count: rows), 4 * rows * outputs)
        }
        try needsBlocks()
        return model.hasHead && model.vocabularySize > 1
            ? (.headTopK(1, numbers.floats(rows * hidden), rows: rows), 8 * rows)
            : (.feedForward(0, numbers.floats(rows * hidden), rows: rows), 4 * rows * hidden)
    }

    /// Makes connections until the worker refuses one, or there are enough.
    ///
    /// - Returns: The connection that was refused; nil when there are enough.
    fileprivate func connectUntilFull(_ open: inout [WireClient], most: Int) throws -> WireClient? {
        while open.count < most {
            let client = try connect()
            let answer = try client.ask(WireRequest(.hello, WorkerHello.client(digest: digest)))
            guard answer.head.kind == .failure else {
                open.append(client)
                continue
            }
            let failure = try WireClient.failure(answer)
            try demand(failure.code == 2, "failure \(failure.code) (\(failure.reason)) instead of 2")
            return client
        }
        return nil
    }
}

extension WireClient {
    /// Asks, and demands that the answer is no failure.
    fileprivate func expectAnswer(_ request: WireRequest) throws {
        let answer = try ask(request, atMost: 1 << 26)
        guard answer.head.kind == .failure else { return }
        let failure = try Self.failure(answer)
        throw ConformanceFailure("'\(request.kind)': failure \(failure.code), \(failure.reason)")
    }

    /// Waits for the end of the connection, before which nothing may come.
    func expectClosed() throws {
        do {
            let message = try receive()
            throw ConformanceFailure("'\(message.head.kind)' where the connection must end")
        } catch let error as LinkError {
            guard case .disconnected = error else {
                throw ConformanceFailure("the worker does not close the connection: \(error)")
            }
        }
    }
}
