/// A set of characters, as ranges of their numbers.
///
/// Surrogates are numbers like others here; no text holds them.
struct ScalarRanges: Hashable, Sendable {
    /// One more than the greatest number of a character.
    static let limit: UInt32 = 0x11_0000

    /// Where a range begins and where it has ended, by turns, each greater than the one before.
    private(set) var bounds: [UInt32]

    /// The empty set.
    init() { bounds = [] }

    /// A set of one range; an empty one makes an empty set.
    init(_ range: Range<UInt32>) { bounds = range.isEmpty ? [] : [range.lowerBound, range.upperBound] }

    init(_ scalar: UInt32) { self.init(scalar..<scalar + 1) }

    /// Takes ranges in any order, which may overlap.
    init(_ ranges: [Range<UInt32>]) {
        bounds = []
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) where !range.isEmpty {
            if let end = bounds.last, range.lowerBound <= end {
                bounds[bounds.count - 1] = max(end, range.upperBound)
            } else {
                bounds += [range.lowerBound, range.upperBound]
            }
        }
    }

    /// The characters of a text.
    init(charactersOf text: String) { self.init(text.unicodeScalars.map { $0.value..<$0.value + 1 }) }

    /// Takes lengths of runs, outside and inside of the set by turns.
    init(runLengths: [UInt32]) {
        bounds = []
        var at: UInt32 = 0
        for length in runLengths {
            at += length
            bounds.append(at)
        }
    }

    static let all = ScalarRanges(0..<limit)

    var isEmpty: Bool { bounds.isEmpty }

    var ranges: [Range<UInt32>] {
        stride(from: 0, to: bounds.count, by: 2).map { bounds[$0]..<bounds[$0 + 1] }
    }

    /// Whether the number is in the set, in logarithmic time.
    func contains(_ scalar: UInt32) -> Bool {
        var (low, high) = (0, bounds.count)
        while low < high {
            let middle = (low + high) / 2
            if bounds[middle] <= scalar { low = middle + 1 } else { high = middle }
        }
        return low % 2 == 1
    }

    var inverted: ScalarRanges {
        var result = self
        if bounds.first == 0 { result.bounds.removeFirst() } else { result.bounds.insert(0, at: 0) }
        if bounds.last == Self.limit {
            result.bounds.removeLast()
        } else {
            result.bounds.append(Self.limit)
        }
        return result
    }

    func union(_ other: ScalarRanges) -> ScalarRanges {
        isEmpty ? other : other.isEmpty ? self : combined(with: other) { $0 || $1 }
    }

    func intersection(_ other: ScalarRanges) -> ScalarRanges { combined(with: other) { $0 && $1 } }

    func subtracting(_ other: ScalarRanges) -> ScalarRanges { combined(with: other) { $0 && !$1 } }

    private func combined(
        with other: ScalarRanges, _ isMember: (_ one: Bool, _ other: Bool) -> Bool
    ) -> ScalarRanges {
        var result = ScalarRanges()
        var (i, j) = (0, 0)
        var isInside = false
        while i < bounds.count || j < other.bounds.count {
            let one = i < bounds.count ? bounds[i] : .max
            let two = j < other.bounds.count ? other.bounds[j] : .max
            if one <= two { i += 1 }
            if two <= one { j += 1 }
            if isMember(i % 2 == 1, j % 2 == 1) != isInside {
                isInside.toggle()
                result.bounds.append(min(one, two))
            }
        }
        return result
    }
}
