import Foundation
import SCXEncoding
import SCXInference
import SCXLink
import Testing

@Suite("one-time keys")
struct KeyTests {
    static let pool = ThreadPool(threads: 2)

    /// Rows of numbers that tell where they come from.
    static func rows(_ count: Int, _ channels: Int) -> Plaintext {
        var rows = Plaintext(rows: count, channels: channels)
        var span = rows.values
        for i in span.indices { span[i] = Float(i + 1) }
        return rows
    }

    /// What a worker answers that multiplies each row by 2 and takes the first channels.
    static func doubled(_ tensor: EncodedTensor, channels: Int) -> Answer {
        var values: [Float] = []
        for row in 0..<tensor.rows {
            values += tensor.values[row * tensor.channels..<row * tensor.channels + channels].map { 2 * $0 }
        }
        let request = Request(.feedForward(layer: 0), tensor)
        return .tensor(EncodedTensor(resultOf: request, channels: channels, values: values))
    }

    /// What a worker answers to an exact product with the same weights.
    static func doubledExactly(_ tensor: EncodedTensor, channels: Int) -> Answer {
        var values: [Double] = []
        for row in 0..<tensor.rows {
            values += tensor.values[row * tensor.channels..<row * tensor.channels + channels].map {
                2 * Double($0)
            }
        }
        let request = Request(.linear(layer: 0, site: .queryKeyValue, slot: nil, exact: true), tensor)
        return .float64(Float64Tensor(resultOf: request, channels: channels, values: values))
    }

    @Test("rows travel in another order and come back in theirs", arguments: [1, 2, 17, 300], [0, 1, 40])
    func rows(count: Int, redundant: Int) throws {
        var random = SecureRandom()
        let key = OneTimeRowKey(
            rows: count, redundant: Plaintext(rows: redundant, channels: 6), noise: nil, random: &random)
        let exchange = key.encode(Self.rows(count, 6))
        #expect(exchange.tensor.rows == count + redundant)
        // Every row is there once, redundant ones are zeros here.
        let firsts = (0..<exchange.tensor.rows).map { exchange.tensor.values[$0 * 6] }
        let real = firsts.filter { $0 != 0 }.sorted()
        let expected = (0..<count).map { Float($0 * 6 + 1) }
        #expect(firsts.count - real.count == redundant)
        #expect(real == expected)
        let answer = Self.doubled(exchange.tensor, channels: 4)
        let opened = try exchange.open(answer, channels: 4)
        for row in 0..<count {
            for c in 0..<4 {
                let expected = Float(2 * (row * 6 + c + 1))
                #expect(opened.span[row * 4 + c] == expected)
            }
        }
    }

    @Test("an answer of another shape is refused")
    func wrongShape() {
        var random = SecureRandom()
        for (rows, channels) in [(4, 4), (5, 3), (6, 4)] where (rows, channels) != (5, 4) {
            let key = OneTimeRowKey(
                rows: 5, redundant: Plaintext(rows: 0, channels: 4), noise: nil, random: &random)
            let exchange = key.encode(Self.rows(5, 4))
            let request = Request(.feedForward(layer: 0), exchange.tensor)
            let answer = Answer.tensor(
                EncodedTensor(
                    resultOf: request, channels: channels,
                    values: Array(repeating: 0, count: rows * channels)))
            do throws(LinkError) {
                _ = try exchange.open(answer, channels: 4)
                Issue.record("an answer of \(rows) x \(channels) was opened")
            } catch { #expect(error.losesWorker) }
        }
    }

    @Test("a shared order names a session's rows, and none that is redundant or another session's")
    func sharing() throws {
        var random = SecureRandom()
        let key = OneTimeRowKey(
            rows: 20, redundant: Plaintext(rows: 7, channels: 3), noise: nil, random: &random)
        let exchange = key.encode(Self.rows(20, 3))
        let tensor = exchange.tensor
        var orders: [[UInt32]] = []
        _ = try exchange.openToShare(
            Self.doubled(tensor, channels: 3), channels: 3, parts: [0..<12, 12..<20]
        ) { part, order in
            let source: Slot? = part == 0 ? nil : Slot(number: 9)
            let request = order.share(slot: Slot(number: 1), layer: 2, position: 0, from: source)
            guard case .permutation(let places) = request.payload,
                case .unlock(_, 2, 0, let from) = request.operation
            else {
                Issue.record("no permutation")
                return
            }
            #expect(from == source)
            orders.append(places)
        }
        #expect(orders.map(\.count) == [12, 8])
        for (row, place) in orders.joined().enumerated() {
            let (found, expected) = (tensor.values[Int(place) * 3], Float(row * 3 + 1))
            #expect(found == expected)
        }
    }

    @Test("noise is added to what travels and taken from what comes back, without a trace")
    func noise() throws {
        var random = SecureRandom()
        let grid = NoiseGrid(scale: 3, rowMagnitude: 1)
        #expect(grid.room > 45 && grid.step <= 3 * 0x1p-18)
        let noise = OneTimeNoise(rows: 9, inputs: 5, outputs: 2, grid: grid, random: &random) {
            noise, product in
            for row in 0..<9 { for c in 0..<2 { product[row * 2 + c] = 2 * Double(noise[row * 5 + c]) } }
        }
        let key = OneTimeRowKey(
            rows: 9, redundant: Plaintext(rows: 30, channels: 5), noise: noise, random: &random)
        let exchange = key.encode(Self.rows(9, 5))
        // Redundant rows were zeros: noise lies over them too.
        #expect(exchange.tensor.values.allSatisfy { $0 != 0 })
        #expect(Set(exchange.tensor.values).isDisjoint(with: (1...45).map(Float.init)))
        // All that is sent are multiples of the step, redundant rows too, so that no row is told by its last bits.
        let steps = exchange.tensor.values.map { $0 / grid.step }
        #expect(steps.allSatisfy { $0 == $0.rounded() && abs($0) <= 0x1p24 })
        let answer = Self.doubledExactly(exchange.tensor, channels: 2)
        let opened = try exchange.open(answer, channels: 2)
        for row in 0..<9 {
            for c in 0..<2 {
                let (found, expected) = (opened.span[row * 2 + c], Float(2 * (row * 5 + c + 1)))
                #expect(found == expected)
            }
        }
    }

    @Test("an exact answer of another form or shape is refused")
    func notExact() throws {
        var random = SecureRandom()
        for channels in [2, 3] {
            let noise = OneTimeNoise(
                rows: 4, inputs: 5, outputs: 2, grid: NoiseGrid(scale: 1, rowMagnitude: 1), random: &random
            ) { _, _ in }
            let key = OneTimeRowKey(
                rows: 4, redundant: Plaintext(rows: 0, channels: 5), noise: noise, random: &random)
            let exchange = key.encode(Self.rows(4, 5))
            let tensor = exchange.tensor
            let answer =
                channels == 2
                ? Self.doubled(tensor, channels: 2) : Self.doubledExactly(tensor, channels: channels)
            do throws(LinkError) {
                _ = try exchange.open(answer, channels: 2)
                Issue.record("opened")
            } catch { #expect(error.losesWorker) }
        }
    }

    @Test(
        "rows are rounded to the noise's step, and what is too large to be sent is cut off",
        arguments: [0, 1e-3, 0.7, 5, 1e4] as [Float])
    func grid(scale: Float) throws {
        var random = SecureRandom()
        let grid = NoiseGrid(scale: scale, rowMagnitude: 0.4)
        #expect(grid.step <= 0x1p-18 * max(scale, 0.4) && grid.room >= 9 * max(scale, 0.4))
        #expect(grid.room + 22 * scale + grid.step <= grid.step * 0x1p24)
        let clean = try Self.random(20, 33, &random, scale: 0.4)
        var rows = clean.selecting(0..<20)
        let isWhole = grid.fit(&rows) == nil
        #expect(isWhole)
        for i in clean.span.indices {
            let (difference, steps) = (abs(rows.span[i] - clean.span[i]), rows.span[i] / grid.step)
            #expect(difference <= grid.step / 2 && steps == steps.rounded())
        }
        var large = clean.selecting(0..<20)
        let outlier = grid.room * 3
        large.withRow(7) { $0[5] = -outlier }
        switch grid.fit(&large) {
        case .some(let beyond):
            let (sent, rest) = (large.span[7 * 33 + 5], beyond.span[7 * 33 + 5])
            #expect(sent == -grid.room && sent + rest == -outlier)
            let others = beyond.span.indices.filter { beyond.span[$0] != 0 }
            #expect(others == [7 * 33 + 5])
        case .none: Issue.record("nothing was cut")
        }
    }

    @Test("noise in stock is handed out once, in whole")
    func stock() {
        var random = SecureRandom()
        let grid = NoiseGrid(scale: 1, rowMagnitude: 0)
        let stock = NoiseStock(inputs: 4, outputs: 3, grid: grid)
        for _ in 0..<3 {
            stock.add(OneTimeNoise(rows: 5, inputs: 4, outputs: 3, grid: grid, random: &random) { _, _ in })
        }
        var seen: Set<Float> = []
        for rows in [2, 7, 6] {
            let key = OneTimeRowKey(
                rows: rows, redundant: Plaintext(rows: 0, channels: 4), noise: stock.take(rows),
                random: &random)
            let tensor = key.encode(Plaintext(rows: rows, channels: 4)).tensor
            // Numbers of some 20 bits seldom repeat by chance; zeros would be noise handed out before.
            #expect(!tensor.values.contains(0))
            seen.formUnion(tensor.values)
        }
        #expect(stock.count == 0 && seen.count >= 57)
    }

    @Test("attention under permuted channels is attention", arguments: [(4, 2, 8), (6, 6, 4), (3, 1, 16)])
    func channels(heads: Int, keyHeads: Int, size: Int) throws {
        var random = SecureRandom()
        let shape = HeadShape(heads: heads, keyValueHeads: keyHeads, headSize: size)
        let width = shape.queryWidth + 2 * shape.keyWidth
        let tokens = 11
        let rows = try Self.random(tokens, width, &random)
        let cache = ProtectedCache(width: shape.keyWidth)
        cache.append(rows)
        let precisions: [TensorPrecision] = [.float32, .int8, .int4]
        for (precision, limit) in zip(precisions, [1e-5, 0.02, 0.25] as [Float]) {
            let key = OneTimeChannelKey(shape, random: &random)
            let compression =
                precision == .float32
                ? nil
                : KeyValueCompression(
                    precision: precision, scaling: ChannelScaling(cache, shape), exactTokens: 0)
            let queries = HeadRows(rows.span, offset: 0, stride: width, count: tokens)
            let pairs = HeadRows(rows.span, offset: shape.queryWidth, stride: width, count: tokens)
            let exchange = key.encode(queries: queries, keyValues: pairs, compression: compression)
            let sent = exchange.tensor
            let encoded = Self.attention(sent.values, shape, tokens)
            let request = Request(
                .attention(layer: 0, parts: [AttentionPart(queries: tokens, keys: tokens)]), sent)
            let answer = Answer.tensor(
                EncodedTensor(resultOf: request, channels: encoded.count, values: encoded))
            let opened = try exchange.open(answer)
            var plain: [Float] = []
            for t in 0..<tokens { for c in 0..<shape.queryWidth { plain.append(rows.span[t * width + c]) } }
            for t in 0..<tokens {
                for c in shape.queryWidth..<width { plain.append(rows.span[t * width + c]) }
            }
            let expected = Self.attention(plain, shape, tokens)
            // The mean: the largest of some hundred rounding errors is at times far out.
            var squares: Float = 0
            for i in expected.indices {
                squares += (expected[i] - opened.span[i]) * (expected[i] - opened.span[i])
            }
            let error = (squares / Float(expected.count)).squareRoot()
            #expect(error < limit, "\(precision)")
        }
    }

    @Test("scores of a locked tail come back in the order of the positions")
    func tail() throws {
        var random = SecureRandom()
        let shape = HeadShape(heads: 2, keyValueHeads: 1, headSize: 4)
        let cache = ProtectedCache(width: 4)
        cache.append(Self.rows(6, 8))
        let key = TailKey(shape, tokens: 6, redundant: 3, random: &random)
        let locked = key.lock(cache, redundant: Plaintext(rows: 3, channels: 4))
        #expect(locked.rows == 9)
        // Scores that tell the key: its first channel; generated tokens have 1000 and 1001.
        var values = (0..<8).map { Float($0) }
        for _ in 0..<2 { values += (0..<9).map { locked.values[$0 * 4] } + [1000, 1001] }
        let request = Request(.lockTail(slot: Slot(number: 0), layer: 0), locked)
        let answer = Answer.tensor(EncodedTensor(resultOf: request, channels: values.count, values: values))
        var parts = try AnswerParts(answer)
        let opened = try key.open(&parts, generated: 2)
        try parts.finish()
        for head in 0..<2 {
            let scores = (0..<8).map { opened.scores.span[head * 8 + $0] }
            let expected: [Float] = [1, 9, 17, 25, 33, 41, 1000, 1001]
            #expect(scores == expected)
        }
    }

    @Test("an answer is opened part by part, and to its end")
    func parts() throws {
        /// The first number of the next part.
        func next(_ key: borrowing TailKey, _ parts: inout AnswerParts) throws(LinkError) -> Float {
            let opened = try key.open(&parts, generated: 1)
            return opened.keyValues.span[0]
        }
        var random = SecureRandom()
        let shape = HeadShape(heads: 2, keyValueHeads: 1, headSize: 4)
        let key = TailKey(shape, tokens: 3, redundant: 1, random: &random)
        let values = (0..<2 * (8 + 2 * 5)).map { Float($0) }
        let answer = Answer.tensor(
            EncodedTensor(resultOf: Request(.stats), channels: values.count, values: values))
        var parts = try AnswerParts(answer)
        let first = try next(key, &parts)
        do throws(LinkError) {
            var half = try AnswerParts(answer)
            _ = try next(key, &half)
            try half.finish()
            Issue.record("finished before the end")
        } catch {
            #expect(error == .unexpectedAnswer("18 numbers more than expected"))
        }
        let second = try next(key, &parts)
        do throws(LinkError) {
            _ = try next(key, &parts)
            Issue.record("opened a part that is not there")
        } catch {
            #expect(error == .unexpectedAnswer("expected the scores of 5 keys"))
        }
        try parts.finish()
        #expect(first == 0 && second == 18)
        #expect(throws: LinkError.self) { _ = try AnswerParts(.done) }
    }

    @Test(
        "a fixed norm keeps the norm's result, also where ε counts, and hides the size of rows that are not small",
        arguments: [1e-3, 0.02, 1, 40] as [Float])
    func fixedNorm(size: Float) throws {
        var random = SecureRandom()
        let rows = try Self.random(40, 64, &random, scale: size)
        let epsilon: Float = 1e-5
        let sent = EncodedTensor(scaledToFixedNorm: rows, epsilon: epsilon)
        func square(_ values: Span<Float>, _ row: Int) -> Double {
            (0..<64).reduce(0) { $0 + pow(Double(values[row * 64 + $1]), 2) } / 64
        }
        var sizes: [Double] = []
        for row in 0..<40 {
            let (before, after) = (square(rows.span, row), square(sent.values.span, row))
            let plain = (before + Double(epsilon)).squareRoot()
            let scaled = (after + Double(epsilon)).squareRoot()
            for c in 0..<64 {
                let want = Double(rows.span[row * 64 + c]) / plain
                let got = Double(sent.values[row * 64 + c]) / scaled
                #expect(abs(got - want) <= 1.1e-5 * abs(want) + 1e-12)
            }
            sizes.append(after)
        }
        let spread = (sizes.max() ?? 0) / (sizes.min() ?? 1)
        // Above 50,000 ε all rows get the same size, to the rounding of their values.
        if size == 40 { #expect(spread < 1 + 1e-6) }
        let again = EncodedTensor(scaledToFixedNorm: rows, epsilon: epsilon)
        #expect(again == sent)
    }

    /// Normal numbers.
    static func random(
        _ count: Int, _ channels: Int, _ random: inout SecureRandom, scale: Float = 1
    ) throws -> Plaintext {
        var rows = Plaintext(rows: count, channels: channels)
        var span = rows.values
        for i in span.indices { span[i] = random.normalPair().0 * scale }
        return rows
    }

    /// Causal attention in double precision over a request's row.
    static func attention(_ row: [Float], _ shape: HeadShape, _ tokens: Int) -> [Float] {
        let (size, width, keyWidth) = (shape.headSize, shape.queryWidth, shape.keyWidth)
        let group = shape.heads / shape.keyValueHeads
        var out: [Float] = []
        for t in 0..<tokens {
            for head in 0..<shape.heads {
                func pair(_ s: Int, _ c: Int) -> Double { Double(row[tokens * width + s * 2 * keyWidth + c]) }
                let start = head / group * size
                var weights = (0...t).map { s in
                    exp(
                        (0..<size).reduce(0) {
                            $0 + Double(row[t * width + head * size + $1]) * pair(s, start + $1)
                        }
                            / Double(size).squareRoot())
                }
                let sum = weights.reduce(0, +)
                weights = weights.map { $0 / sum }
                for c in 0..<size {
                    out.append(Float((0...t).reduce(0) { $0 + weights[$1] * pair($1, keyWidth + start + c) }))
                }
            }
        }
        return out
    }
}
