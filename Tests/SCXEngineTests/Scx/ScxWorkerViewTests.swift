import Foundation
import SCXEncoding
import SCXEngine
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker
import Testing

/// What the worker gets to see, and how often it is asked.
@Suite("what a worker sees of profile scx")
struct ScxWorkerViewTests {
    /// Runs a prompt and some tokens, and gives what crossed.
    static func run(
        _ model: ScxFixture, _ options: ScxOptions, prompt: [Int32], generate: Int
    ) throws -> [(request: Request, answer: Answer)] {
        let link = CapturingLink(InProcessLink(Worker(model: model.decoder)))
        let engine = try model.scx(options, link)
        let id = try engine.submit(greedy(prompt, generate))
        try engine.run(id) { _ in true }
        return link.exchanges
    }

    static func tensor(_ request: Request) -> EncodedTensor? {
        if case .rows(let tensor) = request.payload { tensor } else { nil }
    }

    @Test("a prompt takes 4L + 1 exchanges, a token a fixed number", arguments: [(1, 1), (2, 2)])
    func exchanges(first: Int, last: Int) throws {
        let model = try #require(ScxFixture.families["llama"])
        var options = ScxOptions()
        options.firstBlocks = first
        options.lastBlocks = last
        let middle = model.blockCount - first - last
        for reuse in ScxOptions.Reuse.allCases {
            options.reuse = reuse
            let engine = try model.scx(options)
            var counts: [Int] = []
            let id = try engine.submit(greedy(model.prompt(40), 12))
            try engine.run(id) { _ in
                counts.append(engine.traffic.exchanges)
                return true
            }
            #expect(counts[0] == 4 * model.blockCount + 1)
            // The first token comes after key sharing.
            let token = 3 * first + 1 + 2 * last
            #expect(counts[1] - counts[0] == middle + last + token)
            for i in 2..<counts.count { #expect(counts[i] - counts[i - 1] == token) }
        }
    }

    @Test("before key sharing no row travels in its place, and no exchange repeats an order")
    func rowsArePermuted() throws {
        let model = try #require(ScxFixture.families["llama"])
        let prompt = model.prompt(120)
        var options = ScxOptions()
        options.redundancy = .none
        options.noiseScale = 0
        let seen = try Self.run(model, options, prompt: prompt, generate: 1)
        let open = try Self.plainRows(model, prompt)
        var orders: Set<[Int]> = []
        for (request, _) in seen {
            guard let tensor = Self.tensor(request), tensor.rows == prompt.count,
                let place = Self.place(request.operation), let plain = open[place]
            else { continue }
            // Which plain row each received row is.
            let order = (0..<tensor.rows).map { row in
                let values = Array(tensor.values[row * tensor.channels..<(row + 1) * tensor.channels])
                return plain.indices.min { distance(plain[$0], values) < distance(plain[$1], values) } ?? 0
            }
            let inPlace = order.enumerated().filter { $0.offset == $0.element }.count
            #expect(inPlace < 12, "\(request.operation) has \(inPlace) rows in their places")
            #expect(orders.insert(order).inserted, "\(request.operation) repeats an order")
        }
        #expect(orders.count == 3 * model.blockCount + 1)
    }

    @Test(
        "orders are shared for the blocks in the middle only; keys of the others never travel in their places"
    )
    func protectedKeys() throws {
        let model = try #require(ScxFixture.families["llama"])
        let prompt = model.prompt(30)
        let seen = try Self.run(model, ScxOptions(), prompt: prompt, generate: 6)
        let last = model.blockCount - 1
        let open = try Self.plainRows(model, prompt)
        var shared: [Int] = []
        for (request, _) in seen {
            switch (request.operation, request.payload) {
            case (.unlock(_, let layer, _, _), _): shared.append(layer)
            case (.linear(let layer, _, .some, _), _): #expect((1..<last).contains(layer))
            case (.lockTail(_, let layer), .rows(let tensor)):
                // Keys as they are, but among others and in an order that is not the text's.
                #expect(layer == last && tensor.rows == prompt.count + 100)
                let inPlace = (open["keys \(last)"] ?? []).enumerated().filter { row, key in
                    distance(key, Array(tensor.values[row * key.count..<(row + 1) * key.count])) < 1e-6
                }
                #expect(inPlace.count < 5)
            case (_, .rows(let tensor)):
                for layer in [0, last] {
                    let found = (open["keys \(layer)"] ?? []).contains {
                        contains(tensor.values, Array($0[..<model.checkpoint.configuration.headSize]))
                    }
                    #expect(!found, "\(request.operation) holds a key of block \(layer)")
                }
            default: break
            }
        }
        #expect(shared == Array(1..<last))
    }

    @Test("noise of the asked scale lies over the first block's rows, redundant ones included")
    func noise() throws {
        let model = try #require(ScxFixture.families["llama"])
        var options = ScxOptions()
        options.redundancy = .fixed(40)
        options.noiseScale = 50
        let seen = try Self.run(model, options, prompt: model.prompt(60), generate: 3)
        for (request, _) in seen {
            guard case .linear(let layer, .queryKeyValue, _, let exact) = request.operation,
                let tensor = Self.tensor(request)
            else { continue }
            // The mean magnitude of Laplace noise is its scale.
            let magnitudes = (0..<tensor.rows).map { row in
                tensor.values[row * tensor.channels..<(row + 1) * tensor.channels]
                    .reduce(0) { $0 + abs($1) } / Float(tensor.channels)
            }
            if layer == 0 {
                #expect(exact)
                #expect(magnitudes.allSatisfy { $0 > 25 && $0 < 90 })
            } else {
                #expect(!exact && magnitudes.allSatisfy { $0 < 5 })
            }
        }
    }

    @Test(
        "nothing of a first block's attention repeats when keys are one-time, and the worker keeps none of it"
    )
    func oneTimeChannels() throws {
        let model = try #require(ScxFixture.families["llama"])
        func attentions(_ reuse: ScxOptions.Reuse) throws -> [(slot: Slot?, keys: Int, values: [Float])] {
            var options = ScxOptions()
            options.reuse = reuse
            return try Self.run(model, options, prompt: model.prompt(10), generate: 5).compactMap { entry in
                guard case .attention(0, let parts) = entry.request.operation, parts.count == 1,
                    let tensor = Self.tensor(entry.request)
                else { return nil }
                return (parts[0].slot, parts[0].keys, tensor.values)
            }
        }
        let oneTime = try attentions(.oneTime)
        #expect(oneTime.map(\.keys) == [10, 11, 12, 13, 14] && oneTime.allSatisfy { $0.slot == nil })
        // Token 0's first key head, each time in another order.
        let shape = model.checkpoint.configuration
        let width = shape.headCount * shape.headSize
        let heads = oneTime.dropFirst().map { Array($0.values[width..<width + shape.headSize]) }
        #expect(Set(heads.map { $0.sorted() }).count == 1)
        #expect(Set(heads).count == heads.count)
        let session = try attentions(.session)
        #expect(session.map(\.keys) == [10, 1, 1, 1, 1] && session.allSatisfy { $0.slot != nil })
    }

    @Test("a worker that is lost in the middle of an answer changes no token")
    func lostWorker() throws {
        let model = try #require(ScxFixture.families["qwen3"])
        let expected = try answer(model.plain(), greedy(model.prompt(14), 20))
        for failure in [3, 17, 22, 25, 40, 61, 90] {
            let link = FailingLink(model.decoder, after: failure)
            var options = ScxOptions()
            options.reuse = failure % 2 == 0 ? .session : .oneTime
            #expect(try answer(model.scx(options, link), greedy(model.prompt(14), 20)) == expected)
            #expect(link.losses == 1)
        }
    }

    /// Where a request's rows come from, as ``plainRows(_:_:)`` names it.
    static func place(_ operation: Request.Operation) -> String? {
        switch operation {
        case .linear(let layer, .queryKeyValue, _, _): "attention \(layer)"
        case .linear(let layer, .output, _, _): "output \(layer)"
        case .feedForward(let layer): "feedForward \(layer)"
        case .headTopK: "head"
        default: nil
        }
    }

    /// The rows of each place in their order, computed in clear: inputs of all exchanges, and keys after the rotation.
    static func plainRows(_ model: ScxFixture, _ tokens: [Int32]) throws -> [String: [[Float]]] {
        var views: [String: [[Float]]] = [:]
        try compute(model, tokens) { name, rows, channels in
            views[name] = stride(from: 0, to: rows.count, by: channels).map {
                Array(rows[$0..<$0 + channels])
            }
        }
        return views
    }

    /// A forward pass in clear that shows every place.
    private static func compute(
        _ model: ScxFixture, _ tokens: [Int32], _ show: (String, [Float], _ channels: Int) -> Void
    ) throws {
        let shape = model.checkpoint.configuration
        let decoder = model.decoder
        let embedding = try TokenEmbedding(model.checkpoint)
        let rows = embedding.rows(of: tokens).sendInClear()
        var hidden = rows.values
        let (width, keyWidth) = (shape.headCount * shape.headSize, shape.keyValueHeadCount * shape.headSize)
        var workspace = Workspace()
        for block in 0..<shape.blockCount {
            var normed = [Float](repeating: 0, count: hidden.count)
            var normedSpan = normed.mutableSpan
            decoder.attentionNorm(hidden.span, block: block, into: &normedSpan)
            show("attention \(block)", normed, shape.hiddenSize)
            var projected = decoder.product(normed.span, .queryKeyValue(block: block))
            var span = projected.mutableSpan
            decoder.rotate(
                &span, block: block, queryHeads: shape.headCount,
                table: decoder.rotaryTable(positions: 0..<tokens.count))
            let stride = width + 2 * keyWidth
            var request: [Float] = []
            var keys: [Float] = []
            for t in 0..<tokens.count { request += projected[t * stride..<t * stride + width] }
            for t in 0..<tokens.count {
                request += projected[t * stride + width..<(t + 1) * stride]
                keys += projected[t * stride + width..<t * stride + width + keyWidth]
            }
            show("keys \(block)", keys, keyWidth)
            let attended = try decoder.attend(
                request.span, queries: tokens.count, keys: tokens.count, block: block,
                cache: decoder.makeLayerCache())
            show("output \(block)", attended, width)
            let output = decoder.product(attended.span, .output(block: block))
            for i in hidden.indices { hidden[i] += output[i] }
            show("feedForward \(block)", hidden, shape.hiddenSize)
            let update = decoder.feedForward(hidden.span, block: block, workspace: &workspace)
            for i in hidden.indices { hidden[i] += update[i] }
        }
        show("head", hidden, shape.hiddenSize)
    }

    private func distance(_ a: [Float], _ b: [Float]) -> Float {
        zip(a, b).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    }

    /// Whether a run of numbers lies in a list, but for rounding.
    private func contains(_ values: [Float], _ run: [Float]) -> Bool {
        guard values.count >= run.count else { return false }
        for start in 0...values.count - run.count
        where abs(values[start] - run[0]) < 1e-5 && abs(values[start + 1] - run[1]) < 1e-5 {
            if run.indices.allSatisfy({ abs(values[start + $0] - run[$0]) < 1e-5 }) { return true }
        }
        return false
    }
}

/// A link whose worker is lost once, with all that it held.
private final class FailingLink: WorkerLink, @unchecked Sendable {
    private let decoder: Decoder
    private var inner: InProcessLink
    private var left: Int
    private(set) var losses = 0

    init(_ decoder: Decoder, after exchanges: Int) {
        self.decoder = decoder
        inner = InProcessLink(Worker(model: decoder))
        left = exchanges
    }

    var traffic: Traffic { inner.traffic }

    func exchange(_ request: Request) throws(LinkError) -> Answer {
        left -= 1
        if left == 0 {
            losses += 1
            inner = InProcessLink(Worker(model: decoder))
            throw .disconnected("the test ended it")
        }
        return try inner.exchange(request)
    }
}
