extension TextPatternParser {
    /// Reads `[…]`: characters, ranges, escapes, sets within it, `&&` for what both sides have, `^` for all others.
    ///
    /// Without regard to case, the characters that equal a member of the outermost set count too, before its `^`.
    mutating func parseClass(isInner: Bool = false) throws(TextPatternError) -> ScalarRanges {
        at += 1
        let isNegated = take("^")
        var ranges: [Range<UInt32>] = []
        var isEmpty = true
        var both: ScalarRanges?
        // A `]` that comes first is a character, if there is another one.
        if next == "]", text[(at + 1)...].contains("]") {
            ranges.append(0x5D..<0x5E)
            isEmpty = false
            at += 1
        }
        while true {
            guard let scalar = next else { throw .malformed("has a '[' without a ']'") }
            if scalar == "]" {
                guard !isEmpty else { throw .malformed("has an empty '[]'") }
                at += 1
                break
            }
            isEmpty = false
            if scalar == "[" {
                if let set = try parseBracketName() {
                    ranges += set.ranges
                } else {
                    let set = try deeper { parser throws(TextPatternError) in
                        try parser.parseClass(isInner: true)
                    }
                    ranges += set.ranges
                }
            } else if take("&&") {
                let left = ScalarRanges(ranges)
                both = both?.intersection(left) ?? left
                ranges = []
            } else {
                try parseMembers(into: &ranges)
            }
            guard ranges.count < 1 << 20 else { throw .unsupported("a set of more than a million parts") }
        }
        var set = ScalarRanges(ranges)
        if let both { set = both.intersection(set) }
        if ignoresCase, !isInner { set = set.closedUnderCase }
        return isNegated ? set.inverted : set
    }

    /// Reads a character, a range or an escape that is a set.
    private mutating func parseMembers(into ranges: inout [Range<UInt32>]) throws(TextPatternError) {
        guard let low = try parseMember(into: &ranges) else { return }
        // A minus sign is a character at the end, and before what is no character.
        guard next == "-", at + 1 < text.count, text[at + 1] != "]", text[at + 1] != "[" else {
            ranges.append(low..<low + 1)
            return
        }
        let minus = at
        at += 1
        if text[at] == "&", at + 1 < text.count, text[at + 1] == "&" {
            at = minus
            ranges.append(low..<low + 1)
            return
        }
        guard let high = try parseMember(into: &ranges) else {
            ranges += [low..<low + 1, 0x2D..<0x2E]
            return
        }
        guard low <= high else { throw .malformed("has a range from a greater character to a lesser one") }
        ranges.append(low..<high + 1)
    }

    /// The next character; nil if it is an escape for a set, which is added.
    private mutating func parseMember(into ranges: inout [Range<UInt32>]) throws(TextPatternError) -> UInt32?
    {
        guard let scalar = next else { throw .malformed("has a '[' without a ']'") }
        guard scalar == "\\" else {
            at += 1
            return scalar.value
        }
        switch try parseCharacterEscape(inClass: true) {
        case .character(let value): return value
        case .set(let set):
            ranges += set.ranges
            return nil
        }
    }

    /// Reads `[:name:]`; nil where there is none.
    private mutating func parseBracketName() throws(TextPatternError) -> ScalarRanges? {
        guard at + 1 < text.count, text[at + 1] == ":" else { return nil }
        var end = at + 2
        let isNegated = end < text.count && text[end] == "^"
        if isNegated { end += 1 }
        let start = end
        while end < text.count, end - start < 20, ("a"..."z").contains(text[end]) { end += 1 }
        guard end + 1 < text.count, text[end] == ":", text[end + 1] == "]",
            let set = UnicodeTables.bracket(String(String.UnicodeScalarView(text[start..<end])))
        else { return nil }
        at = end + 2
        return isNegated ? set.inverted : set
    }

    /// Reads what a backslash begins outside of a class.
    mutating func parseEscape() throws(TextPatternError) -> TextPatternNode {
        guard at + 1 < text.count else { throw .malformed("ends in a backslash") }
        let place: TextPatternNode? =
            switch text[at + 1] {
            case "A": .place(.start)
            case "z": .place(.end)
            case "Z":
                .look(
                    .sequence([
                        .loop(.set(ScalarRanges(0x0A)), from: 0, upTo: 1, isGreedy: true), .place(.end),
                    ]), ahead: true, negated: false)
            case "G": .place(.searchStart)
            case "b": .place(.wordBoundary(negated: false))
            case "B": .place(.wordBoundary(negated: true))
            case "N": .set(ScalarRanges(0x0A).inverted)
            case "O": .set(.all)
            case "R": Self.anyLineEnd
            default: nil
            }
        if let place {
            if text[at + 1] == "R" { try refuseInLookBehind("'\\R'") }
            at += 2
            return place
        }
        switch try parseCharacterEscape(inClass: false) {
        case .character(let value): return .set(character(value))
        case .set(let set): return .set(set)
        }
    }

    /// `\R`: a carriage return is not parted from the line feed after it.
    private static let anyLineEnd = TextPatternNode.choice([
        .sequence([.set(ScalarRanges(0x0D)), .set(ScalarRanges(0x0A))]),
        .sequence([
            .set(ScalarRanges(0x0D)), .look(.set(ScalarRanges(0x0A)), ahead: true, negated: true),
        ]),
        .set(ScalarRanges([0x0A..<0x0D, 0x85..<0x86, 0x2028..<0x202A])),
    ])

    enum Escape {
        case character(UInt32)
        case set(ScalarRanges)
    }

    /// Reads a backslash and what belongs to it, where that stands for characters.
    mutating func parseCharacterEscape(inClass: Bool) throws(TextPatternError) -> Escape {
        guard at + 1 < text.count else { throw .malformed("ends in a backslash") }
        let scalar = text[at + 1]
        at += 2
        switch scalar {
        case "t": return .character(0x09)
        case "n": return .character(0x0A)
        case "v": return .character(0x0B)
        case "f": return .character(0x0C)
        case "r": return .character(0x0D)
        case "a": return .character(0x07)
        case "e": return .character(0x1B)
        case "b" where inClass: return .character(0x08)
        case "d": return .set(UnicodeTables.digit)
        case "D": return .set(UnicodeTables.digit.inverted)
        case "s": return .set(UnicodeTables.whiteSpaceSet)
        case "S": return .set(UnicodeTables.whiteSpaceSet.inverted)
        case "w", "W":
            let set = inClass ? UnicodeTables.bracketWord : UnicodeTables.wordCharacters
            return .set(scalar == "W" ? set.inverted : set)
        case "h": return .set(UnicodeTables.hexadecimal)
        case "H": return .set(UnicodeTables.hexadecimal.inverted)
        case "p", "P": return .set(try parseProperty(isNegated: scalar == "P", inClass: inClass))
        case "x": return .character(try parseHexadecimal(digits: 2))
        case "u": return .character(try parseHexadecimal(digits: 4))
        case "0": return .character(parseOctal())
        case "1"..."9":
            throw .unsupported(inClass ? "a byte in octal digits" : "a reference back to a group")
        case let letter where letter.value < 0x80 && letter.properties.isAlphabetic:
            throw .unsupported("'\\\(letter)'")
        default: return .character(scalar.value)
        }
    }

    private mutating func parseProperty(
        isNegated: Bool, inClass: Bool
    ) throws(TextPatternError) -> ScalarRanges {
        guard take("{"), let end = text[at...].firstIndex(of: "}"), end - at < 80 else {
            throw .unsupported("'\\p' without a name in braces")
        }
        let isInverse = take("^")
        let name = String(String.UnicodeScalarView(text[at..<end]))
        at = end + 1
        guard var set = UnicodeTables.property(name) else {
            throw .unsupported("the property \(name.quotedForError)")
        }
        if inClass, set == UnicodeTables.wordCharacters { set = UnicodeTables.bracketWord }
        return isNegated != isInverse ? set.inverted : set
    }

    private mutating func parseHexadecimal(digits limit: Int) throws(TextPatternError) -> UInt32 {
        var value: UInt32 = 0
        if limit == 2, take("{") {
            guard let end = text[at...].firstIndex(of: "}"), (1...8).contains(end - at) else {
                throw .malformed("has a number in braces that does not end")
            }
            let digits = String(String.UnicodeScalarView(text[at..<end]))
            at = end + 1
            guard let number = UInt32(digits, radix: 16), number < ScalarRanges.limit else {
                throw .malformed("has a number that is no character")
            }
            return number
        }
        var count = 0
        while count < limit, let digit = next.flatMap({ $0.value < 0x80 ? Character($0).hexDigitValue : nil })
        {
            value = value << 4 | UInt32(digit)
            at += 1
            count += 1
        }
        guard limit == 2 || count == limit else { throw .malformed("has a '\\u' without four digits") }
        guard limit == 4 || value < 0x80 else { throw .unsupported("a single byte above 0x7F") }
        return value
    }

    private mutating func parseOctal() -> UInt32 {
        var value: UInt32 = 0
        var count = 0
        while count < 2, let scalar = next, ("0"..."7").contains(scalar) {
            value = value << 3 | (scalar.value - 0x30)
            at += 1
            count += 1
        }
        return value
    }
}

extension ScalarRanges {
    /// The set with all characters that equal one of it but for case.
    var closedUnderCase: ScalarRanges {
        var ranges = self.ranges
        var least = Set<UInt32>()
        for (scalar, fold) in UnicodeTables.caseFolding where contains(scalar) || contains(fold) {
            least.insert(fold)
        }
        guard !least.isEmpty else { return self }
        for (scalar, fold) in UnicodeTables.caseFolding where least.contains(fold) {
            ranges += [scalar..<scalar + 1, fold..<fold + 1]
        }
        return ScalarRanges(ranges)
    }
}
