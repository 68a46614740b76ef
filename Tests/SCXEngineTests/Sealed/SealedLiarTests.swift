import SCXEncoding
import SCXEngine
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker
import Synchronization
import Testing

@Suite("profile sealed: workers and peers that lie")
struct SealedLiarTests {
    static let lies: [(name: String, lie: LyingLink.Lie)] = [
        (
            "a bit",
            { _, answer, _ in
                var values = answer.values
                values[values.count / 2] ^= 1
                return values
            }
        ),
        (
            "a wrap",
            { _, answer, _ in
                var values = answer.values
                values[0] &+= 1 << 31
                return values
            }
        ),
        (
            "a scaled column",
            { _, answer, _ in
                answer.values.enumerated().map {
                    $0.offset % answer.channels == 1 ? $0.element &* 3 : $0.element
                }
            }
        ),
        (
            "a swapped row",
            { _, answer, _ in
                guard answer.rows > 1 else { return nil }
                var values = answer.values
                for c in 0..<answer.channels { values.swapAt(c, answer.channels + c) }
                return values
            }
        ),
        ("zeros", { _, answer, _ in answer.values.map { _ in 0 } }),
        ("the request's negative", { _, answer, _ in answer.values.map { 0 &- $0 } }),
    ]

    @Test("a worker that lies is caught, named and left out, and the answer goes on", arguments: 0..<6)
    func worker(index: Int) throws {
        let (_, lie) = Self.lies[index]
        let fixture = try SealedFixture("llama-gqa2")
        let prompt = fixture.prompt(20)
        let expected = try fixture.engine(fixture.fixedPoint()).logits(of: prompt)
        let warnings = Mutex<[String]>([])
        let counts = SealedCounts()
        // The liar alone: this side computes what it will not believe. Beside an honest one: that one does.
        for links in [
            [LyingLink(fixture.worker, lie: lie)], [LyingLink(fixture.worker, lie: lie), fixture.worker],
        ]
            as [[any WorkerLink]]
        {
            let forward = fixture.sealed(links, counts: counts) { text in
                warnings.withLock { $0.append(text) }
            }
            #expect(try fixture.engine(forward).logits(of: prompt) == expected)
        }
        #expect(counts.values.refused > 0)
        #expect(warnings.withLock { $0.contains { $0.contains("worker 0") && $0.contains("wrong product") } })
        #expect(!warnings.withLock { $0.contains { $0.contains("worker 1") } })
    }

    @Test("a worker that lies is asked no more until its time is over, also when it is the only one")
    func binding() throws {
        let fixture = try SealedFixture("llama-gqa2")
        let prompt = fixture.prompt(20)
        let expected = try fixture.engine(fixture.fixedPoint()).logits(of: prompt)
        let lines = Mutex<[String]>([])
        let moment = Mutex(ContinuousClock.now)
        let asked = Mutex(0)
        let counts = SealedCounts()
        let liar = LyingLink(fixture.worker) { _, answer, number in
            asked.withLock { $0 = number }
            return answer.values.map { $0 ^ 1 }
        }
        let workers = RingWorkers(
            [("liar", [liar])], warn: { line in lines.withLock { $0.append(line) } },
            now: { moment.withLock { $0 } })
        let engine = fixture.engine(
            RingForwardPass(
                sealed: fixture.model, workers: workers,
                bank: PadBank(sites: fixture.model.sites, sources: [DirectPads(fixture.weights)]),
                counts: counts))
        // The time of this test stands still: one lie, and then none for ever.
        for (tries, seconds) in [(1, "2.0"), (2, "4.0"), (3, "8.0")] {
            for _ in 0..<2 { #expect(try engine.logits(of: prompt) == expected) }
            #expect(counts.values.refused == tries && asked.withLock { $0 } == tries)
            #expect(lines.withLock { $0.count } == tries)
            #expect(
                lines.withLock { $0.last }
                    == "worker liar is left out for \(seconds) s: it returned a wrong product")
            moment.withLock { $0 += .seconds(10) }
        }
    }

    @Test("of workers that hold shards, the one that lied is named", arguments: [0, 1])
    func shard(liar: Int) throws {
        let fixture = try SealedFixture("llama-gqa2")
        let prompt = fixture.prompt(20)
        let expected = try fixture.engine(fixture.fixedPoint()).logits(of: prompt)
        let lines = Mutex<[String]>([])
        let links = try (0..<2).map { index in
            let part = try #require(Shard(index: index, of: 2))
            let worker = InProcessLink(
                Worker(
                    model: try Decoder(
                        fixture.checkpoint, format: .int8, pool: SealedFixture.pool, shard: part)))
            return LyingLink(worker) { _, answer, _ in
                index == liar ? answer.values.map { $0 &+ 5 } : nil
            }
        }
        let forward = RingForwardPass(
            sealed: fixture.model,
            workers: RingWorkers([("a + b", links)]) { line in lines.withLock { $0.append(line) } },
            bank: PadBank(sites: fixture.model.sites, sources: [DirectPads(fixture.weights)]))
        #expect(try fixture.engine(forward).logits(of: prompt) == expected)
        #expect(
            lines.withLock { $0.first }
                == "worker a + b is left out for 2.0 s: the worker of shard \(liar + 1) of 2 returned a wrong "
                + "product")
    }

    @Test("one lie among a thousand right answers is caught")
    func once() throws {
        let fixture = try SealedFixture("llama-gqa2")
        let prompt = fixture.prompt(12)
        let expected = try fixture.engine(fixture.fixedPoint()).logits(of: prompt)
        for number in 1...9 {
            let counts = SealedCounts()
            let link = LyingLink(fixture.worker) { _, answer, count in
                guard count == number else { return nil }
                var values = answer.values
                values[values.count - 1] &+= 256
                return values
            }
            #expect(try fixture.engine(fixture.sealed([link], counts: counts)).logits(of: prompt) == expected)
            #expect(counts.values.refused == 1)
        }
    }

    @Test("a replayed answer, and another session's, are caught")
    func replay() throws {
        let fixture = try SealedFixture("llama-gqa2")
        let prompt = fixture.prompt(10)
        let expected = try fixture.engine(fixture.fixedPoint()).logits(of: prompt)
        let first = Mutex<[Int: [UInt32]]>([:])
        let counts = SealedCounts()
        let exchanges = 4 * fixture.checkpoint.configuration.blockCount + 1
        // The second text is answered with what the first got at the same site.
        let link = LyingLink(fixture.worker) { _, answer, number in
            guard number > exchanges else {
                first.withLock { $0[number] = answer.values }
                return nil
            }
            return first.withLock { $0[(number - 1) % exchanges + 1] }.flatMap {
                $0.count == answer.values.count ? $0 : nil
            }
        }
        let engine = fixture.engine(fixture.sealed([link], counts: counts))
        #expect(try engine.logits(of: prompt) == expected)
        #expect(counts.values.refused == 0)
        #expect(try engine.logits(of: prompt) == expected)
        #expect(counts.values.refused > 0)
    }

    @Test(
        "a peer that lies is found out, its pads are thrown away, and another source takes over",
        arguments: 0..<6)
    func peer(index: Int) throws {
        let (_, lie) = Self.lies[index]
        let fixture = try SealedFixture("llama-gqa2")
        let prompt = fixture.prompt(20)
        let expected = try fixture.engine(fixture.fixedPoint()).logits(of: prompt)
        let warnings = Mutex<[String]>([])
        let counts = SealedCounts()
        let liar = PeerPads(LyingLink(fixture.worker, lie: lie), name: "peer of lies")
        let forward = fixture.sealed(sources: [liar, DirectPads(fixture.weights)], counts: counts) { text in
            warnings.withLock { $0.append(text) }
        }
        #expect(try fixture.engine(forward).logits(of: prompt) == expected)
        #expect(counts.values.refused > 0)
        #expect(
            warnings.withLock { $0.filter { $0.contains("peer of lies gave a wrong product") }.count } == 1)
        #expect(!warnings.withLock { $0.contains { $0.contains("worker 0") } })
    }

    @Test("a worker that breaks at any exchange loses nothing", arguments: [1, 4, 9, 17])
    func broken(number: Int) throws {
        final class Breaking: WorkerLink {
            let inner: any WorkerLink
            let number: Int
            let count = Mutex(0)
            init(_ inner: any WorkerLink, _ number: Int) { (self.inner, self.number) = (inner, number) }
            var traffic: Traffic { inner.traffic }
            func exchange(_ request: Request) throws(LinkError) -> Answer {
                let current = count.withLock { count in
                    count += 1
                    return count
                }
                if current >= number, current < number + 2 { throw .disconnected("killed") }
                return try inner.exchange(request)
            }
        }
        let fixture = try SealedFixture("llama-gqa2")
        let prompt = fixture.prompt(20)
        let expected = try fixture.engine(fixture.fixedPoint()).logits(of: prompt)
        let forward = fixture.sealed([Breaking(fixture.worker, number), fixture.worker])
        #expect(try fixture.engine(forward).logits(of: prompt) == expected)
    }

    @Test("whatever happens, no pad is sent twice: all rows that workers received are far from each other")
    func rows() throws {
        let fixture = try SealedFixture("llama-gqa2")
        let links = (0..<2).map { index in
            CapturingLink(
                LyingLink(fixture.worker) { _, answer, number in
                    guard number % 7 == 3 + index else { return nil }
                    return answer.values.map { $0 &+ 1 }
                })
        }
        let engine = fixture.engine(fixture.sealed(links))
        for seed in 0..<4 {
            // The same prompt again: its rows differ by their pads alone.
            _ = try engine.logits(of: fixture.prompt(16, seed: seed % 2))
        }
        var seen: [Int: [[UInt32]]] = [:]
        for case .ring(let tensor) in links.flatMap(\.exchanges).map(\.request.payload) {
            for row in 0..<tensor.rows {
                seen[tensor.channels, default: []].append(
                    Array(tensor.values[row * tensor.channels..<(row + 1) * tensor.channels]))
            }
        }
        for rows in seen.values {
            for (i, a) in rows.enumerated() {
                for b in rows[..<i] {
                    // Two rows under one pad differ by small numbers everywhere; these are uniform and independent.
                    let near = zip(a, b).count { abs(Int(Int32(bitPattern: $0 &- $1))) < 1 << 28 }
                    #expect(near < a.count / 2)
                }
            }
        }
    }
}
