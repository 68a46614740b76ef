import Foundation
import SCXEncoding
import SCXEngine
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker
import Testing

@Suite("profile sealed: bit-identical to fixed-point arithmetic")
struct SealedExactTests {
    @Test("where row counts are rounded up, the number of exchanges tells nothing of them either")
    func exchangesOfRoundedCounts() throws {
        let fixture = try SealedFixture("llama-gqa2")
        let expected = 4 * fixture.checkpoint.configuration.blockCount + 1
        func exchanges(_ rows: Int, _ counts: RowCounts) throws -> Int {
            var options = RingOptions()
            options.fewestRowsOfTwo = 40
            let forward = fixture.sealed(rowCounts: counts, options: options)
            _ = try fixture.engine(forward).logits(of: fixture.prompt(rows))
            return forward.traffic.exchanges
        }
        for rows in [1, 39, 40, 60] { #expect(try exchanges(rows, .multiples(of: 64)) == expected) }
        // As they are, the counts are in the open, and large steps go in two halves.
        #expect(try exchanges(39, .exact) == expected)
        #expect(try exchanges(40, .exact) >= 2 * expected - 1)
    }

    @Test("for every family, with pads made here and by a peer", arguments: SealedFixture.names)
    func families(name: String) throws {
        let fixture = try SealedFixture(name)
        let prompt = fixture.prompt(23)
        let expected = try fixture.engine(fixture.fixedPoint()).logits(of: prompt)
        #expect(expected.allSatisfy { $0.isFinite })
        let peer = PeerPads(fixture.worker, name: "peer")
        for source in [DirectPads(fixture.weights), peer] as [any PadSource] {
            let found = try fixture.engine(fixture.sealed(sources: [source])).logits(of: prompt)
            #expect(found.map(\.bitPattern) == expected.map(\.bitPattern), "\(source.kind)")
        }
    }

    @Test(
        "in one step, token by token, in chunks, and as two micro-batches",
        arguments: ["llama-gqa2", "qwen3"])
    func chunks(name: String) throws {
        let fixture = try SealedFixture(name)
        let tokens = fixture.prompt(40)
        let expected = try fixture.engine(fixture.fixedPoint()).logits(of: tokens)
        var options = RingOptions()
        options.fewestRowsOfTwo = 2
        for (parts, options) in [
            ([40], options), ([40], RingOptions()), (Array(repeating: 1, count: 40), RingOptions()),
            ([7, 16, 1, 16], options), ([5, 35], RingOptions()),
        ] {
            let forward = fixture.sealed(options: options)
            var found: [Float] = []
            var first = 0
            for part in parts {
                found += try forward.compute(
                    BatchSegment(
                        slot: Slot(number: 3), position: first, tokens: Array(tokens[first..<first + part]),
                        output: .allLogits))
                first += part
            }
            #expect(found.map(\.bitPattern) == expected.map(\.bitPattern), "\(parts)")
        }
    }

    @Test(
        "with keys and values in every format: in one step, in chunks, and as two micro-batches",
        arguments: ["llama-gqa2", "mistral-window", "qwen3"], LayerCache.Format.allCases)
    func cacheFormats(name: String, format: LayerCache.Format) throws {
        let fixture = try SealedFixture(name)
        let tokens = fixture.prompt(70)
        var options = RingOptions()
        options.cacheFormat = format
        let expected = try fixture.engine(fixture.fixedPoint(options)).logits(of: tokens)
        #expect(expected.allSatisfy { $0.isFinite })
        // The format is used: rounding shows, and is small beside the logits.
        let unrounded = try fixture.engine(fixture.fixedPoint()).logits(of: tokens)
        #expect((expected == unrounded) == (format == .f32))
        let largest = unrounded.map(abs).max() ?? 0
        #expect(zip(expected, unrounded).allSatisfy { abs($0 - $1) < 0.1 * largest })
        for (parts, fewestRowsOfTwo) in [
            ([70], 2), ([1, 3, 60, 5, 1], 128), (Array(repeating: 1, count: 70), 128),
        ] {
            options.fewestRowsOfTwo = fewestRowsOfTwo
            let forward = fixture.sealed(options: options)
            var found: [Float] = []
            var first = 0
            for part in parts {
                found += try forward.compute(
                    BatchSegment(
                        slot: Slot(number: 3), position: first, tokens: Array(tokens[first..<first + part]),
                        output: .allLogits))
                first += part
            }
            #expect(found.map(\.bitPattern) == expected.map(\.bitPattern), "\(parts)")
            let cache = try #require(forward.cache(of: Slot(number: 3)))
            #expect(cache.layers.allSatisfy { $0.wipes && $0.format == format && $0.count == 70 })
            let configuration = fixture.checkpoint.configuration
            let token = format.tokenBytes(
                kvHeads: configuration.keyValueHeadCount, headSize: configuration.headSize)
            #expect(cache.byteCount == configuration.blockCount * 128 * token)
            try forward.end(Slot(number: 3))
            #expect(forward.cache(of: Slot(number: 3)) == nil)
        }
    }

    @Test("among other sessions, whose rows share the exchanges")
    func batches() throws {
        let fixture = try SealedFixture("llama-gqa2")
        let forward = fixture.sealed()
        let prompts = (0..<5).map { fixture.prompt(3 + 4 * $0, seed: $0) }
        let found = try forward.compute(
            prompts.enumerated().map { index, prompt in
                BatchSegment(
                    slot: Slot(number: UInt32(index)), position: 0, tokens: prompt,
                    output: index == 2 ? .nothing : index == 3 ? .hiddenStates : .lastLogits)
            })
        let exchanges = forward.traffic.exchanges
        #expect(exchanges == 4 * fixture.checkpoint.configuration.blockCount + 1)
        for (index, prompt) in prompts.enumerated() where index != 2 {
            let alone = try fixture.fixedPoint().compute(
                BatchSegment(
                    slot: Slot(number: 0), position: 0, tokens: prompt,
                    output: index == 3 ? .hiddenStates : .lastLogits))
            #expect(found[index].map(\.bitPattern) == alone.map(\.bitPattern), "session \(index)")
        }
        #expect(found[2].isEmpty)
    }

    @Test("over several workers, and over shards", arguments: [1, 2, 3])
    func workers(count: Int) throws {
        let fixture = try SealedFixture("llama-biases")
        let prompt = fixture.prompt(30)
        let expected = try fixture.engine(fixture.fixedPoint()).logits(of: prompt)
        let spread = fixture.sealed((0..<count).map { _ in fixture.worker })
        #expect(try fixture.engine(spread).logits(of: prompt) == expected)

        #expect(try fixture.engine(fixture.sharded(count)).logits(of: prompt) == expected)
    }

    @Test(
        "with row counts rounded up by rows of noise", arguments: [RowCounts.powersOfTwo, .multiples(of: 16)])
    func rowCounts(counts: RowCounts) throws {
        let fixture = try SealedFixture("qwen2")
        let prompt = fixture.prompt(19)
        let expected = try fixture.engine(fixture.fixedPoint()).logits(of: prompt)
        let link = CapturingLink(fixture.worker)
        let found = try fixture.engine(fixture.sealed([link], rowCounts: counts)).logits(of: prompt)
        #expect(found == expected)
        for case .ring(let tensor) in link.exchanges.map(\.request.payload) { #expect(tensor.rows == 32) }
        #expect(link.exchanges.count == 4 * fixture.checkpoint.configuration.blockCount + 1)
    }

    @Test("answers of an engine: the same tokens as fixed-point's for several sessions at once")
    func answers() throws {
        let fixture = try SealedFixture("llama-gqa2")
        let engine = fixture.engine(fixture.sealed())
        var expected: [[Int32]] = []
        var ids: [SessionID] = []
        for seed in 0..<6 {
            let request = greedy(fixture.prompt(4 + 9 * seed, seed: seed), 12)
            expected.append(try answer(fixture.engine(fixture.fixedPoint()), request))
            ids.append(try engine.submit(request))
        }
        var found: [SessionID: [Int32]] = [:]
        while !engine.isIdle {
            for event in try engine.step() { found[event.session, default: []] += [event.token?.id ?? -1] }
        }
        #expect(ids.map { found[$0] } == expected)
    }

    @Test("close to the float32 model: no further from it than int8 weights of profile plain are")
    func accuracy() throws {
        for name in SealedFixture.names {
            let fixture = try SealedFixture(name)
            // Rounding of either kind may turn a choice between two experts, which makes one of the errors far larger.
            guard fixture.checkpoint.configuration.experts == nil else { continue }
            let prompt = fixture.prompt(31)
            func plain(_ format: WeightFormat) throws -> [Float] {
                let decoder = try Decoder(fixture.checkpoint, format: format, pool: SealedFixture.pool)
                return try fixture.engine(
                    PlainForwardPass(
                        embedding: try TokenEmbedding(fixture.checkpoint),
                        configuration: fixture.checkpoint.configuration,
                        link: InProcessLink(Worker(model: decoder)))
                ).logits(of: prompt)
            }
            let exact = try plain(.f32)
            func error(_ logits: [Float]) -> Double {
                zip(exact, logits).reduce(0.0) { $0 + pow(Double($1.0 - $1.1), 2) }.squareRoot()
            }
            let (int8, sealed) = (
                error(try plain(.int8)), error(try fixture.engine(fixture.fixedPoint()).logits(of: prompt))
            )
            #expect(sealed <= int8, "\(name)")
        }
    }
}
