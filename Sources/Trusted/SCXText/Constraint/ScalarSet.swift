/// A set of Unicode scalars, as ranges in order that do not touch.
struct ScalarSet: Equatable, Sendable {
    private(set) var ranges: [ClosedRange<UInt32>] = []

    private static let last: UInt32 = 0x10FFFF

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

    /// Characters that stand for themselves in a JSON string.
    static let plain = ScalarSet(0x20...last).subtracting(ScalarSet(0x22...0x22, 0x5C...0x5C))

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

    func contains(_ scalar: UInt32) -> Bool { ranges.contains { $0.contains(scalar) } }

    /// The UTF-8 of the scalars; surrogates have none.
    var pattern: Pattern {
        let choices = byteRanges.map { Pattern.sequence($0.map { .set(ByteSet($0)) }) }
        return choices.count == 1 ? choices[0] : .choice(choices)
    }

    /// The UTF-8 of the scalars: alternatives that give a range to each byte.
    var byteRanges: [[ClosedRange<UInt8>]] {
        var choices: [[ClosedRange<UInt8>]] = []
        for range in subtracting(ScalarSet(0xD800...0xDFFF)).ranges {
            Self.append(range.lowerBound, range.upperBound, to: &choices)
        }
        return choices
    }

    /// The scalars as a JSON string spells them: each in one way.
    var jsonPattern: Pattern {
        var choices = [intersection(.plain).pattern]
        for (scalar, letter) in [
            (0x22, "\""), (0x5C, "\\"), (8, "b"), (9, "t"), (10, "n"), (12, "f"), (13, "r"),
        ]
        where contains(UInt32(scalar)) {
            choices.append(.text("\\" + letter))
        }
        for scalar: UInt32 in 0..<0x20 where ![8, 9, 10, 12, 13].contains(scalar) && contains(scalar) {
            choices.append(.text("\\u00" + (scalar < 16 ? "0" : "1") + String(scalar % 16, radix: 16)))
        }
        return choices.count == 1 ? choices[0] : .choice(choices)
    }

    /// Cuts a range until each byte of its UTF-8 has a range of its own.
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
