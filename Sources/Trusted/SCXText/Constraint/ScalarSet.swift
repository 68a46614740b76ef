/// A set of Unicode scalars, as ranges in order that do not touch.
struct ScalarSet: Hashable, Sendable {
    private(set) var ranges: [ClosedRange<UInt32>] = []

    static let last: UInt32 = 0x10FFFF

    init(_ ranges: ClosedRange<UInt32>...) { self.init(ranges) }

    init(_ unordered: [ClosedRange<UInt32>]) {
        for range in unordered.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let end = ranges.last, range.lowerBound <= end.upperBound + 1 {
                ranges[ranges.count - 1] = end.lowerBound...max(end.upperBound, range.upperBound)
            } else {
                ranges.append(range)
            }
        }
    }

    /// All characters that a text can hold.
    static let all = ScalarSet(0...last).subtracting(surrogates)
    static let surrogates = ScalarSet(0xD800...0xDFFF)
    /// Characters that stand for themselves in a JSON string.
    static let plain = ScalarSet(0x20...last).subtracting(ScalarSet(0x22...0x22, 0x5C...0x5C))
    static let ascii = ScalarSet(0...0x7F)

    var isEmpty: Bool { ranges.isEmpty }

    /// The only scalar, if there is just one.
    var single: UInt32? {
        guard ranges.count == 1, let range = ranges.first, range.count == 1 else { return nil }
        return range.lowerBound
    }

    func union(_ other: ScalarSet) -> ScalarSet { ScalarSet(ranges + other.ranges) }

    var inverted: ScalarSet {
        var gaps: [ClosedRange<UInt32>] = []
        var start: UInt32 = 0
        for range in ranges {
            if range.lowerBound > start { gaps.append(start...(range.lowerBound - 1)) }
            start = range.upperBound + 1
        }
        if start <= Self.last { gaps.append(start...Self.last) }
        return ScalarSet(gaps)
    }

    func subtracting(_ other: ScalarSet) -> ScalarSet { inverted.union(other).inverted }

    func intersection(_ other: ScalarSet) -> ScalarSet { inverted.union(other.inverted).inverted }

    func contains(_ scalar: UInt32) -> Bool {
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound < scalar { low = middle + 1 } else { high = middle }
        }
        return low < ranges.count && ranges[low].lowerBound <= scalar
    }

    /// The ASCII characters of the set that stand for themselves in a JSON string.
    var plainASCII: ByteSet {
        var set = ByteSet()
        for byte in 0x20...0x7F as ClosedRange<UInt8> where byte != 0x22 && byte != 0x5C {
            if contains(UInt32(byte)) { set.insert(byte) }
        }
        return set
    }

    /// The UTF-8 of the scalars: alternatives that give a range to each byte; surrogates have none.
    var byteRanges: [[ClosedRange<UInt8>]] {
        var choices: [[ClosedRange<UInt8>]] = []
        for range in subtracting(Self.surrogates).ranges {
            Self.append(range.lowerBound, range.upperBound, to: &choices)
        }
        return choices
    }

    /// Cuts a range until each byte of its UTF-8 has a range of its own.
    ///
    /// Recurses at most once for each of the four lengths and each of the three bounds inside of them.
    private static func append(_ low: UInt32, _ high: UInt32, to choices: inout [[ClosedRange<UInt8>]]) {
        for end: UInt32 in [0x7F, 0x7FF, 0xFFFF] where low <= end && end < high {
            append(low, end, to: &choices)
            return append(end + 1, high, to: &choices)
        }
        if high > 0x7F {
            for shift: UInt32 in [6, 12, 18] {
                let mask = UInt32(1) << shift - 1
                guard low & ~mask != high & ~mask else { continue }
                if low & mask != 0 {
                    append(low, low | mask, to: &choices)
                    return append((low | mask) + 1, high, to: &choices)
                }
                if high & mask != mask {
                    append(low, (high & ~mask) - 1, to: &choices)
                    return append(high & ~mask, high, to: &choices)
                }
            }
        }
        guard let first = Unicode.Scalar(low), let last = Unicode.Scalar(high) else { return }
        choices.append(zip(UTF8.encode(first) ?? .init(), UTF8.encode(last) ?? .init()).map { $0...$1 })
    }
}

extension PatternArena {
    /// The UTF-8 of some scalars; surrogates have none.
    mutating func scalars(_ scalars: ScalarSet) -> Pattern {
        var choices: [Pattern] = []
        for ranges in scalars.byteRanges {
            var sets: [Pattern] = []
            for range in ranges { sets.append(set(ByteSet(range))) }
            choices.append(sequence(sets))
        }
        return choice(choices)
    }

    /// Scalars as a JSON string spells them: each in one way.
    mutating func jsonScalars(_ scalars: ScalarSet) -> Pattern {
        var choices = [self.scalars(scalars.intersection(.plain))]
        for (scalar, letter) in [
            (0x22, "\""), (0x5C, "\\"), (8, "b"), (9, "t"), (10, "n"), (12, "f"), (13, "r"),
        ]
        where scalars.contains(UInt32(scalar)) {
            choices.append(text("\\" + letter))
        }
        for scalar: UInt32 in 0..<0x20
        where ![8, 9, 10, 12, 13].contains(scalar) && scalars.contains(scalar) {
            choices.append(text("\\u00" + (scalar < 16 ? "0" : "1") + String(scalar % 16, radix: 16)))
        }
        return choice(choices)
    }
}
