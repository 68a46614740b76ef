/// The tree of a regular expression.
///
/// The parser bounds its depth, so that whatever walks or frees it may call itself.
indirect enum TextPatternNode: Sendable {
    /// One character of a set.
    case set(ScalarRanges)
    /// One after the other; none of them matches nothing, in the sense of the empty text.
    case sequence([TextPatternNode])
    /// The first of them that leads to a match; none of them matches never.
    case choice([TextPatternNode])
    /// So many times; `upTo` is nil without a limit. A greedy one tries once more before it goes on.
    case loop(TextPatternNode, from: Int, upTo: Int?, isGreedy: Bool)
    /// Whether a match begins (`ahead`) or ends here, without taking it.
    case look(TextPatternNode, ahead: Bool, negated: Bool)
    case place(Place)

    enum Place: Hashable, Sendable {
        /// `\A`.
        case start
        /// `^`: the start, or after a line feed that is not the last character.
        case lineStart
        /// `$`: the end, or before a line feed.
        case lineEnd
        /// `\z`.
        case end
        /// `\b` and `\B`.
        case wordBoundary(negated: Bool)
        /// `\G`: where the search began.
        case searchStart
    }

    static let nothing = TextPatternNode.sequence([])
}

extension TextPatternNode {
    /// The number of characters that every match has, nil where they differ.
    var fixedLength: Int? {
        switch self {
        case .set: return 1
        case .look, .place: return 0
        case .sequence(let parts):
            var sum = 0
            for part in parts {
                guard let length = part.fixedLength else { return nil }
                sum += length
            }
            return sum
        case .choice(let parts):
            guard let first = parts.first?.fixedLength else { return nil }
            return parts.dropFirst().allSatisfy { $0.fixedLength == first } ? first : nil
        case .loop(let body, let from, let upTo, _):
            guard from == upTo, let length = body.fixedLength else { return nil }
            let (product, isOver) = length.multipliedReportingOverflow(by: from)
            return isOver ? nil : product
        }
    }

    /// The least number of characters of a match.
    var minimumLength: Int {
        switch self {
        case .set: 1
        case .look, .place: 0
        case .sequence(let parts): parts.reduce(0) { min(1 << 20, $0 + $1.minimumLength) }
        case .choice(let parts): parts.map(\.minimumLength).min() ?? 0
        case .loop(let body, let from, _, _): min(1 << 20, body.minimumLength * from)
        }
    }

    /// The same without going back into it: `(?>…)`.
    ///
    /// What a group takes never changes later. An automaton has no such thing, but where all matches of a part have one
    /// length nothing can change, a greedy loop of such parts ends where one more does not match, and of a choice
    /// later parts count only where earlier ones do not match. Nil for other groups.
    var atomic: TextPatternNode? {
        // Parts are repeated: groups within groups must not multiply without end.
        guard hasAtMost(nodes: 4096) else { return nil }
        if fixedLength != nil { return self }
        switch self {
        case .sequence(let parts):
            guard let last = parts.last?.atomic, parts.dropLast().allSatisfy({ $0.fixedLength != nil }) else {
                return nil
            }
            return .sequence(parts.dropLast() + [last])
        case .choice(let parts):
            var choices: [TextPatternNode] = []
            for (i, part) in parts.enumerated() {
                guard let part = part.atomic else { return nil }
                let without = parts[..<i].map { TextPatternNode.look($0, ahead: true, negated: true) }
                choices.append(.sequence(without + [part]))
            }
            return .choice(choices)
        case .loop(let body, let from, let upTo, let isGreedy):
            guard let length = body.fixedLength else { return nil }
            if length == 0 { return self }
            guard isGreedy else { return .loop(body, from: from, upTo: from, isGreedy: true) }
            let ends = TextPatternNode.look(body, ahead: true, negated: true)
            guard let upTo else { return .sequence([self, ends]) }
            guard upTo > from else { return self }
            let fewer = TextPatternNode.loop(body, from: from, upTo: upTo - 1, isGreedy: true)
            return .choice([.loop(body, from: upTo, upTo: upTo, isGreedy: true), .sequence([fewer, ends])])
        case .set, .look, .place: return self
        }
    }

    /// Whether the tree has at most so many nodes; takes no longer than to count them.
    func hasAtMost(nodes limit: Int) -> Bool {
        var rest = limit
        return count(&rest)
    }

    private func count(_ rest: inout Int) -> Bool {
        rest -= 1
        guard rest >= 0 else { return false }
        switch self {
        case .set, .place: return true
        case .sequence(let parts), .choice(let parts):
            for part in parts where !part.count(&rest) { return false }
            return true
        case .loop(let body, _, _, _), .look(let body, _, _): return body.count(&rest)
        }
    }

    /// What the next character must be for a look-ahead of at most one character, nil for others.
    var nextCharacter: (set: ScalarRanges, orEnd: Bool)? {
        switch self {
        case .set(let set): return (set, false)
        case .place(.end): return (ScalarRanges(), true)
        case .place(.lineEnd): return (ScalarRanges(0x0A), true)
        case .sequence(let parts) where parts.count == 1: return parts[0].nextCharacter
        case .choice(let parts):
            var (set, orEnd) = (ScalarRanges(), false)
            for part in parts {
                guard let next = part.nextCharacter else { return nil }
                set = set.union(next.set)
                orEnd = orEnd || next.orEnd
            }
            return (set, orEnd)
        case .loop(let body, let from, _, _) where from == 1: return body.nextCharacter
        default: return nil
        }
    }
}

/// Why a regular expression was refused.
enum TextPatternError: Error, Equatable {
    /// It is no regular expression; the text goes after "that".
    case malformed(String)
    /// It asks for something that exists elsewhere but not here; the text goes after "with".
    case unsupported(String)
}
