extension GrammarBuilder {
    /// Adds members in order: a chain for when none was written yet, and one for later ones, which need a comma.
    mutating func emit(
        _ members: [Pattern.Member], _ further: Pattern?, _ scope: Scope, next: Int32, depth: Int
    ) throws(ConstraintError) -> Int32 {
        let close = try emit(JSONPart.gap, next: next)
        var later = close
        var first = next
        if let further {
            let rule = newRule(further, scope)
            let loop = try add(Node(kind: .split))
            let round = try emit(JSONPart.comma, next: try call(rule, next: loop))
            nodes[Int(loop)] = try splitNode([round, close])
            later = loop
            first = try split([try call(rule, next: loop), next])
        }
        let firstRequired = members.firstIndex { $0.isRequired } ?? members.count
        for (index, member) in members.enumerated().reversed() {
            let isFirst = index <= firstRequired
            // Members that can be the first one or a later one are needed twice.
            let rule = index > 0 && isFirst ? newRule(member.pattern, scope) : nil
            func single(_ builder: inout Self, next: Int32) throws(ConstraintError) -> Int32 {
                if let rule { return try builder.call(rule, next: next) }
                return try builder.emit(member.pattern, scope, next: next, depth: depth)
            }
            let alone = isFirst ? try single(&self, next: later) : nil
            if index > 0 {
                let following = try emit(JSONPart.comma, next: try single(&self, next: later))
                later = member.isRequired ? following : try split([following, later])
            }
            if let alone { first = member.isRequired ? alone : try split([alone, first]) }
        }
        return first
    }

    /// Adds the first elements of an array, which may end after so many of them.
    mutating func emit(
        elements: [Pattern], _ least: Int, _ rest: Pattern, _ scope: Scope, next: Int32, depth: Int
    ) throws(ConstraintError) -> Int32 {
        let close = try emit(JSONPart.gap, next: next)
        var first = try emit(rest, scope, next: close, depth: depth)
        for (index, element) in elements.enumerated().reversed() {
            first = try emit(element, scope, next: first, depth: depth)
            if index > 0 { first = try emit(JSONPart.comma, next: first) }
            if index >= least { first = try split([first, index > 0 ? close : next]) }
        }
        return first
    }

    /// Adds an automaton: a node for each state.
    mutating func emit(_ automaton: TextAutomaton, next: Int32) throws(ConstraintError) -> Int32 {
        var states: [Int32] = []
        for _ in automaton.edges { states.append(try add(Node(kind: .split))) }
        for (state, place) in states.enumerated() {
            if automaton.isOpen[state] {
                let character = try emit(JSONPart.character, next: place)
                nodes[Int(place)] = try splitNode([character, next])
                continue
            }
            var ways = automaton.isEnd[state] ? [next] : []
            for edge in automaton.edges[state] {
                let characters = automaton.sets[Int(edge.characters)]
                let target = states[Int(edge.target)]
                let plain = characters.plainASCII
                if !plain.isEmpty { ways.append(try add(plain, next: target)) }
                if let rule = otherCharacters(characters) { ways.append(try call(rule, next: target)) }
            }
            nodes[Int(place)] = try splitNode(ways)
        }
        return states[0]
    }

    /// The rule of those characters that are not a byte of their own; nil when there is none.
    private mutating func otherCharacters(_ characters: ScalarSet) -> Int? {
        let others = characters.subtracting(.plainASCII)
        if others.isEmpty { return nil }
        if let known = ruleOfCharacters[others] { return known }
        let pattern = arenas[0].jsonScalars(others)
        let rule = newRule(pattern, Self.own)
        ruleOfCharacters[others] = rule
        return rule
    }
}

extension ScalarSet {
    /// Characters that are one byte each in a JSON string.
    fileprivate static let plainASCII = ScalarSet.plain.intersection(.ascii)
}
