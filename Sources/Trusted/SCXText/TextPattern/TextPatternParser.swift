/// Reads regular expressions as Oniguruma's own syntax has them, which is what `tokenizers` reads them with.
///
/// Groups capture nothing here. Refused with a reason: back references, calls, conditions, `\K`, `\X`, and groups
/// without going back that an automaton cannot follow.
struct TextPatternParser {
    /// Greatest length in characters; published ones have up to 5,000.
    static let maximumLength = 1 << 16
    /// Greatest depth of groups and repetitions within each other.
    static let maximumDepth = 64

    var text: [Unicode.Scalar]
    var at = 0
    private var depth = 0
    var ignoresCase = false
    private var dotTakesLineFeeds = false
    private var isExtended = false
    private var isInLookBehind = false

    /// Reads an expression.
    ///
    /// - Throws: `TextPatternError` with the reason.
    static func parse(_ text: String) throws(TextPatternError) -> TextPatternNode {
        let scalars = Array(text.unicodeScalars)
        guard scalars.count <= maximumLength else {
            throw .unsupported("more than \(maximumLength) characters")
        }
        var parser = TextPatternParser(text: scalars)
        let node = try parser.parseChoice()
        guard parser.at == scalars.count else { throw .malformed("has a ')' without a '('") }
        return node
    }

    private init(text: [Unicode.Scalar]) { self.text = text }

    var next: Unicode.Scalar? { at < text.count ? text[at] : nil }

    /// Takes the character if it is the next one.
    mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard next == scalar else { return false }
        at += 1
        return true
    }

    /// Takes the text if it is next.
    mutating func take(_ string: String) -> Bool {
        let scalars = Array(string.unicodeScalars)
        guard text[at...].starts(with: scalars) else { return false }
        at += scalars.count
        return true
    }

    mutating func deeper<T>(
        _ parse: (inout TextPatternParser) throws(TextPatternError) -> T
    ) throws(TextPatternError) -> T {
        guard depth < Self.maximumDepth else {
            throw .unsupported("more than \(Self.maximumDepth) groups within each other")
        }
        depth += 1
        defer { depth -= 1 }
        return try parse(&self)
    }

    /// Reads up to a `)` or the end; options that are set on the way hold up to there.
    private mutating func parseChoice() throws(TextPatternError) -> TextPatternNode {
        let options = (ignoresCase, dotTakesLineFeeds, isExtended)
        defer { (ignoresCase, dotTakesLineFeeds, isExtended) = options }
        var choices: [TextPatternNode] = []
        repeat { choices.append(try parseSequence()) } while take("|")
        return choices.count == 1 ? choices[0] : .choice(choices)
    }

    private mutating func parseSequence() throws(TextPatternError) -> TextPatternNode {
        var parts: [TextPatternNode] = []
        // Characters that stand one by one in a row and are compared without regard to case.
        var foldedRun: [UInt32] = []
        while let scalar = next, scalar != "|", scalar != ")" {
            if isExtended, skipExtended() { continue }
            guard let atom = try parseAtom() else {
                // `(?i)`: the rest of the group is one of its own.
                parts.append(try deeper { parser throws(TextPatternError) in try parser.parseChoice() })
                break
            }
            let (node, isRepeated) = try parseRepetitions(atom)
            parts.append(node)
            guard ignoresCase, case .set = atom, ![".", "[", "\\"].contains(scalar) else {
                foldedRun.removeAll()
                continue
            }
            if isRepeated { foldedRun.removeAll() }
            foldedRun.append(UnicodeTables.caseFolding[scalar.value] ?? scalar.value)
            try checkFolding(of: scalar, foldedRun)
        }
        return parts.count == 1 ? parts[0] : .sequence(parts)
    }

    /// Refuses what Oniguruma takes for one character: `(?i:ss)` matches "ß" there.
    private func checkFolding(of scalar: Unicode.Scalar, _ run: [UInt32]) throws(TextPatternError) {
        let isLong = UnicodeTables.longFolding[scalar.value] != nil
        let ends = UnicodeTables.longFolding.values.contains { parts in
            run.suffix(parts.count).elementsEqual(parts.map { UnicodeTables.caseFolding[$0] ?? $0 })
        }
        if isLong || ends {
            throw .unsupported("'\(scalar)' in a text without regard to case that several characters equal")
        }
    }

    /// Skips white space and comments of the option `x`; false if there are none.
    private mutating func skipExtended() -> Bool {
        guard let scalar = next else { return false }
        if scalar == "#" {
            while let scalar = next, scalar != "\n" { at += 1 }
            return true
        }
        guard scalar.value < 0x80, scalar.properties.isWhitespace else { return false }
        at += 1
        return true
    }

    private mutating func parseRepetitions(
        _ atom: TextPatternNode
    ) throws(TextPatternError) -> (TextPatternNode, isRepeated: Bool) {
        var node = atom
        var count = 0
        while true {
            if isExtended, skipExtended() { continue }
            let start = at
            guard let (from, upTo, isInterval) = parseRepetition() else { break }
            count += 1
            guard depth + count < Self.maximumDepth else {
                throw .unsupported("more than \(Self.maximumDepth) repetitions of each other")
            }
            var (low, high) = (from, upTo)
            var isPossessive = false
            if let upTo, from > upTo {
                // Oniguruma's way to ask for a possessive interval.
                (low, high, isPossessive) = (upTo, from, true)
            }
            // `{n}?` and `{n,m}+` are two repetitions in this syntax.
            let isGreedy = (isInterval && from == upTo) || !take("?")
            if isGreedy, !isInterval, take("+") { isPossessive = true }
            let loop = TextPatternNode.loop(node, from: low, upTo: high, isGreedy: isGreedy)
            guard isPossessive else {
                node = loop
                continue
            }
            try refuseInLookBehind("'\(shown(start..<at))'")
            guard let atomic = loop.atomic else {
                throw .unsupported(
                    "'\(shown(start..<at))', which never goes back into a part of varying length")
            }
            node = atomic
        }
        return (node, count > 0)
    }

    /// Refuses what goes by the end of the text in Oniguruma's look-behinds: there that is where they end.
    func refuseInLookBehind(_ what: String) throws(TextPatternError) {
        if isInLookBehind { throw .unsupported("\(what) in a look-behind") }
    }

    private func shown(_ range: Range<Int>) -> String {
        String(String.UnicodeScalarView(text[range]))
    }

    /// Reads `*`, `+`, `?` or an interval; nil where none follows.
    private mutating func parseRepetition() -> (from: Int, upTo: Int?, isInterval: Bool)? {
        if take("*") { return (0, nil, false) }
        if take("+") { return (1, nil, false) }
        if take("?") { return (0, 1, false) }
        let start = at
        guard take("{") else { return nil }
        let low = parseNumber()
        if take("}"), let low { return (low, low, true) }
        if take(",") {
            let high = parseNumber()
            if take("}"), low != nil || high != nil { return (low ?? 0, high, true) }
        }
        at = start  // no interval: the brace is a character
        return nil
    }

    private mutating func parseNumber() -> Int? {
        let start = at
        var number = 0
        while let scalar = next, ("0"..."9").contains(scalar) {
            number = min(number * 10 + Int(scalar.value - 0x30), 100_000)
            at += 1
        }
        return at > start ? number : nil
    }

    /// Reads one part without its repetition; nil for an option that holds for the rest of the group.
    private mutating func parseAtom() throws(TextPatternError) -> TextPatternNode? {
        guard let scalar = next else { return .nothing }
        switch scalar {
        case "(": return try parseGroup()
        case "[":
            let set = try deeper { parser throws(TextPatternError) in try parser.parseClass() }
            return .set(set)
        case "\\": return try parseEscape()
        case "*", "+", "?":
            throw .malformed("repeats nothing with '\(scalar)'")
        default: at += 1
        }
        switch scalar {
        case ".": return .set(dotTakesLineFeeds ? .all : ScalarRanges(0x0A).inverted)
        case "^": return .place(.lineStart)
        case "$": return .place(.lineEnd)
        default: return .set(character(scalar.value))
        }
    }

    /// The set of one character, or of all that equal it but for case.
    func character(_ value: UInt32) -> ScalarRanges {
        ignoresCase ? ScalarRanges(value).closedUnderCase : ScalarRanges(value)
    }

    private mutating func parseGroup() throws(TextPatternError) -> TextPatternNode? {
        at += 1
        if take("?#") {
            while let scalar = next, scalar != ")" { at += scalar == "\\" ? 2 : 1 }
            guard take(")") else { throw .malformed("has a comment without an end") }
            return .nothing
        }
        var wrap: (TextPatternNode) throws(TextPatternError) -> TextPatternNode = { $0 }
        if take("?=") {
            wrap = { .look($0, ahead: true, negated: false) }
        } else if take("?!") {
            wrap = { .look($0, ahead: true, negated: true) }
        } else if take("?<=") || take("?<!") {
            let negated = text[at - 1] == "!"
            let outer = isInLookBehind
            isInLookBehind = true
            defer { isInLookBehind = outer }
            return .look(try parseRestOfGroup(), ahead: false, negated: negated)
        } else if take("?>") {
            try refuseInLookBehind("'(?>'")
            wrap = { node throws(TextPatternError) in
                guard let atomic = node.atomic else {
                    throw .unsupported("'(?>…)' around a part of varying length")
                }
                return atomic
            }
        } else if take("?<") || take("?'") {
            let close: Unicode.Scalar = text[at - 1] == "<" ? ">" : "'"
            guard let end = text[at...].firstIndex(of: close), end > at else {
                throw .malformed("has a group whose name does not end")
            }
            at = end + 1
        } else if take("?"), !take(":") {
            let outer = (ignoresCase, dotTakesLineFeeds, isExtended)
            if try !parseOptions() { return nil }
            defer { (ignoresCase, dotTakesLineFeeds, isExtended) = outer }
            return try parseRestOfGroup()
        } else if next == "*" {
            throw .unsupported("'(*'")
        }
        return try wrap(parseRestOfGroup())
    }

    private mutating func parseRestOfGroup() throws(TextPatternError) -> TextPatternNode {
        let node = try deeper { parser throws(TextPatternError) in try parser.parseChoice() }
        guard take(")") else { throw .malformed("has a '(' without a ')'") }
        return node
    }

    /// Reads `i`, `m`, `x` and `-` up to `)`, which gives false, or `:`.
    private mutating func parseOptions() throws(TextPatternError) -> Bool {
        var isOn = true
        while let scalar = next {
            at += 1
            switch scalar {
            case "i": ignoresCase = isOn
            case "m": dotTakesLineFeeds = isOn
            case "x": isExtended = isOn
            case "-": isOn = false
            case ")": return false
            case ":": return true
            default: throw .unsupported("'(?\(scalar)'")
            }
        }
        throw .malformed("has a '(' without a ')'")
    }
}
