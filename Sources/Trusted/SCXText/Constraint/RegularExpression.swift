/// Why a regular expression cannot be used.
struct RegularExpressionError: Error, Equatable {
    let description: String
}

/// Reads the regular expressions of `pattern`: those that describe a regular language in the usual notation.
///
/// Characters, classes, `.`, groups, alternatives, the repetitions `* + ? {m,n}`, and the anchors `^` and `$` at the ends
/// of an alternative. As in JSON Schema a text fits when a part of it does, unless anchors say otherwise.
struct RegularExpression {
    private let scalars: [Unicode.Scalar]
    private var at = 0
    private var depth = 0
    private var tree = ExpressionTree()

    private static let mostRepeats = 1000
    private static let mostGroups = 32

    /// Reads an expression.
    ///
    /// - Parameters:
    ///   - text: The expression.
    ///   - isWhole: Whether a text has to fit from its beginning to its end, also where no anchors say so.
    /// - Returns: The tree, and its root: the texts that fit, or those of which a part does.
    /// - Throws: ``RegularExpressionError`` for what is not understood.
    static func tree(
        _ text: String, isWhole: Bool
    ) throws(RegularExpressionError) -> (tree: ExpressionTree, root: Int) {
        guard text.utf8.count <= 4096 else { throw .init(description: "has more than 4096 bytes") }
        var reader = RegularExpression(scalars: Array(text.unicodeScalars))
        var choices: [Int] = []
        repeat {
            var parts: [Int] = []
            if !reader.take("^"), !isWhole {
                let any = reader.tree.add(.all)
                parts.append(reader.tree.add(.repeated(any, atLeast: 0, atMost: nil)))
            }
            parts.append(try reader.sequence(isTop: true))
            if !reader.take("$"), !isWhole { parts.append(reader.tree.add(.rest)) }
            choices.append(reader.tree.add(.sequence(parts)))
        } while reader.take("|")
        guard reader.at == reader.scalars.count else { throw reader.refused("a ')' too many") }
        let root = reader.tree.add(.choice(choices))
        return (reader.tree, root)
    }

    private init(scalars: [Unicode.Scalar]) { self.scalars = scalars }

    private var next: Unicode.Scalar? { at < scalars.count ? scalars[at] : nil }

    private mutating func take(_ text: String) -> Bool {
        guard scalars[at...].starts(with: text.unicodeScalars) else { return false }
        at += text.unicodeScalars.count
        return true
    }

    private func refused(_ what: String) -> RegularExpressionError {
        .init(description: "has \(what) after \(at) characters, which is not supported")
    }

    private mutating func sequence(isTop: Bool) throws(RegularExpressionError) -> Int {
        var parts: [Int] = []
        while let scalar = next, scalar != "|", scalar != ")" {
            if scalar == "$", isTop, at + 1 == scalars.count || scalars[at + 1] == "|" { break }
            parts.append(try repeated())
        }
        return tree.add(.sequence(parts))
    }

    private mutating func group() throws(RegularExpressionError) -> Int {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.mostGroups else { throw refused("groups nested too deep") }
        if take("?") {
            if take("<"), let scalar = next, scalar != "=", scalar != "!" {
                while let scalar = next, scalar != ">" {
                    _ = scalar
                    at += 1
                }
                guard take(">") else { throw refused("an open name") }
            } else if !take(":") {
                throw refused("a special group")
            }
        }
        var choices: [Int] = []
        repeat { choices.append(try sequence(isTop: false)) } while take("|")
        guard take(")") else { throw refused("an open group") }
        return tree.add(.choice(choices))
    }

    private mutating func repeated() throws(RegularExpressionError) -> Int {
        let atom = try atom()
        let (least, most): (Int, Int?)
        switch next {
        case "*": (least, most) = (0, nil)
        case "+": (least, most) = (1, nil)
        case "?": (least, most) = (0, 1)
        case "{":
            at += 1
            guard let low = number() else { throw refused("a repetition without a number") }
            least = low
            most = take(",") ? number() : low
            guard next == "}", least <= Self.mostRepeats, most ?? least <= Self.mostRepeats,
                least <= most ?? least
            else { throw refused("a repetition out of order or above \(Self.mostRepeats)") }
        default: return atom
        }
        at += 1
        _ = take("?")  // which text is found first makes no difference here
        if let next, "*+?{".unicodeScalars.contains(next) { throw refused("a repetition of a repetition") }
        return tree.add(.repeated(atom, atLeast: least, atMost: most))
    }

    private mutating func number() -> Int? {
        var value: Int?
        while let digit = next?.value, (48...57).contains(digit), value ?? 0 < 1_000_000 {
            value = (value ?? 0) * 10 + Int(digit - 48)
            at += 1
        }
        return value
    }

    private mutating func atom() throws(RegularExpressionError) -> Int {
        guard let scalar = next else { throw refused("an open end") }
        at += 1
        switch scalar {
        case "(": return try group()
        case "[": return tree.add(try characterClass())
        case ".": return tree.add(Self.lineEnds.inverted)
        case "\\": return tree.add(try escape(inClass: false))
        case "^", "$": throw refused("an anchor in the middle")
        case "*", "+", "?", "{": throw refused("a repetition of nothing")
        default: return tree.add(ScalarSet(scalar.value...scalar.value))
        }
    }

    private static let lineEnds = ScalarSet(0x0A...0x0A, 0x0D...0x0D, 0x2028...0x2029)
    private static let digits = ScalarSet(0x30...0x39)
    private static let word = ScalarSet(0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A)
    private static let space = ScalarSet(
        0x09...0x0D, 0x20...0x20, 0xA0...0xA0, 0x1680...0x1680, 0x2000...0x200A, 0x2028...0x2029,
        0x202F...0x202F, 0x205F...0x205F, 0x3000...0x3000, 0xFEFF...0xFEFF)

    private mutating func characterClass() throws(RegularExpressionError) -> ScalarSet {
        let isInverted = take("^")
        var ranges: [ClosedRange<UInt32>] = []
        while !take("]") {
            let low = try classMember()
            if next == "-", at + 1 < scalars.count, scalars[at + 1] != "]" {
                at += 1
                let high = try classMember()
                guard let first = low.single, let last = high.single, first <= last else {
                    throw refused("a range out of order")
                }
                ranges.append(first...last)
            } else {
                ranges += low.ranges
            }
        }
        let set = ScalarSet(ranges)
        return isInverted ? set.inverted : set
    }

    private mutating func classMember() throws(RegularExpressionError) -> ScalarSet {
        guard let scalar = next else { throw refused("an open class") }
        at += 1
        return scalar == "\\" ? try escape(inClass: true) : ScalarSet(scalar.value...scalar.value)
    }

    private mutating func escape(inClass: Bool) throws(RegularExpressionError) -> ScalarSet {
        guard let scalar = next else { throw refused("an open escape") }
        at += 1
        switch scalar {
        case "d": return Self.digits
        case "D": return Self.digits.inverted
        case "w": return Self.word
        case "W": return Self.word.inverted
        case "s": return Self.space
        case "S": return Self.space.inverted
        case "t": return ScalarSet(9...9)
        case "n": return ScalarSet(10...10)
        case "v": return ScalarSet(11...11)
        case "f": return ScalarSet(12...12)
        case "r": return ScalarSet(13...13)
        case "b" where inClass: return ScalarSet(8...8)
        case "x": return try hexadecimal(2)
        case "u": return try hexadecimal(4)
        default:
            // Letters and digits would mean something else: references, properties, word boundaries.
            guard !scalar.properties.isAlphabetic, scalar.properties.numericType == nil else {
                throw refused("an escape")
            }
            return ScalarSet(scalar.value...scalar.value)
        }
    }

    private mutating func hexadecimal(_ digits: Int) throws(RegularExpressionError) -> ScalarSet {
        var value: UInt32 = 0
        for _ in 0..<digits {
            guard let digit = next.flatMap({ Character($0).hexDigitValue }) else {
                throw refused("an escape")
            }
            value = value << 4 | UInt32(digit)
            at += 1
        }
        return ScalarSet(value...value)
    }
}
