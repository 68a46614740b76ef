import SCXLink
import Testing

@Suite("messages")
struct MessageTests {
    @Test("every request comes back from its message as it was", arguments: 0..<20 as Range<UInt64>)
    func requests(seed: UInt64) throws {
        var chance = Chance(seed)
        for request in LinkSamples.requests(&chance) {
            let message = request.message(number: chance.next())
            #expect(message.head.kind == request.kind)
            #expect(try Request(message) == request)
            let received = try MessageStream(MemoryStream(MemoryStream.bytes(of: message))).receiveAny()
            #expect(received == message.sent)
            #expect(try Request(received) == request)
        }
    }

    @Test("every answer comes back from its message as it was", arguments: 0..<20 as Range<UInt64>)
    func answers(seed: UInt64) throws {
        var chance = Chance(seed)
        for (request, answer) in LinkSamples.answers(&chance) {
            let message = answer.message(to: request.kind, number: chance.next())
            let received = try MessageStream(MemoryStream(MemoryStream.bytes(of: message))).receiveAny()
            #expect(received == message.sent)
            #expect(try Answer(received, to: request) == answer)
        }
    }

    @Test("a tensor's bits travel unchanged, those of no number too")
    func bits() throws {
        let values: [Float] = [
            .nan, -.nan, .infinity, -0.0, .leastNonzeroMagnitude, Float(bitPattern: 0x7FA0_0001),
        ]
        let tensor = EncodedTensor(encodedRows: 2, channels: 3, values: values)
        let message = Request(.feedForward(layer: 0), tensor).message(number: 1)
        let received = try MessageStream(MemoryStream(MemoryStream.bytes(of: message))).receiveAny()
        guard case .rows(let rows) = try Request(received).payload else {
            Issue.record("no rows")
            return
        }
        #expect(rows.values.map(\.bitPattern) == values.map(\.bitPattern))
    }

    @Test("fields cut at any byte, or longer, are refused")
    func cuts() throws {
        var chance = Chance(1)
        for request in LinkSamples.requests(&chance) {
            let whole = request.message(number: 1)
            // Before fields that need not be there, a message may end.
            var end: Int?
            if case .middle(_, let segments) = request.operation, segments.contains(where: \.isMutual) {
                end = whole.fields.count - segments.count
            }
            for count in 0..<whole.fields.count where count != end {
                var message = whole
                message.fields = Array(whole.fields.prefix(count))
                #expect(throws: LinkError.self) { try Request(message) }
            }
            var message = whole
            message.fields.append(0)
            // One byte more may also be the beginning of a field that need not be there.
            let error = #expect(throws: LinkError.self) { try Request(message) }
            #expect(
                [.malformedFrame("1 bytes after its fields"), .malformedFrame("its fields end early")]
                    .contains(error))
        }
        for (request, answer) in LinkSamples.answers(&chance) {
            let whole = answer.message(to: request.kind, number: 1)
            for count in 0..<whole.fields.count {
                var message = whole
                message.fields = Array(whole.fields.prefix(count))
                #expect(throws: LinkError.self) { try Answer(message, to: request) }
            }
            var message = whole
            message.fields.append(0)
            #expect(throws: LinkError.self) { try Answer(message, to: request) }
        }
    }

    /// Malformed fields give a typed error or a value that encodes to what was read; nothing traps.
    @Test("flipped bits give an error or a request", arguments: 0..<4 as Range<UInt64>)
    func flips(seed: UInt64) throws {
        var chance = Chance(seed)
        for request in LinkSamples.requests(&chance) {
            let whole = request.message(number: 1)
            for bit in 0..<8 * whole.fields.count {
                var message = whole
                message.fields[bit / 8] ^= 1 << (bit % 8)
                guard let read = try? Request(message) else { continue }
                #expect(read != request)
                #expect(read.message(number: 1) == message)
            }
        }
    }

    @Test("every kind with every kind of payload gives an error or a value, and nothing traps")
    func mixed() throws {
        let messages = try LinkSamples.messages(seed: 3)
        var chance = Chance(4)
        let requests = LinkSamples.requests(&chance)
        for a in messages {
            for b in messages {
                var message = a
                message.tensor = b.tensor
                message.head.elements = b.head.elements
                (message.head.rows, message.head.channels) = (b.head.rows, b.head.channels)
                if let request = try? Request(message) { #expect(request.kind == a.head.kind) }
                for request in requests { _ = try? Answer(message, to: request) }
            }
        }
    }

    @Test("unknown sites and empty ranges of blocks are named")
    func unknown() {
        let tensor = Message.Tensor.floats([1])
        var head = FrameHead(kind: .linear, isAnswer: false, number: 1)
        (head.elements, head.rows, head.channels) = (.float32, 1, 1)
        let site = Message(head: head, fields: [0, 0, 11, 0, 0, 0, 0, 0, 0], tensor: tensor)
        #expect(throws: LinkError.malformedFrame("unknown site 11")) { try Request(site) }
        let exact = Message(head: head, fields: [0, 0, 1, 0, 0, 0, 0, 0, 2], tensor: tensor)
        #expect(throws: LinkError.malformedFrame("an exactness of 2")) { try Request(exact) }
        head.kind = .middle
        for (first, end) in [(0, 0), (2, 1)] as [(UInt8, UInt8)] {
            let blocks = Message(head: head, fields: [first, 0, end, 0, 0, 0, 0, 0], tensor: tensor)
            #expect(throws: LinkError.malformedFrame("blocks \(first) to \(end)")) { try Request(blocks) }
        }
        let segments = Message(head: head, fields: [0, 0, 1, 0, 255, 255, 255, 255], tensor: tensor)
        #expect(throws: LinkError.malformedFrame("its fields end early")) { try Request(segments) }
    }

    @Test("a hello says what the worker can do, and nothing that makes no sense")
    func hellos() throws {
        let message = try LinkSamples.hellos()[1]
        var client = ClientProtocol(digest: LinkSamples.digest, model: LinkSamples.model)
        _ = client.hello()
        #expect(try client.receiveHello(message) == LinkSamples.workerHello)
        // A later version may say more.
        var longer = message
        longer.fields += [0, 0, 64, 0, 0, 0, 0, 0, 1, 2, 3]
        var limited = LinkSamples.workerHello
        limited.largestTensor = 4 << 20
        #expect(try client.receiveHello(longer) == limited)
        longer.fields.removeLast(3)
        #expect(limited.largestTensor == 4 << 20)
        for largest in [[UInt8](repeating: 0, count: 8), [UInt8](repeating: 255, count: 8)] {
            longer.fields.replaceSubrange(longer.fields.count - 8..<longer.fields.count, with: largest)
            #expect(throws: LinkError.malformedFrame("a hello of a worker that takes no tensor")) {
                _ = try client.receiveHello(longer)
            }
        }
        let end = message.fields.count
        #expect(Array(message.fields.suffix(7)) == [1, 44, 1, 2, 1, 4, 3])
        for (offset, bytes, reason) in [
            (-7, [2], "a ring of 2"), (-7, [255], "a ring of 255"),
            (-4, [4, 3, 4, 3], "a hello of part 772 of 772"), (-4, [0, 0, 0, 0], "a hello of part 0 of 0"),
            (-4, [5, 0, 1, 0], "a hello of part 5 of 1"),
        ] as [(Int, [UInt8], String)] {
            var wrong = message
            wrong.fields.replaceSubrange(end + offset..<end + offset + bytes.count, with: bytes)
            #expect(throws: LinkError.malformedFrame(reason)) { _ = try client.receiveHello(wrong) }
        }
        for count in 1...7 {
            var short = message
            short.fields.removeLast(count)
            #expect(throws: LinkError.malformedFrame("its fields end early")) {
                _ = try client.receiveHello(short)
            }
        }
        // Another version has other fields there, or none, and is named as such.
        for count in [0, 7] {
            var other = message
            other.fields[0] = 2
            other.fields.removeLast(count)
            #expect(
                throws: LinkError.incompatible("it speaks version 2 of the link, this program 4")
            ) { _ = try client.receiveHello(other) }
        }
    }

    @Test("pads of no rows, or of more than a request may have, are refused")
    func padRows() throws {
        func read(_ rows: Int) throws(LinkError) -> Request {
            try Request(
                Request(
                    .padProducts(layer: 1, site: .down, seed: LinkSamples.seed, first: 7, rows: rows)
                ).message(number: 1))
        }
        #expect(try read(1).kind == .padProducts)
        #expect(try read(1 << 16).byteCount == 0)
        for rows in [0, 1 << 16 + 1, Int(UInt32.max)] {
            #expect(throws: LinkError.malformedFrame("pads of \(rows) rows")) { _ = try read(rows) }
        }
    }

    @Test("requests of integers take integers alone, and are answered by them")
    func ringForms() throws {
        var chance = Chance(6)
        let words = Request(.linearRing(layer: 0, site: .output), LinkSamples.ring(&chance))
        let floats = Request(.linearRing(layer: 0, site: .output), LinkSamples.tensor(&chance))
        let none = Request(.linearRing(layer: 0, site: .output))
        let pads = Request.Operation.padProducts(
            layer: 0, site: .output, seed: LinkSamples.seed, first: 0, rows: 1)
        #expect(try Request(words.message(number: 1)) == words)
        for request in [
            floats, none, Request(pads, LinkSamples.tensor(&chance)), Request(pads, permutation: [0]),
        ] {
            #expect(
                throws: LinkError.malformedFrame("'\(request.kind)' with a payload of another kind")
            ) { try Request(request.message(number: 1)) }
        }
        for request in [words, Request(pads)] {
            for answer in [Answer.done, .tensor(LinkSamples.tensor(&chance))] {
                #expect(throws: LinkError.unexpectedAnswer("an answer of another form")) {
                    try Answer(answer.message(to: request.kind, number: 1), to: request)
                }
            }
        }
    }

    @Test("an answer of another form, kind or count is refused")
    func unexpected() throws {
        var chance = Chance(5)
        let tensor = LinkSamples.tensor(&chance)
        let rows = Answer.tensor(tensor)
        let release = Request(.release(slot: Slot(number: 1)))
        #expect(throws: LinkError.unexpectedAnswer("an answer of another form")) {
            try Answer(rows.message(to: .release, number: 1), to: release)
        }
        #expect(throws: LinkError.unexpectedAnswer("'stats' to 'release'")) {
            try Answer(rows.message(to: .stats, number: 1), to: release)
        }
        let top = Answer.topK([[TokenLogit(token: 1, logit: 1)]]).message(to: .headTopK, number: 1)
        #expect(throws: LinkError.unexpectedAnswer("1 logits in a row, not 2")) {
            try Answer(top, to: Request(.headTopK(count: 2), tensor))
        }
    }

    @Test("what a worker says of a failure is one line that no terminal obeys")
    func failureText() throws {
        let said = "\u{1B}[2J\u{9B}31m\n\u{202E}ko" + String(repeating: "x", count: 1_000)
        let message = ProtocolTests.worker.failure(.workerFull(said))
        let error = #expect(throws: LinkError.self) { _ = try Answer(message, to: Request(.stats)) }
        let text = "\(error.map { "\($0)" } ?? "")"
        #expect(text.hasPrefix("the worker is full: \\u{1B}[2J\\u{009B}31m\\n\\u{202E}kox"))
        #expect(text.count < 300)
    }

    @Test("a hello's texts are names of moderate length")
    func helloNames() throws {
        let hello = try LinkSamples.hellos()[0]
        #expect(hello.fields.count == 2 + 2 + LinkSamples.digest.utf8.count + 2 + 1 + 2 + 2 + 2)
        for text in ["\u{1B}[2J", "a\nb", String(repeating: "a", count: 129)] {
            var client = ClientProtocol(digest: text, model: LinkSamples.model)
            var worker = ProtocolTests.worker
            let message = client.hello()
            #expect(throws: LinkError.malformedFrame("a hello whose texts are no names")) {
                _ = try worker.receive(message)
            }
        }
    }
}
