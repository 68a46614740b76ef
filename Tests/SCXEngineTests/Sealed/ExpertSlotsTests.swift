import SCXEncoding
import SCXEngine
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker
import Synchronization
import Testing

@Suite("profile sealed: experts")
struct ExpertSlotsTests {
    static func routes(_ chosen: [[Int32]], experts: Int) -> ExpertRoutes {
        let all = chosen.flatMap { $0 }
        return ExpertRoutes(
            experts: experts, perRow: chosen[0].count, chosen: all, weights: all.map { Float($0) + 1 })
    }

    @Test("every row has a slot of its own with each of its experts, and its result comes back to it")
    func slots() {
        let routes = Self.routes([[2, 0], [2, 3], [0, 2]], experts: 5)
        var random = SecureRandom()
        let slots = ExpertSlots(routes, shownRows: 3, cover: nil, random: &random)
        #expect(slots.capacity == 3 && slots.reached == Array(0..<5))
        #expect(slots.slots == [0, 0, 1, 0, 1, 2])
        var rows = Plaintext(rows: 3, channels: 2)
        var filled = rows.values
        for i in 0..<6 { filled[i] = Float(i + 1) }
        func values(_ rows: borrowing Plaintext) -> [Float] {
            var values: [Float] = []
            for i in rows.span.indices { values.append(rows.span[i]) }
            return values
        }
        let whole = values(slots.gathering(rows, slots: 0..<3))
        // Slot 0: the first row of experts 0, 2 and 3; what nobody takes is zero.
        #expect(whole.count == 30 && whole.prefix(10) == [1, 2, 0, 0, 1, 2, 3, 4, 0, 0])
        #expect(whole.suffix(10) == [0, 0, 0, 0, 5, 6, 0, 0, 0, 0])
        // In two requests instead of one.
        let one = slots.gathering(rows, slots: 0..<1)
        let two = slots.gathering(rows, slots: 1..<3)
        let parts = values(one) + values(two)
        #expect(parts == whole)
        var results = Plaintext(rows: 6, channels: 2)
        slots.scatter(one, slots: 0..<1, into: &results)
        slots.scatter(two, slots: 1..<3, into: &results)
        var sum = Plaintext(rows: 3, channels: 2)
        slots.add(results, to: &sum)
        // Each expert gives the row itself, times its weight: the expert's number and one.
        let added = values(sum)
        #expect(added == [4, 8, 21, 28, 20, 24])
    }

    @Test("one row has one slot, and the number of slots is the same for most inputs of as many rows")
    func capacity() {
        #expect(ExpertSlots.capacity(rows: 1, experts: 128, perRow: 8, load: 1) == 1)
        #expect(ExpertSlots.capacity(rows: 1, experts: 8, perRow: 2, load: 1) == 1)
        var generator = SystemRandomNumberGenerator()
        for rows in [16, 64, 512] {
            var seen: [Int: Int] = [:]
            for _ in 0..<200 {
                let chosen = (0..<rows).map { _ in
                    Array((0..<128).shuffled(using: &generator).prefix(8)).map(Int32.init)
                }
                var random = SecureRandom(bufferBytes: 64)
                let slots = ExpertSlots(
                    Self.routes(chosen, experts: 128), shownRows: rows, cover: nil, random: &random)
                seen[slots.capacity, default: 0] += 1
            }
            #expect((seen.values.max() ?? 0) >= 180, "\(rows): \(seen)")
        }
        // It is never below the largest load, and never above the number of rows.
        for load in 1...64 {
            let found = ExpertSlots.capacity(rows: 64, experts: 8, perRow: 2, load: load)
            #expect(found >= load && found <= 64)
        }
    }

    @Test("a cover has the wanted experts, and others that are drawn uniformly")
    func cover() {
        var random = SecureRandom()
        #expect(ExpertSlots.cover([3], of: 8, atLeast: nil, random: &random) == Array(0..<8))
        #expect(ExpertSlots.cover([3], of: 8, atLeast: 8, random: &random) == Array(0..<8))
        // More than the cover are wanted: twice as many are reached, or all.
        #expect(ExpertSlots.cover([1, 2, 3, 5, 7], of: 16, atLeast: 4, random: &random).count == 8)
        #expect(ExpertSlots.cover(Array(0..<9), of: 16, atLeast: 4, random: &random) == Array(0..<16))
        var counts = [Int](repeating: 0, count: 16)
        let rounds = 4_000
        for _ in 0..<rounds {
            let found = ExpertSlots.cover([2, 9], of: 16, atLeast: 6, random: &random)
            #expect(found.count == 6 && found == found.sorted() && Set(found).count == 6)
            for expert in found { counts[expert] += 1 }
        }
        #expect(counts[2] == rounds && counts[9] == rounds)
        // 4 of the other 14 in each round; 6 standard deviations of a binomial variable.
        let mean = Double(rounds) * 4 / 14
        let width = 6 * (mean * 10 / 14).squareRoot()
        for expert in counts.indices where expert != 2 && expert != 9 {
            #expect(abs(Double(counts[expert]) - mean) < width, "\(counts)")
        }
    }

    /// A link that keeps the shapes of what passes.
    final class ShapeLink: WorkerLink {
        private let inner: any WorkerLink
        let shapes = Mutex<[String]>([])

        init(_ inner: any WorkerLink) { self.inner = inner }

        var traffic: Traffic { inner.traffic }

        func exchange(_ request: Request) throws(LinkError) -> Answer {
            let size: String
            if case .ring(let tensor) = request.payload {
                size = "\(tensor.rows) x \(tensor.channels)"
            } else {
                size = ""
            }
            shapes.withLock { $0.append("\(request.operation) \(size)") }
            return try inner.exchange(request)
        }
    }

    @Test(
        "single tokens give the worker the same requests, whatever they are",
        arguments: ["mixtral", "qwen2-moe", "qwen3-moe"])
    func shapes(name: String) throws {
        let fixture = try SealedFixture(name)
        var seen: Set<[String]> = []
        var routed: Set<[Int32]> = []
        let block = fixture.checkpoint.configuration.experts?.blocks.firstIndex(of: true) ?? 0
        for token in 0..<20 {
            let link = ShapeLink(fixture.worker)
            let forward = fixture.sealed([link])
            _ = try forward.compute(
                BatchSegment(slot: Slot(number: 0), position: 0, tokens: [Int32(token)], output: .lastLogits))
            seen.insert(link.shapes.withLock { $0 })
            let row = try TokenEmbedding(fixture.checkpoint).rows(of: [Int32(token)])
            routed.insert(fixture.weights.routes(row.span, block: block).chosen)
        }
        #expect(seen.count == 1 && routed.count > 1)
    }

    @Test(
        "with a cover, or over shards and several workers, every bit is the same",
        arguments: ["mixtral", "qwen2-moe", "qwen3-moe"])
    func covers(name: String) throws {
        let fixture = try SealedFixture(name)
        let prompt = fixture.prompt(17)
        let expected = try fixture.engine(fixture.fixedPoint()).logits(of: prompt).map(\.bitPattern)
        func bits(_ forward: RingForwardPass) throws -> [UInt32] {
            try fixture.engine(forward).logits(of: prompt).map(\.bitPattern)
        }
        for cover in [3, 4] {
            var options = RingOptions()
            options.expertCover = cover
            let link = ShapeLink(fixture.worker)
            #expect(try bits(fixture.sealed([link], options: options)) == expected)
            #expect(try bits(fixture.fixedPoint(options)) == expected)
            // A single token reaches as few experts as asked for.
            let single = ShapeLink(fixture.worker)
            _ = try fixture.sealed([single], options: options).compute(
                BatchSegment(slot: Slot(number: 0), position: 0, tokens: [5], output: .lastLogits))
            let hidden = fixture.checkpoint.configuration.hiddenSize
            #expect(
                single.shapes.withLock {
                    $0.contains { $0.contains("expertGateUp") && $0.hasSuffix("1 x \(cover * hidden)") }
                })
        }
        #expect(try bits(fixture.sealed(rowCounts: .powersOfTwo)) == expected)
        #expect(try bits(fixture.sealed([fixture.worker, fixture.worker])) == expected)
        #expect(try bits(fixture.sharded(3)) == expected)
    }

    @Test("a wrong product of an expert is found, and computed here instead")
    func liar() throws {
        let fixture = try SealedFixture("qwen3-moe")
        let prompt = fixture.prompt(9)
        let expected = try fixture.engine(fixture.fixedPoint()).logits(of: prompt)
        for cover in [nil, 4] {
            var options = RingOptions()
            options.expertCover = cover
            let counts = SealedCounts()
            // One bit of the last expert's results.
            let liar = LyingLink(fixture.worker) { request, answer, _ in
                guard case .linearRing(_, .expertDown, _) = request.operation else { return nil }
                var values = answer.values
                values[values.count - 1] ^= 1 << 9
                return values
            }
            let forward = fixture.sealed([liar], counts: counts, options: options)
            #expect(try fixture.engine(forward).logits(of: prompt) == expected)
            #expect(counts.values.refused > 0)
        }
    }
}
