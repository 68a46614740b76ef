import Foundation
import SCXInference
import SCXLink
import SCXWorker
import Testing

@Suite("connections with several requests on their way", .timeLimit(.minutes(60)))
struct WorkerConnectionTests {
    static func limits(window: Int) -> WorkerServer.Limits {
        var limits = WorkerServer.Limits()
        limits.window = window
        return limits
    }

    @Test("every request gets its own answer, whatever is on its way beside it", arguments: [1, 2, 4, 9])
    func manyInFlight(window: Int) throws {
        let (fixture, alone) = (try WorkerFixture(format: .int8), try WorkerFixture(format: .int8))
        let client = try WorkerClient(fixture.server(Self.limits(window: window), format: .int8))
        #expect(client.hello.window == UInt16(window))
        var expected: [UInt64: Answer] = [:]
        var answered = 0
        func take() throws {
            let (number, result) = try client.receive()
            #expect(try result.get() == expected.removeValue(forKey: number))
            answered += 1
        }
        for i in 0..<200 {
            let site = RingRequestTests.sites[i % RingRequestTests.sites.count]
            let request =
                i % 7 == 3
                ? RingRequestTests.pads(site, first: i, rows: 1 + i % 3)
                : fixture.ring(0, site, rows: 1 + i % 5, seed: UInt64(i))
            while !client.hasRoom { try take() }
            expected[try client.send(request)] = try alone.worker.answer(request)
        }
        while !expected.isEmpty { try take() }
        #expect(answered == 200)
        client.close()
        #expect(try client.end() == nil)
    }

    /// An answer of 48 MB is written while a request of 24 MB is, and no socket's buffer holds either.
    @Test("large tensors go both ways at once, and neither side waits for the other to read")
    func largeBothWays() throws {
        let fixture = try WorkerFixture(format: .int8)
        let client = try WorkerClient(fixture.server(Self.limits(window: 3), format: .int8))
        let count = 1 << 17
        let requests = (0..<3).map { fixture.ring(0, .gateUp, rows: count, seed: UInt64($0)) }
        #expect(requests[0].byteCount >= 16 << 20)
        // All are sent before the first answer is read.
        let numbers = try requests.map { try client.send($0) }
        #expect(!client.hasRoom)
        let answers = try client.receive(3)
        for (number, request) in zip(numbers, requests) {
            #expect(try answers[number]?.get() == fixture.worker.answer(request))
        }
        // And again, so that every thread has been through it.
        for request in requests { try client.send(request) }
        #expect(try client.receive(3).count == 3)
        client.close()
        #expect(try client.end() == nil)
    }

    /// The batcher's product stops the process if two of a connection's requests on slots are in one batch.
    @Test("requests of one connection on slots take turns")
    func slotsTakeTurns() throws {
        let (fixture, alone) = (try WorkerFixture(format: .int8), try WorkerFixture(format: .int8))
        let server = fixture.server(Self.limits(window: 4), format: .int8)
        let clients = try (0..<3).map { _ in try WorkerClient(server) }
        for round in 0..<30 {
            for client in clients {
                for slot in 0..<4 as Range<UInt32> {
                    let segment = [Segment(slot: Slot(number: slot), position: round, rows: 1)]
                    let rows = fixture.rows(
                        noise(fixture.hidden, seed: UInt64(round)), fixture.hidden)
                    try client.send(Request(.middle(blocks: 0..<fixture.blocks, segments: segment), rows))
                }
            }
            let expected = try alone.middle(noise(fixture.hidden, seed: UInt64(round)), position: round)
            for client in clients {
                for (_, result) in try client.receive(4) {
                    guard case .tensor(let tensor) = try result.get() else {
                        throw LinkError.unexpectedAnswer("no tensor")
                    }
                    #expect(distance(tensor.values, expected) < 1e-6)
                }
            }
        }
        #expect(try clients[0].statistics().slots == 12)
        #expect(try clients[0].statistics().requests == 360)
        for client in clients { client.close() }
        for client in clients { #expect(try client.end() == nil) }
        #expect(fixture.worker.statistics.slots == 0)
    }

    @Test("integers of one connection and of several are multiplied together")
    func shared() throws {
        let (fixture, alone) = (try WorkerFixture(format: .int8), try WorkerFixture(format: .int8))
        let server = fixture.server(Self.limits(window: 4), format: .int8)
        let (first, second, blocker) = (
            try WorkerClient(server), try WorkerClient(server), try WorkerClient(server)
        )
        let requests = (0..<6).map { fixture.ring(1, .down, rows: 1, seed: UInt64($0)) }
        // Six that come while a long one is computed are one product; a busy machine may be late, so there are several tries.
        var isOne = false
        for _ in 0..<200 where !isOne {
            let before = try blocker.statistics()
            try blocker.send(RingRequestTests.pads(.head, rows: PadSeed.rowLimit))
            // It has to be in the worker before the others are.
            Thread.sleep(forTimeInterval: 0.005)
            var numbers: [(WorkerClient, UInt64, Request)] = []
            for (i, request) in requests.enumerated() {
                let client = i < 4 ? first : second
                numbers.append((client, try client.send(request), request))
            }
            let answers = [try first.receive(4), try second.receive(2)]
            for (i, (_, number, request)) in numbers.enumerated() {
                #expect(try answers[i < 4 ? 0 : 1][number]?.get() == alone.worker.answer(request))
            }
            #expect(try blocker.receive().result.get() != .done)
            let after = try blocker.statistics()
            #expect(after.requests == before.requests + 7)
            #expect(after.batches <= before.batches + 7)
            isOne = after.batches == before.batches + 2
        }
        #expect(isOne)
    }

    @Test("a client that always has short requests on their way does not keep passes off")
    func noStarvation() throws {
        let fixture = try WorkerFixture(format: .int8)
        let server = fixture.server(Self.limits(window: 4), format: .int8)
        let (busy, patient) = (try WorkerClient(server), try WorkerClient(server))
        let short = RingRequestTests.pads(.head, rows: 2_000)
        for _ in 0..<4 { try busy.send(short) }
        let segment = [Segment(slot: Slot(number: 1), position: 0, rows: 1)]
        try patient.send(
            Request(
                .middle(blocks: 0..<fixture.blocks, segments: segment),
                fixture.rows(noise(fixture.hidden, seed: 1), fixture.hidden)))
        // The other goes on for as long as the pass waits.
        let answered = Flag()
        Thread.detachNewThread {
            answered.set((try? patient.receive().result.get()) != nil)
        }
        var count = 0
        while answered.value == nil, count < 100_000 {
            _ = try busy.receive().result.get()
            try busy.send(short)
            count += 1
        }
        #expect(answered.value == true)
        _ = try busy.receive(4)
    }

    /// A result that another thread sets.
    final class Flag: @unchecked Sendable {
        private let lock = NSLock()
        private var result: Bool?

        func set(_ value: Bool) { lock.withLock { result = value } }

        var value: Bool? { lock.withLock { result } }
    }

    @Test("refused requests leave the connection and what is beside them alone")
    func refusals() throws {
        let fixture = try WorkerFixture(format: .int8)
        let client = try WorkerClient(fixture.server(Self.limits(window: 4), format: .int8))
        let good = fixture.ring(0, .down, rows: 2, seed: 1)
        let expected = try fixture.worker.answer(good)
        for _ in 0..<25 {
            let bad = fixture.ring(0, .down, rows: 1, seed: 2)
            let wrong = Request(.linearRing(layer: 77, site: .down), try RingRequestTests.tensor(bad))
            let numbers = try [good, wrong, good, wrong].map { try client.send($0) }
            let answers = try client.receive(4)
            for i in [0, 2] { #expect(try answers[numbers[i]]?.get() == expected) }
            for i in [1, 3] {
                #expect(
                    answers[numbers[i]]
                        == .failure(.invalidRequest("layer 77, the model has \(fixture.blocks)")))
            }
        }
        client.close()
        #expect(try client.end() == nil)
    }

    /// Sends more than the window allows, without the protocol that would keep it from that.
    @Test("a request beyond the window ends the connection with a reason, and no other")
    func beyondWindow() throws {
        let fixture = try WorkerFixture(format: .int8)
        let server = fixture.server(Self.limits(window: 2), format: .int8)
        let other = try WorkerClient(server)
        let long = RingRequestTests.pads(.head, rows: PadSeed.rowLimit)
        var hostile = try WorkerClient(server)
        var end: LinkError?
        // Both are still computed when the third comes, unless this thread is held up; then it is another try.
        for _ in 0..<20 where end == nil {
            hostile.close()
            hostile = try WorkerClient(server)
            for number in 2..<5 as Range<UInt64> { try hostile.stream.send(long.message(number: number)) }
            end = try? hostile.end(within: .seconds(60))
        }
        #expect(end == .malformedFrame("request 4 while 2 are being computed"))
        // What the worker still wrote can be read, then nothing comes any more.
        var failures: [LinkError] = []
        while let reply = try? hostile.stream.receive(
            before: Deadline(after: .seconds(3_600)), begin: { _ in })
        {
            if reply.head.kind == .failure {
                #expect(reply.head.number == 4)
                do throws(LinkError) { _ = try Answer(reply, to: long) } catch { failures.append(error) }
            }
        }
        #expect(failures == [LinkError.malformedFrame("request 4 while 2 are being computed")])
        let ring = fixture.ring(0, .down, rows: 1, seed: 1)
        #expect(try other.exchange(ring) == fixture.worker.answer(ring))
        for _ in 0..<60_000 where try other.statistics().connections > 1 {
            Thread.sleep(forTimeInterval: 0.01)
        }
        #expect(try other.statistics().connections == 1)
    }

    @Test("a malformed message among others ends the connection for its own reason", arguments: 0..<20)
    func malformedAmongOthers(round: Int) throws {
        let fixture = try WorkerFixture(format: .int8)
        let client = try WorkerClient(fixture.server(Self.limits(window: 4), format: .int8))
        let ring = fixture.ring(0, .down, rows: 1, seed: 1)
        for number in 2..<4 as Range<UInt64> { try client.stream.send(ring.message(number: number)) }
        var wrong = RingRequestTests.pads(.down, rows: 1).message(number: 4)
        wrong.fields.append(0)
        wrong.head.fieldBytes += 1
        try client.stream.send(wrong)
        // Behind the fault come bytes that no thread may take for a frame.
        try? client.stream.send(ring.message(number: 5))
        #expect(try client.end() == .malformedFrame("1 bytes after its fields"))
    }

    @Test("a client that hangs up in the middle of everything leaves no thread and no slot behind")
    func hangUp() throws {
        let fixture = try WorkerFixture(format: .int8)
        let server = fixture.server(Self.limits(window: 4), format: .int8)
        let before = try Self.threads()
        for round in 0..<40 {
            let client = try WorkerClient(server)
            let segment = [Segment(slot: Slot(number: 1), position: 0, rows: 1)]
            try client.send(
                Request(
                    .middle(blocks: 0..<fixture.blocks, segments: segment),
                    fixture.rows(noise(fixture.hidden, seed: 1), fixture.hidden)))
            try client.send(fixture.ring(0, .gateUp, rows: 20_000, seed: 1))
            if round % 2 == 0 {
                // The answer is larger than the socket takes, so a thread is in the middle of it.
                Thread.sleep(forTimeInterval: 0.002 * Double(round % 8))
            } else {
                _ = try client.receive()
            }
            client.close()
            #expect(try client.end() == nil)
        }
        #expect(fixture.worker.statistics.slots == 0)
        // The last threads are ending.
        for _ in 0..<60_000 where try Self.threads() > before + 20 { Thread.sleep(forTimeInterval: 0.01) }
        #expect(try Self.threads() <= before + 20)
    }

    /// Threads of this process; other tests have theirs.
    static func threads() throws -> Int {
        #if os(Linux)
            try FileManager.default.contentsOfDirectory(atPath: "/proc/self/task").count
        #else
            0
        #endif
    }

    @Test("silence is counted while nothing is computed, and ends the connection then")
    func idle() throws {
        let fixture = try WorkerFixture(format: .int8)
        var limits = Self.limits(window: 16)
        limits.idle = .milliseconds(250)
        // A busy machine may hold this thread up for longer than the silence that is allowed, so there are several tries.
        var isServed = false
        for _ in 0..<20 where !isServed {
            let client = try WorkerClient(fixture.server(limits, format: .int8))
            let start = ContinuousClock.now
            do {
                // They take turns, and all of them longer than the silence that is allowed.
                for _ in 0..<16 { try client.send(RingRequestTests.pads(.head, rows: PadSeed.rowLimit)) }
                for (_, result) in try client.receive(16) {
                    #expect(try RingRequestTests.ring(result.get()).rows == PadSeed.rowLimit)
                }
                isServed = true
            } catch is LinkError {}
            let duration = ContinuousClock.now - start
            #expect(!isServed || duration > limits.idle * 2, "the requests are too short to test anything")
            guard case .timedOut? = try client.end() else {
                Issue.record("a silent client is still served")
                return
            }
        }
        #expect(isServed)
    }

    /// A client takes a failure with another number for the answer to a request that waits for none.
    @Test(
        "a failure has the number of the message at fault, also when that has no head or was not read whole")
    func numberOfFailures() throws {
        let fixture = try WorkerFixture(format: .int8)
        var limits = WorkerServer.Limits()
        limits.patience = .seconds(1)
        let pads = RingRequestTests.pads(.down, rows: 1).message(number: 2)
        var head = pads.head
        head.payloadBytes = pads.fields.count
        let whole = head.bytes + pads.fields
        var rest = fixture.ring(0, .gateUp, rows: 1, seed: 1).message(number: 2).head
        (rest.payloadBytes, rest.fieldBytes) = (4, 4)
        let wrongRest = rest.bytes + [0, 0, 3, 0] + pads.head.bytes
        for (bytes, code) in [
            (Array("no head of a frame, and as long as one".utf8), 4), (whole.dropLast(1) + [255], 4),
            (wrongRest, 4), (Array(whole.prefix(5)), 6), (Array(whole.prefix(40)), 6),
        ] as [([UInt8], UInt16)] {
            let client = try WorkerClient(fixture.server(limits, format: .int8))
            try unsafe bytes.span.bytes.withUnsafeBytes {
                try unsafe client.stream.bytes.write($0, before: .never)
            }
            let failure = try client.stream.receive(before: Deadline(after: .seconds(3_600))) { _ in }
            #expect(failure.head.kind == .failure && failure.head.number == 2)
            #expect(failure.fields.prefix(2) == [UInt8(code), 0])
            client.close()
            _ = try client.end()
        }
    }
}
