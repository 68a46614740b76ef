import SCXInference

extension SchemaCompiler {
    /// The greatest whole number in answers, of `JSONPart.mostDigits` digits.
    fileprivate static let limit = 999_999_999_999_999_999

    func integer(_ schema: JSON, _ place: Place) throws(ConstraintError) -> Pattern {
        var (low, high) = (-Self.limit, Self.limit)
        var isBounded = false
        func round(_ value: JSON, up: Bool) -> Int {
            if case .int(let whole) = value { return whole }
            let number = (value.double ?? 0).rounded(up ? .up : .down)
            return Int(exactly: min(max(number, -1e18), 1e18)) ?? 0
        }
        for (keyword, isLower, isExclusive) in [
            ("minimum", true, false), ("exclusiveMinimum", true, true), ("maximum", false, false),
            ("exclusiveMaximum", false, true),
        ] {
            guard let bound = try bound(keyword, schema, place) else { continue }
            isBounded = true
            // An exclusive bound moves to the next whole number beyond.
            let whole = min(max(round(bound, up: isLower != isExclusive), -Self.limit - 1), Self.limit + 1)
            if isLower {
                low = max(low, isExclusive ? whole + 1 : whole)
            } else {
                high = min(high, isExclusive ? whole - 1 : whole)
            }
        }
        guard isBounded else { return .json(.integer) }
        return .choice([
            low < 0 ? .sequence([.text("-"), Self.whole(max(1, -high), -low)]) : .never,
            Self.whole(max(low, 0), high),
        ])
    }

    private func bound(
        _ keyword: String, _ schema: JSON, _ place: Place
    ) throws(ConstraintError) -> JSON? {
        guard let value = schema[keyword] else { return nil }
        guard let number = value.double, number.isFinite else { throw place.error(keyword, "is no number") }
        return value
    }

    /// Whole numbers from `low` to `high`, neither below 0.
    private static func whole(_ low: Int, _ high: Int) -> Pattern {
        var choices: [Pattern] = []
        var power = 1
        for length in 1...JSONPart.mostDigits {
            let (first, last) = (max(low, length == 1 ? 0 : power), min(high, power * 10 - 1))
            if first <= last { choices.append(between(digits(first), digits(last))) }
            power *= 10
        }
        return .choice(choices)
    }

    private static func digits(_ number: Int) -> ArraySlice<UInt8> { "\(number)".utf8.map { $0 - 48 }[...] }

    private static func digit(_ low: UInt8, _ high: UInt8) -> Pattern {
        .set(ByteSet((low + 48)...(high + 48)))
    }

    /// Digits from `low` to `high`, which are equally long.
    private static func between(_ low: ArraySlice<UInt8>, _ high: ArraySlice<UInt8>) -> Pattern {
        guard let first = low.first, let last = high.first else { return .nothing }
        if low.allSatisfy({ $0 == 0 }), high.allSatisfy({ $0 == 9 }) {
            return .repeated(.set(JSONPart.digits), atLeast: low.count, atMost: low.count)
        }
        let (lowRest, highRest) = (low.dropFirst(), high.dropFirst())
        if first == last { return .sequence([digit(first, first), between(lowRest, highRest)]) }
        let (zeros, nines) = (lowRest.map { _ in 0 as UInt8 }[...], lowRest.map { _ in 9 as UInt8 }[...])
        var choices: [Pattern] = [.sequence([digit(first, first), between(lowRest, nines)])]
        if last - first > 1 {
            choices.append(.sequence([digit(first + 1, last - 1), between(zeros, nines)]))
        }
        return .choice(choices + [.sequence([digit(last, last), between(zeros, highRest)])])
    }
}

/// A bound of numbers, in decimal digits.
private struct Limit {
    var isNegative = false
    var whole = 0
    var fraction: ArraySlice<UInt8> = []
    var isExclusive = false

    static let zero = Limit()

    var isZero: Bool { whole == 0 && fraction.isEmpty }
    var value: Double

    private init() { value = 0 }

    /// Reads a number; nil when it has more digits after the point than answers have.
    init?(_ number: JSON, isExclusive: Bool) {
        self.isExclusive = isExclusive
        value = number.double ?? 0
        isNegative = value < 0
        let parts = number.text.drop { $0 == "-" }.split(separator: "e")
        let mantissa = parts[0].split(separator: ".", omittingEmptySubsequences: false)
        let shift = parts.count > 1 ? Int(parts[1]) ?? 0 : 0
        var before = mantissa[0].utf8.map { $0 - 48 }
        var after = mantissa.count > 1 ? mantissa[1].utf8.map { $0 - 48 } : []
        guard abs(shift) <= 400 else { return nil }
        if shift > 0 {
            after += repeatElement(0, count: max(0, shift - after.count))
            before += after.prefix(shift)
            after.removeFirst(shift)
        } else if shift < 0 {
            before = Array(repeatElement(0, count: max(0, -shift - before.count))) + before
            after = before.suffix(-shift) + after
            before.removeLast(-shift)
        }
        while after.last == 0 { after.removeLast() }
        guard after.count <= JSONPart.mostFractionDigits else { return nil }
        fraction = after[...]
        let significant = before.drop { $0 == 0 }
        // Greater numbers than answers have are all the same.
        whole =
            significant.count > JSONPart.mostDigits
            ? SchemaCompiler.limit + 1 : significant.reduce(0) { $0 * 10 + Int($1) }
    }
}

extension SchemaCompiler {
    func number(_ schema: JSON, _ place: Place) throws(ConstraintError) -> Pattern {
        var (low, high): (Limit?, Limit?)
        for (keyword, isExclusive) in [("minimum", false), ("exclusiveMinimum", true)] {
            guard let limit = try limit(keyword, isExclusive, schema, place) else { continue }
            let isCloser = low.map { limit.value > $0.value || (limit.value == $0.value && isExclusive) }
            if isCloser ?? true { low = limit }
        }
        for (keyword, isExclusive) in [("maximum", false), ("exclusiveMaximum", true)] {
            guard let limit = try limit(keyword, isExclusive, schema, place) else { continue }
            let isCloser = high.map { limit.value < $0.value || (limit.value == $0.value && isExclusive) }
            if isCloser ?? true { high = limit }
        }
        if low == nil, high == nil { return .json(.number) }
        var choices: [Pattern] = []
        if !(high?.isNegative ?? false) {
            let from = low.flatMap { $0.isNegative ? nil : $0 } ?? .zero
            choices.append(Self.numbers(from: from, to: high))
        }
        if low?.isNegative ?? true {
            let from = high.flatMap { $0.isNegative || $0.isZero ? $0 : nil } ?? .zero
            choices.append(.sequence([.text("-"), Self.numbers(from: from, to: low)]))
        }
        return .choice(choices)
    }

    private func limit(
        _ keyword: String, _ isExclusive: Bool, _ schema: JSON, _ place: Place
    ) throws(ConstraintError) -> Limit? {
        guard let bound = try bound(keyword, schema, place) else { return nil }
        guard let limit = Limit(bound, isExclusive: isExclusive) else {
            throw place.error(keyword, "has more than \(JSONPart.mostFractionDigits) digits after the point")
        }
        return limit
    }

    /// Numbers without a sign or exponent, between two magnitudes.
    private static func numbers(from low: Limit, to high: Limit?) -> Pattern {
        let high = high.flatMap { $0.whole > limit ? nil : $0 }
        guard low.whole <= limit else { return .never }
        let text = { (whole: Int) in Pattern.text("\(whole)") }
        if let high, high.whole <= low.whole {
            if high.whole < low.whole { return .never }
            return .sequence([text(low.whole), fraction(from: low, to: high)])
        }
        let between = whole(low.whole + 1, high.map { $0.whole - 1 } ?? limit)
        return .choice([
            .sequence([text(low.whole), fraction(from: low, to: nil)]),
            .sequence([between, fraction(from: nil, to: nil)]),
            high.map { .sequence([text($0.whole), fraction(from: nil, to: $0)]) } ?? .never,
        ])
    }

    /// The point and the digits after it, or nothing.
    private static func fraction(from low: Limit?, to high: Limit?) -> Pattern {
        let digits = JSONPart.mostFractionDigits
        let some = Pattern.sequence([
            .text("."), Self.fraction(low?.tail, high?.tail, left: digits, mayEnd: false),
        ])
        return isZeroWithin(low?.tail, high?.tail) ? .optional(some) : some
    }

    /// Whether a fraction may end, all further digits being 0.
    private static func isZeroWithin(_ low: Limit.Tail?, _ high: Limit.Tail?) -> Bool {
        if let low, !low.digits.isEmpty || low.isExclusive { return false }
        if let high, high.digits.isEmpty, high.isExclusive { return false }
        return true
    }

    /// Digits after a point from what is left of one bound's digits to what is left of another's.
    private static func fraction(
        _ low: Limit.Tail?, _ high: Limit.Tail?, left: Int, mayEnd: Bool
    ) -> Pattern {
        if low == nil, high == nil {
            return .repeated(.set(JSONPart.digits), atLeast: mayEnd ? 0 : 1, atMost: left)
        }
        var choices: [Pattern] = mayEnd && isZeroWithin(low, high) ? [.nothing] : []
        guard left > 0 else { return .choice(choices) }
        let least = low?.digits.first ?? 0
        let top = high.map { $0.digits.first ?? 0 } ?? 9
        guard least <= top else { return .choice(choices) }
        for first in least...top {
            let below = low.flatMap { first > least ? nil : $0.rest }
            let above = high.flatMap { first < top ? nil : $0.rest }
            choices.append(
                .sequence([digit(first, first), fraction(below, above, left: left - 1, mayEnd: true)]))
        }
        return .choice(choices)
    }
}

extension Limit {
    /// What is left of a bound's digits after the point; zeros follow them.
    fileprivate struct Tail {
        var digits: ArraySlice<UInt8>
        var isExclusive: Bool
        var rest: Tail { Tail(digits: digits.dropFirst(), isExclusive: isExclusive) }
    }

    fileprivate var tail: Tail { Tail(digits: fraction, isExclusive: isExclusive) }
}
