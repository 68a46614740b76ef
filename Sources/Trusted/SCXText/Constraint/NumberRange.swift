import SCXInference

/// The greatest whole number in answers, of `JSONPart.mostDigits` digits.
private let greatest = 999_999_999_999_999_999

extension SchemaCompiler {
    private func wholeBounds(_ schemas: OwnKeywords) throws(ConstraintError) -> (low: Int, high: Int)? {
        var (low, high) = (-greatest, greatest)
        var isBounded = false
        func round(_ value: JSON, up: Bool) -> Int {
            if case .int(let whole) = value { return whole }
            let number = (value.double ?? 0).rounded(up ? .up : .down)
            return Int(exactly: min(max(number, -1e18), 1e18)) ?? 0
        }
        for (keyword, isLower, isExclusive) in [
            (SchemaKeyword.minimum, true, false), (.exclusiveMinimum, true, true), (.maximum, false, false),
            (.exclusiveMaximum, false, true),
        ] {
            for bound in try bounds(keyword, schemas) {
                isBounded = true
                // An exclusive bound moves to the next whole number beyond.
                let rounded = round(bound.number, up: isLower != isExclusive)
                let whole = min(max(rounded, -greatest - 1), greatest + 1)
                if isLower {
                    low = max(low, isExclusive ? whole + 1 : whole)
                } else {
                    high = min(high, isExclusive ? whole - 1 : whole)
                }
            }
        }
        return isBounded ? (low, high) : nil
    }

    mutating func integer(_ schemas: OwnKeywords) throws(ConstraintError) -> Pattern {
        guard let (low, high) = try wholeBounds(schemas) else { return .json(.integer) }
        var choices: [Pattern] = []
        if low < 0 {
            choices.append(patterns.sequence([patterns.text("-"), patterns.whole(max(1, -high), -low)]))
        }
        choices.append(patterns.whole(max(low, 0), high))
        return patterns.choice(choices)
    }

    private func bounds(
        _ keyword: SchemaKeyword, _ schemas: OwnKeywords
    ) throws(ConstraintError) -> [(schema: Int32, number: JSON)] {
        try schemas.all(keyword).map { (schema, value) throws(ConstraintError) in
            let json = document.json(value)
            guard let number = json.double, number.isFinite else {
                throw document.error(schema, keyword.rawValue, "is no number")
            }
            return (schema, json)
        }
    }

    mutating func number(_ schemas: OwnKeywords) throws(ConstraintError) -> Pattern {
        var (low, high): (Limit?, Limit?)
        for (keyword, isExclusive) in [(SchemaKeyword.minimum, false), (.exclusiveMinimum, true)] {
            for limit in try limits(keyword, isExclusive, schemas) {
                let isCloser = low.map { limit.value > $0.value || (limit.value == $0.value && isExclusive) }
                if isCloser ?? true { low = limit }
            }
        }
        for (keyword, isExclusive) in [(SchemaKeyword.maximum, false), (.exclusiveMaximum, true)] {
            for limit in try limits(keyword, isExclusive, schemas) {
                let isCloser = high.map { limit.value < $0.value || (limit.value == $0.value && isExclusive) }
                if isCloser ?? true { high = limit }
            }
        }
        if low == nil, high == nil { return .json(.number) }
        var choices: [Pattern] = []
        if !(high?.isNegative ?? false) {
            let from = low.flatMap { $0.isNegative ? nil : $0 } ?? .zero
            choices.append(patterns.numbers(from: from, to: high))
        }
        if low?.isNegative ?? true {
            let from = high.flatMap { $0.isNegative || $0.isZero ? $0 : nil } ?? .zero
            choices.append(patterns.sequence([patterns.text("-"), patterns.numbers(from: from, to: low)]))
        }
        return patterns.choice(choices)
    }

    private func limits(
        _ keyword: SchemaKeyword, _ isExclusive: Bool, _ schemas: OwnKeywords
    ) throws(ConstraintError) -> [Limit] {
        try bounds(keyword, schemas).map { (schema, number) throws(ConstraintError) in
            guard let limit = Limit(number, isExclusive: isExclusive) else {
                throw document.error(
                    schema, keyword.rawValue,
                    "has more than \(JSONPart.mostFractionDigits) digits after the point")
            }
            return limit
        }
    }
}

// MARK: Digits

// What recurses here does so once for each digit, of which answers have few.

extension PatternArena {
    /// Whole numbers from `low` to `high`, neither below 0.
    fileprivate mutating func whole(_ low: Int, _ high: Int) -> Pattern {
        var choices: [Pattern] = []
        var power = 1
        for length in 1...JSONPart.mostDigits {
            let (first, last) = (max(low, length == 1 ? 0 : power), min(high, power * 10 - 1))
            if first <= last { choices.append(between(Self.digits(first), Self.digits(last))) }
            power *= 10
        }
        return choice(choices)
    }

    private static func digits(_ number: Int) -> ArraySlice<UInt8> { "\(number)".utf8.map { $0 - 48 }[...] }

    private mutating func digit(_ low: UInt8, _ high: UInt8) -> Pattern {
        set(ByteSet((low + 48)...(high + 48)))
    }

    /// Digits from `low` to `high`, which are equally long.
    private mutating func between(_ low: ArraySlice<UInt8>, _ high: ArraySlice<UInt8>) -> Pattern {
        guard let first = low.first, let last = high.first else { return .nothing }
        if low.allSatisfy({ $0 == 0 }), high.allSatisfy({ $0 == 9 }) {
            return repeated(set(JSONPart.digits), atLeast: low.count, atMost: low.count)
        }
        let (lowRest, highRest) = (low.dropFirst(), high.dropFirst())
        if first == last { return sequence([digit(first, first), between(lowRest, highRest)]) }
        let (zeros, nines) = (lowRest.map { _ in 0 as UInt8 }[...], lowRest.map { _ in 9 as UInt8 }[...])
        var choices = [sequence([digit(first, first), between(lowRest, nines)])]
        if last - first > 1 {
            choices.append(sequence([digit(first + 1, last - 1), between(zeros, nines)]))
        }
        choices.append(sequence([digit(last, last), between(zeros, highRest)]))
        return choice(choices)
    }

    /// Numbers without a sign or exponent, between two magnitudes.
    fileprivate mutating func numbers(from low: Limit, to high: Limit?) -> Pattern {
        let high = high.flatMap { $0.whole > greatest ? nil : $0 }
        guard low.whole <= greatest else { return .never }
        if let high, high.whole <= low.whole {
            if high.whole < low.whole { return .never }
            return sequence([text("\(low.whole)"), fraction(from: low, to: high)])
        }
        let inside = whole(low.whole + 1, high.map { $0.whole - 1 } ?? greatest)
        var choices = [
            sequence([text("\(low.whole)"), fraction(from: low, to: nil)]),
            sequence([inside, fraction(from: nil, to: nil)]),
        ]
        if let high { choices.append(sequence([text("\(high.whole)"), fraction(from: nil, to: high)])) }
        return choice(choices)
    }

    /// The point and the digits after it, or nothing.
    private mutating func fraction(from low: Limit?, to high: Limit?) -> Pattern {
        let digits = JSONPart.mostFractionDigits
        let inside = fraction(low?.tail, high?.tail, left: digits, mayEnd: false)
        let some = sequence([text("."), inside])
        return Self.isZeroWithin(low?.tail, high?.tail) ? optional(some) : some
    }

    /// Whether a fraction may end, all further digits being 0.
    private static func isZeroWithin(_ low: Limit.Tail?, _ high: Limit.Tail?) -> Bool {
        if let low, !low.digits.isEmpty || low.isExclusive { return false }
        if let high, high.digits.isEmpty, high.isExclusive { return false }
        return true
    }

    /// Digits after a point from what is left of one bound's digits to what is left of another's.
    private mutating func fraction(
        _ low: Limit.Tail?, _ high: Limit.Tail?, left: Int, mayEnd: Bool
    ) -> Pattern {
        if low == nil, high == nil {
            return repeated(set(JSONPart.digits), atLeast: mayEnd ? 0 : 1, atMost: left)
        }
        var choices: [Pattern] = mayEnd && Self.isZeroWithin(low, high) ? [.nothing] : []
        guard left > 0 else { return choice(choices) }
        let least = low?.digits.first ?? 0
        let top = high.map { $0.digits.first ?? 0 } ?? 9
        guard least <= top else { return choice(choices) }
        for first in least...top {
            let below = low.flatMap { first > least ? nil : $0.rest }
            let above = high.flatMap { first < top ? nil : $0.rest }
            choices.append(
                sequence([digit(first, first), fraction(below, above, left: left - 1, mayEnd: true)]))
        }
        return choice(choices)
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
            ? greatest + 1 : significant.reduce(0) { $0 * 10 + Int($1) }
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
