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
}
