import SCXInference

extension Grammar {
    /// A text that fits the schema of a string, as it is and not as JSON spells it, and what ends it.
    ///
    /// - Parameters:
    ///   - schema: Of a string.
    ///   - end: What ends the text, and is no part of it; not empty.
    ///   - budget: Pays for the work.
    /// - Returns: A grammar of the text and its end; nil for a schema without `pattern`, length or format, which
    ///   restricts nothing.
    /// - Throws: ``ConstraintError`` for a schema that cannot be held to.
    static func text(
        of schema: JSON, until end: String, _ budget: CompilationBudget
    ) throws(ConstraintError) -> Grammar? {
        let restricting = ["pattern", "minLength", "maxLength", "format"]
        let restricted = schema.object?.filter { restricting.contains($0.name) } ?? []
        let compiled = try JSONSchema(.object(restricted + [.init("type", "string")]), budget: budget)
        var root = compiled.root
        while case .rule(let number) = compiled.patterns[root] { root = compiled.rules[Int(number)] }
        guard root != .never else { throw .impossible }
        // Quotation marks, and what stands between them.
        guard case .sequence(let parts) = compiled.patterns[root], parts.count == 3 else { return nil }
        switch compiled.patterns[compiled.patterns.parts[Int(parts.lowerBound) + 1]] {
        case .automaton(let place):
            return try text(of: compiled.patterns.automata[Int(place)], until: end, budget)
        case .repeated(_, let least, let most):
            if let lengths = TextAutomaton(atLeast: least, atMost: most) {
                return try text(of: lengths, until: end, budget)
            }
            // Texts so long may hold their end too.
            var patterns = PatternArena()
            let characters = patterns.scalars(.all)
            let root = patterns.repeated(characters, atLeast: Int(least), atMost: most.map { Int($0) })
            return .sequence([
                .schema(JSONSchema(patterns: patterns, rules: [], root: root)), .literal(end),
            ])
        default: return nil
        }
    }

    /// A text that an automaton takes, up to the first place where another text stands, and that one.
    ///
    /// A rule for each state of the automaton and each count of the end's characters that were read.
    private static func text(
        of automaton: TextAutomaton, until end: String, _ budget: CompilationBudget
    ) throws(ConstraintError) -> Grammar {
        let matcher = EndMatcher(end)
        var patterns = PatternArena()
        let ending = patterns.text(end)
        var places: [SIMD2<Int32>: Int] = [:]
        var waiting: [SIMD2<Int32>] = []
        func rule(_ state: Int32, _ count: Int) -> Int {
            let pair = SIMD2(state, Int32(count))
            if let known = places[pair] { return known }
            places[pair] = waiting.count
            waiting.append(pair)
            return waiting.count - 1
        }
        _ = rule(0, 0)
        var rules: [Pattern] = []
        while rules.count < waiting.count {
            let (state, count) = (waiting[rules.count].x, Int(waiting[rules.count].y))
            try budget.spend(states: 1)
            var edges = automaton.edges[Int(state)].map { (automaton.sets[Int($0.characters)], $0.target) }
            if automaton.isOpen[Int(state)] { edges = [(.all, state)] }
            let isEnd = automaton.isEnd[Int(state)] || automaton.isOpen[Int(state)]
            var choices = isEnd ? [ending] : []
            for (characters, target) in edges {
                try budget.spend(characters.ranges.count + matcher.known.count)
                let others = patterns.scalars(characters.subtracting(matcher.scalars))
                choices.append(patterns.sequence([others, patterns.rule(rule(target, 0))]))
                for scalar in matcher.known where characters.contains(scalar) {
                    let next = matcher.count(after: count, scalar)
                    // There the text would hold its end.
                    guard next < matcher.length else { continue }
                    let one = patterns.scalars(ScalarSet(scalar...scalar))
                    choices.append(patterns.sequence([one, patterns.rule(rule(target, next))]))
                }
            }
            rules.append(patterns.choice(choices))
        }
        let root = patterns.rule(0)
        return .schema(JSONSchema(patterns: patterns, rules: rules, root: root))
    }
}

/// Counts how many characters of a text's end were read last.
private struct EndMatcher {
    private let wanted: [UInt32]
    /// For each count the next smaller one that the same characters give.
    private var fallback: [Int]
    /// The different characters of the end, in order.
    let known: [UInt32]
    let scalars: ScalarSet

    var length: Int { wanted.count }

    init(_ end: String) {
        precondition(!end.isEmpty, "EndMatcher: an end without characters is everywhere")
        wanted = end.unicodeScalars.map(\.value)
        known = Set(wanted).sorted()
        scalars = ScalarSet(known.map { $0...$0 })
        fallback = [Int](repeating: 0, count: wanted.count)
        for place in wanted.indices.dropFirst() {
            fallback[place] = count(after: fallback[place - 1], wanted[place])
        }
    }

    /// The count after one more character.
    func count(after count: Int, _ scalar: UInt32) -> Int {
        var count = count
        while count > 0, wanted[count] != scalar { count = fallback[count - 1] }
        return wanted[count] == scalar ? count + 1 : 0
    }
}

extension TextAutomaton {
    private static var mostCharacters: Int32 { 256 }

    /// Texts of so many characters; nil when these are too many to have a state each.
    fileprivate init?(atLeast least: Int32, atMost most: Int32?) {
        let last = most ?? least
        guard least <= last, last <= Self.mostCharacters else { return nil }
        self.init()
        for count in 0...last {
            _ = addState(isEnd: count >= least, isOpen: most == nil && count == least)
        }
        for count in 0..<last { addEdge(count, .all, to: count + 1) }
    }
}

extension JSONSchema {
    /// Any text up to the first place where another text stands, and that one; the first rule is all of it.
    ///
    /// - Parameter end: What ends the text; not empty.
    init(until end: String) {
        let matcher = EndMatcher(end)
        var patterns = PatternArena()
        let others = patterns.scalars(ScalarSet.all.subtracting(matcher.scalars))
        var rules: [Pattern] = []
        for count in 0..<matcher.length {
            // The call of the next rule is the last thing that a rule does, so that nothing piles up.
            var choices = [patterns.sequence([others, patterns.rule(0)])]
            for scalar in matcher.known {
                let one = patterns.scalars(ScalarSet(scalar...scalar))
                let next = matcher.count(after: count, scalar)
                choices.append(
                    next == matcher.length ? one : patterns.sequence([one, patterns.rule(next)]))
            }
            rules.append(patterns.choice(choices))
        }
        let root = patterns.rule(0)
        self.init(patterns: patterns, rules: rules, root: root)
    }

    /// Texts that a regular expression describes from their beginning to their end, as they are and not as JSON spells
    /// them.
    ///
    /// - Parameters:
    ///   - expression: In the notation of a schema's `pattern`.
    ///   - budget: Pays for the work.
    /// - Throws: ``ConstraintError`` for an expression that answers cannot be held to.
    package init(matching expression: String, budget: CompilationBudget = .init()) throws(ConstraintError) {
        let automaton = try ExpressionAutomaton.automaton(expression, isWhole: true, budget) {
            .expression(reason: $0)
        }
        guard !automaton.edges.isEmpty else { throw .impossible }
        var patterns = PatternArena()
        var rules: [Pattern] = []
        for state in automaton.edges.indices {
            let isOpen = automaton.isOpen[state]
            var choices = isOpen || automaton.isEnd[state] ? [Pattern.nothing] : []
            var edges = automaton.edges[state].map {
                (automaton.sets[Int($0.characters)], Int($0.target))
            }
            if isOpen { edges = [(.all, state)] }
            for (characters, target) in edges {
                try budget.spend(characters.ranges.count + 4)
                choices.append(
                    patterns.sequence([patterns.scalars(characters), patterns.rule(target)]))
            }
            rules.append(patterns.choice(choices))
        }
        let root = patterns.rule(0)
        self.init(patterns: patterns, rules: rules, root: root)
    }

    /// One of some texts, as they are.
    init(texts: [String]) {
        var patterns = PatternArena()
        var choices: [Pattern] = []
        for text in texts { choices.append(patterns.text(text)) }
        let root = patterns.choice(choices)
        self.init(patterns: patterns, rules: [], root: root)
    }

    /// Texts that no schema describes.
    init(patterns: PatternArena, rules: [Pattern], root: Pattern) {
        (self.patterns, self.rules, self.root) = (patterns, rules, root)
    }
}
