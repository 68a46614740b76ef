public import SCXLink

/// Tests whether all integers that the worker received can be uniform and independent.
///
/// It computes, over all integers and for each site: χ² of each byte, of pairs of neighbouring half bytes and of
/// bits, and the correlation of neighbours and of rows. Each is a standard normal deviation, which is between −1.96
/// and 1.96 for 95 % of uniform transcripts (Knuth, "The Art of Computer Programming", volume 2, section 3.3). The
/// smallest p-value of all, corrected for their number, is the verdict.
///
/// Answers are not tested, since they are computed from what was received and the weights.
public struct Uniformity: Attack {
    public let name = "uniformity"

    public init() {}

    public func run(on target: Target) throws(AttackError) -> Findings {
        var sites: [Site: IntegerTests] = [:]
        var others = IntegerTests()
        for entry in target.views.words {
            let words = try target.views.words(of: entry)
            if case .request(.linearRing(_, let site, _)) = entry.detail {
                sites[site, default: IntegerTests()].take(words, columns: entry.channels)
            } else {
                others.take(words, columns: entry.channels)
            }
        }
        var all = others
        for tests in sites.values { all.add(tests) }
        guard all.count > 0 else { throw .nothingToAttack("no integers were received") }
        var findings = Findings()
        findings.measures = all.measures
        var deviations = all.deviations.map(\.value)
        for site in Site.allCases {
            guard let tests = sites[site] else { continue }
            deviations += tests.deviations.map(\.value)
            guard let worst = tests.deviations.max(by: { abs($0.value) < abs($1.value) }) else { continue }
            let p = IntegerTests.corrected(tests.deviations.map(\.value))
            findings.measures.append(Measure("p of \(site), the worst is \(worst.name)", p, chance: 0.05...1))
        }
        findings.measures.append(
            Measure(
                "p of all \(deviations.count) tests", IntegerTests.corrected(deviations), chance: 0.05...1))
        return findings
    }
}

/// Counts over a stream of integers, from which tests of uniformity are computed.
public struct IntegerTests: Sendable {
    public private(set) var count = 0
    /// How often each value occurs, for each byte of a word, the lowest byte first.
    private var bytes = [Int](repeating: 0, count: 4 * 256)
    /// How often each pair occurs of the highest half byte of a word and that of the next word.
    private var pairs = [Int](repeating: 0, count: 256)
    private var ones = 0
    private var products = 0.0
    private var neighbours = 0
    private var rowProducts = 0.0
    private var rowNeighbours = 0

    public init() {}

    /// Counts the integers of one message.
    ///
    /// - Parameters:
    ///   - words: The integers, row by row.
    ///   - columns: How many a row has.
    public mutating func take(_ words: [UInt32], columns: Int = .max) {
        count += words.count
        for word in words {
            ones += word.nonzeroBitCount
            bytes[Int(word & 0xFF)] += 1
            bytes[256 + Int(word >> 8 & 0xFF)] += 1
            bytes[512 + Int(word >> 16 & 0xFF)] += 1
            bytes[768 + Int(word >> 24)] += 1
        }
        for i in words.indices.dropFirst() {
            pairs[Int((words[i - 1] >> 28) << 4 | words[i] >> 28)] += 1
            products += Self.number(words[i - 1]) * Self.number(words[i])
        }
        neighbours += max(0, words.count - 1)
        guard columns < words.count else { return }
        for i in columns..<words.count {
            rowProducts += Self.number(words[i - columns]) * Self.number(words[i])
        }
        rowNeighbours += words.count - columns
    }

    /// Adds the counts of other integers.
    mutating func add(_ other: IntegerTests) {
        count += other.count
        for i in bytes.indices { bytes[i] += other.bytes[i] }
        for i in pairs.indices { pairs[i] += other.pairs[i] }
        ones += other.ones
        products += other.products
        neighbours += other.neighbours
        rowProducts += other.rowProducts
        rowNeighbours += other.rowNeighbours
    }

    /// The word as a number from −1 to 1.
    private static func number(_ word: UInt32) -> Double { Double(Int32(bitPattern: word)) * 0x1p-31 }

    /// The result of each test as a standard normal deviation.
    public var deviations: [(name: String, value: Double)] {
        var found: [(name: String, value: Double)] = []
        for lane in 0..<4 {
            found.append(("χ² of byte \(lane)", deviation(bytes[256 * lane..<256 * (lane + 1)], of: count)))
        }
        found.append(("χ² of pairs", deviation(pairs[...], of: neighbours)))
        let bits = 32 * Double(max(1, count))
        found.append(("bits set", (Double(ones) - bits / 2) / (bits / 4).squareRoot()))
        // Independent numbers have variance 1/3 each, so a product has variance 1/9.
        found.append(("correlation of neighbours", products / (Double(max(1, neighbours)) / 9).squareRoot()))
        if rowNeighbours > 0 {
            found.append(("correlation of rows", rowProducts / (Double(rowNeighbours) / 9).squareRoot()))
        }
        return found
    }

    public var measures: [Measure] {
        [Measure("integers", Double(count))]
            + deviations.map { Measure($0.name, $0.value, chance: -1.959964...1.959964) }
    }

    /// The probability that uniform integers show a deviation as large as the largest of these.
    ///
    /// Šidák 1967, for independent tests; for these tests the probability is not larger.
    static func corrected(_ deviations: [Double]) -> Double {
        let least = deviations.map { probability(ofDeviation: $0) }.min() ?? 1
        return 1 - power(1 - least, Double(max(1, deviations.count)))
    }

    /// χ² of counts that should be equal, converted to a normal deviation (Wilson and Hilferty 1931).
    private func deviation(_ counts: ArraySlice<Int>, of total: Int) -> Double {
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
