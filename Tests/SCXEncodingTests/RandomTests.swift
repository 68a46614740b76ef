import Foundation
import SCXEncoding
import SCXInference
import SCXLink
import Testing

@Suite("randomness for keys")
struct RandomTests {
    /// χ² of counts against equal expectations.
    static func chiSquare(_ counts: [Int]) -> Double {
        let expected = Double(counts.reduce(0, +)) / Double(counts.count)
        return counts.reduce(0) { $0 + pow(Double($1) - expected, 2) / expected }
    }

    /// A bound that a uniform source exceeds once in ten million runs.
    static func bound(_ bins: Int) -> Double {
        let freedom = Double(bins - 1)
        return freedom + 5.2 * (2 * freedom).squareRoot() + 30
    }

    @Test("bytes are uniform, over refills too")
    func bytes() {
        var random = SecureRandom(bufferBytes: 1 << 10)
        var counts = [Int](repeating: 0, count: 256)
        for _ in 0..<250_000 {
            let word = random.word()
            for shift in [0, 8, 16, 24] { counts[Int(word >> shift & 255)] += 1 }
        }
        #expect(Self.chiSquare(counts) < Self.bound(256))
    }

    @Test("two generators, and one after each refill, give other numbers")
    func fresh() {
        var a = SecureRandom(bufferBytes: 16), b = SecureRandom(bufferBytes: 16)
        var seen: Set<UInt64> = []
        for _ in 0..<2_000 {
            seen.insert(UInt64(a.word()) << 32 | UInt64(a.word()))
            seen.insert(UInt64(b.word()) << 32 | UInt64(b.word()))
        }
        #expect(seen.count == 4_000)
    }

    @Test("numbers below a bound are uniform", arguments: [1, 2, 3, 6, 7, 100, 255] as [UInt32])
    func below(bound: UInt32) {
        var random = SecureRandom()
        var counts = [Int](repeating: 0, count: Int(bound))
        for _ in 0..<50_000 { counts[Int(random.number(below: bound))] += 1 }
        if bound > 1 { #expect(Self.chiSquare(counts) < Self.bound(Int(bound))) }
        // A bound just above 2³¹ would show a bias of one half.
        var low = 0
        for _ in 0..<10_000 where random.number(below: 3 << 30) < 1 << 30 { low += 1 }
        #expect((3_000...3_700).contains(low))
    }

    @Test("each of the orders of four elements is as likely as the others")
    func permutations() {
        var random = SecureRandom()
        var counts: [[Float]: Int] = [:]
        for _ in 0..<48_000 {
            let key = OneTimeRowKey(
                rows: 4, redundant: Plaintext(rows: 0, channels: 1), noise: nil, random: &random)
            counts[key.encode(KeyTests.rows(4, 1)).tensor.values, default: 0] += 1
        }
        #expect(counts.count == 24)
        #expect(Self.chiSquare(Array(counts.values)) < Self.bound(24))
    }

    @Test("Laplace noise has its mean, its magnitude and its tails", arguments: [0.5, 8] as [Float])
    func laplace(scale: Float) {
        var random = SecureRandom()
        let draws = (0..<200_000).map { _ in random.laplace(scale: scale) / scale }
        let finite = draws.allSatisfy { $0.isFinite }
        #expect(finite)
        let count = Float(draws.count)
        let mean = draws.reduce(0, +) / count
        let magnitude = draws.reduce(0) { $0 + abs($1) } / count
        #expect(abs(mean) < 0.02 && abs(magnitude - 1) < 0.02)
        for limit: Float in [0.1, 1, 3, 6] {
            let beyond = Float(draws.count { abs($0) > limit }) / count
            let expected = exp(-limit)
            let tolerance = 5 * (expected / count).squareRoot() + 1e-4
            #expect(abs(beyond - expected) < tolerance)
        }
    }

    @Test("no classifier of moments tells redundant rows from real ones")
    func redundantRows() throws {
        // Rows as transformers have them: few strong channels, channels that depend on each other, norms that vary.
        var random = SecureRandom()
        let channels = 96, count = 1_000
        let offsets = (0..<channels).map { $0 % 31 == 5 ? Float(20) : random.normalPair().0 * 0.3 }
        let mix = (0..<6 * channels).map { _ in random.normalPair().0 }
        func real(_ rows: Int) -> [Float] {
            var values: [Float] = []
            for _ in 0..<rows {
                let hidden = (0..<6).map { _ in random.normalPair().0 }
                let length = exp(random.normalPair().0 * 0.2)
                for c in 0..<channels {
                    let shared = (0..<6).reduce(Float(0)) { $0 + hidden[$1] * mix[$1 * channels + c] }
                    values.append(length * (offsets[c] + shared + 0.5 * random.normalPair().0))
                }
            }
            return values
        }
        let sample = real(256)
        let statistics = try RowStatistics(measuring: sample.span, channels: channels)
        let drawn = statistics.draw(count, random: &random, pool: KeyTests.pool)
        var redundant: [Float] = []
        for i in drawn.span.indices { redundant.append(drawn.span[i]) }
        let accuracy = Self.classify(real(count), redundant, channels: channels)
        #expect(accuracy < 0.66, "a classifier is right in \(accuracy) of the cases")
        // It is no weak classifier: rows of independent channels with the same means and variances do not pass.
        var naive: [Float] = []
        for _ in 0..<count {
            for c in 0..<channels {
                let column = (0..<256).map { sample[$0 * channels + c] }
                let mean = column.reduce(0, +) / 256
                let variance = column.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 256
                naive.append(mean + variance.squareRoot() * random.normalPair().0)
            }
        }
        #expect(Self.classify(real(count), naive, channels: channels) > 0.8)
    }

    /// How often logistic regression on the moments of rows is right, on rows that it was not trained on.
    static func classify(_ a: [Float], _ b: [Float], channels: Int) -> Double {
        func features(_ values: [Float]) -> [[Double]] {
            stride(from: 0, to: values.count, by: channels).map { start in
                let row = values[start..<start + channels].map(Double.init)
                let mean = row.reduce(0, +) / Double(channels)
                func moment(_ n: Double) -> Double {
                    row.reduce(0) { $0 + pow(abs($1 - mean), n) } / Double(channels)
                }
                let deviation = moment(2).squareRoot()
                return [
                    mean, deviation, moment(3) / pow(deviation, 3), moment(4) / pow(deviation, 4),
                    row.map(abs).max() ?? 0, moment(1) / deviation, row.map(abs).sorted()[channels / 2],
                ]
            }
        }
        var rows = zip(features(a), features(b)).flatMap { [($0, 1.0), ($1, 0.0)] }
        let width = rows[0].0.count
        for f in 0..<width {
            let column = rows.map { $0.0[f] }
            let mean = column.reduce(0, +) / Double(rows.count)
            let deviation = max(
                (column.reduce(0) { $0 + pow($1 - mean, 2) } / Double(rows.count)).squareRoot(), 1e-9)
            for i in rows.indices { rows[i].0[f] = (rows[i].0[f] - mean) / deviation }
        }
        // Squares too, so that rows which vary too little are found.
        for i in rows.indices { rows[i].0 += rows[i].0.map { $0 * $0 } + [1] }
        var weights = [Double](repeating: 0, count: 2 * width + 1)
        func score(_ x: [Double]) -> Double { 1 / (1 + exp(-zip(x, weights).reduce(0) { $0 + $1.0 * $1.1 })) }
        let half = rows.count / 2
        for _ in 0..<300 {
            var gradient = [Double](repeating: 0, count: weights.count)
            for (x, y) in rows[..<half] {
                let error = score(x) - y
                for f in x.indices { gradient[f] += error * x[f] }
            }
            for f in weights.indices { weights[f] -= 0.5 * gradient[f] / Double(half) }
        }
        return Double(rows[half...].count { (score($0.0) > 0.5) == ($0.1 > 0.5) }) / Double(rows.count - half)
    }
}
