public import SCXLink

/// Tests whether every integer that the worker received could be uniform and independent of those before.
///
/// χ² of each byte, of pairs of neighbouring half bytes, of bits, and the correlation of neighbours, each as a standard
/// normal deviation: 95 % of uniform transcripts lie between −1.96 and 1.96 (Knuth, "The Art of Computer Programming",
/// volume 2, section 3.3).
public struct Uniformity: Attack {
    public let name = "uniformity"

    public init() {}

    public func run(on target: Target) throws(AttackError) -> Findings {
        var tests = IntegerTests()
        for entry in target.views.words { tests.take(try target.views.words(of: entry)) }
        guard tests.count > 0 else { throw .nothingToAttack("no integers were received") }
        var findings = Findings()
        findings.measures = tests.measures
        return findings
    }
}

/// Counts of a stream of integers, and what they say of uniformity.
public struct IntegerTests: Sendable {
    public private(set) var count = 0
    private var bytes = [[Int]](repeating: [Int](repeating: 0, count: 256), count: 4)
    /// By the top half byte of a word and of the next.
    private var pairs = [Int](repeating: 0, count: 256)
    private var ones = 0
    private var last: UInt32?
    private var products = 0.0
    private var neighbours = 0

    public init() {}

    /// Takes the integers of one message.
    public mutating func take(_ words: [UInt32]) {
        last = nil
        for word in words {
            count += 1
            ones += word.nonzeroBitCount
            for lane in 0..<4 { bytes[lane][Int(word >> (8 * UInt32(lane)) & 0xFF)] += 1 }
            if let last {
                neighbours += 1
                pairs[Int((last >> 28) << 4 | word >> 28)] += 1
                products +=
                    Double(Int32(bitPattern: last)) * 0x1p-31 * Double(Int32(bitPattern: word)) * 0x1p-31
            }
            last = word
        }
    }

    public var measures: [Measure] {
        let normal = -1.959964...1.959964
        var measures = [Measure("integers", Double(count))]
        for (lane, counts) in bytes.enumerated() {
            measures.append(Measure("χ² of byte \(lane)", deviation(counts, of: count), chance: normal))
        }
        measures.append(Measure("χ² of pairs", deviation(pairs, of: neighbours), chance: normal))
        let bits = 32 * Double(max(1, count))
        measures.append(
            Measure("bits set", (Double(ones) - bits / 2) / (bits / 4).squareRoot(), chance: normal))
        // Neighbours are independent with variance 1/3 each, so a product has variance 1/9.
        let serial = products / (Double(max(1, neighbours)) / 9).squareRoot()
        measures.append(Measure("correlation of neighbours", serial, chance: normal))
        return measures
    }

    /// χ² of counts that should be equal, as a deviation of the normal distribution (Wilson and Hilferty 1931).
    private func deviation(_ counts: [Int], of total: Int) -> Double {
        let expected = Double(max(1, total)) / Double(counts.count)
        let chi = counts.reduce(0.0) { $0 + (Double($1) - expected) * (Double($1) - expected) / expected }
        let freedom = Double(counts.count - 1)
        let root = cubeRoot(chi / freedom)
        return (root - (1 - 2 / (9 * freedom))) / (2 / (9 * freedom)).squareRoot()
    }
}

extension Views {
    /// The integers of a message.
    public func words(of entry: TranscriptEntry) throws(AttackError) -> [UInt32] {
        do throws(TranscriptError) { return try transcript.words(of: entry) } catch {
            throw .transcript(error)
        }
    }
}

/// Searches all messages for two rows under one pad: their difference is then small in every channel.
///
/// The oldest break of a one-time pad. Rows are put in order of their first channel; only rows that are near there can
/// share a pad, and eight channels settle it.
public struct PadReuse: Attack {
    public let name = "pad-reuse"
    /// What encoded values stay below, and so half of what their differences do.
    public let bound: UInt32

    public init(bound: UInt32 = 1 << 24) { self.bound = bound }

    public func run(on target: Target) throws(AttackError) -> Findings {
        var rows: [[UInt32]] = []
        for entry in target.views.words where entry.channels >= 8 {
            let words = try target.views.words(of: entry)
            for row in 0..<entry.rows {
                rows.append(Array(words[row * entry.channels..<row * entry.channels + 8]))
            }
        }
        guard rows.count > 1 else { throw .nothingToAttack("fewer than two rows of integers") }
        var findings = Findings()
        let reach = 2 * bound
        rows.sort { $0[0] < $1[0] }
        var found = 0
        for i in rows.indices {
            // Around the circle of numbers modulo 2³².
            var j = (i + 1) % rows.count
            while j != i, rows[j][0] &- rows[i][0] <= reach {
                findings.candidatesTried += 1
                let isSmall = zip(rows[i], rows[j]).allSatisfy { a, b in
                    Int32(bitPattern: b &- a).magnitude <= reach
                }
                if isSmall { found += 1 }
                j = (j + 1) % rows.count
            }
        }
        // A pair of independent rows passes with a chance of 2⁻⁶ in each of eight channels, at the usual bound.
        findings.measures = [
            Measure("rows", Double(rows.count)),
            Measure("pairs of rows under one pad", Double(found), chance: 0...0),
        ]
        return findings
    }
}
