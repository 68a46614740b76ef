/// Writes the nodes of a grammar, from the end of each text to its beginning.
struct GrammarBuilder {
    typealias Node = GrammarProgram.Node

    private let budget: CompilationBudget
    var nodes: [Node] = [Node(kind: .end)]
    private(set) var ways: [Int32] = []
    private(set) var sets: [ByteSet] = []
    private var setOf: [ByteSet: Int32] = [:]
    /// The first node of each rule.
    private(set) var starts: [Int32] = []

    /// Where patterns come from, and the number of the first rule of their schema.
    struct Scope {
        let arena: Int
        let base: Int
    }

    /// The first arena has what belongs to no schema.
    var arenas = [PatternArena()]
    static let own = Scope(arena: 0, base: 0)
    /// Rules waiting to be written.
    private var waiting: [(rule: Int, pattern: Pattern, scope: Scope)] = []
    private var ruleOfPart: [JSONPart: Int] = [:]
    private var contentOfPart: [JSONPart: Pattern] = [:]
    var ruleOfCharacters: [ScalarSet: Int] = [:]
    /// Rules of texts by what ends them.
    private var ruleOfEnd: [String: Int] = [:]

    /// Most ways that may be open at once where they do not share their beginnings.
    static let mostAlternatives = 512
    /// Grammars and patterns written inside of each other; what is deeper becomes a rule, which waits for its turn.
    private static let deepest = 40

    init(_ budget: CompilationBudget) { self.budget = budget }

    /// Writes all of a grammar.
    ///
    /// - Returns: Its first node.
    /// - Throws: ``ConstraintError``.
    mutating func build(_ grammar: Grammar) throws(ConstraintError) -> Int32 {
        let start = try emit(grammar, next: 0, depth: 0)
        while let (rule, pattern, scope) = waiting.popLast() {
            starts[rule] = try emit(pattern, scope, next: 0, depth: 0)
        }
        return start
    }

    // MARK: Nodes

    mutating func add(_ node: Node) throws(ConstraintError) -> Int32 {
        try budget.spend(nodes: 1)
        nodes.append(node)
        return Int32(nodes.count - 1)
    }

    mutating func add(_ set: ByteSet, next: Int32) throws(ConstraintError) -> Int32 {
        let place = setOf[set] ?? Int32(sets.count)
        if place == sets.count {
            sets.append(set)
            setOf[set] = place
        }
        return try add(Node(kind: .byte, a: place, b: next))
    }

    mutating func splitNode(_ choices: [Int32]) throws(ConstraintError) -> Node {
        guard choices.count <= Self.mostAlternatives else {
            throw .overLimit(.alternatives, Self.mostAlternatives)
        }
        try budget.spend(choices.count)
        let first = Int32(ways.count)
        ways += choices
        return Node(kind: .split, a: first, b: Int32(choices.count))
    }

    mutating func split(_ choices: [Int32]) throws(ConstraintError) -> Int32 {
        choices.count == 1 ? choices[0] : try add(splitNode(choices))
    }

    mutating func call(_ rule: Int, next: Int32) throws(ConstraintError) -> Int32 {
        try add(Node(kind: .call, a: Int32(rule), b: next))
    }

    mutating func newRule(_ pattern: Pattern, _ scope: Scope) -> Int {
        starts.append(0)
        waiting.append((starts.count - 1, pattern, scope))
        return starts.count - 1
    }

    // MARK: Grammars

    mutating func emit(
        _ grammar: Grammar, next: Int32, depth: Int
    ) throws(ConstraintError) -> Int32 {
        precondition(depth < 64, "Grammar: written by this program, and deeper than any that it writes")
        switch grammar {
        case .literal(let text):
            let pattern = arenas[0].text(text)
            return try emit(pattern, Self.own, next: next, depth: 0)
        case .sequence(let parts):
            var next = next
            for part in parts.reversed() { next = try emit(part, next: next, depth: depth + 1) }
            return next
        case .choice(let choices):
            var ways: [Int32] = []
            for choice in choices { ways.append(try emit(choice, next: next, depth: depth + 1)) }
            return try split(ways)
        case .list(let parts, let separator):
            return try emit(list: parts, separator, next: next, depth: depth + 1)
        case .repeated(let body, let separator, let least, let most):
            return try emit(repeated: body, separator, least, most, next: next, depth: depth + 1)
        case .schema(let schema):
            let scope = newScope(schema)
            return try emit(schema.root, scope, next: next, depth: 0)
        case .textUntil(let end):
            let rule = ruleOfEnd[end] ?? newScope(JSONSchema(until: end)).base
            ruleOfEnd[end] = rule
            return try call(rule, next: next)
        case .anyObject: return try emit(.json(.object), Self.own, next: next, depth: 0)
        case .anyValue: return try emit(.json(.value), Self.own, next: next, depth: 0)
        }
    }

    /// Takes the patterns of a schema, whose rules wait to be written.
    private mutating func newScope(_ schema: JSONSchema) -> Scope {
        let scope = Scope(arena: arenas.count, base: starts.count)
        arenas.append(schema.patterns)
        for rule in schema.rules { _ = newRule(rule, scope) }
        return scope
    }

    // MARK: Patterns

    /// Adds the nodes of a pattern, which `next` follows, and gives the first one.
    mutating func emit(
        _ pattern: Pattern, _ scope: Scope, next: Int32, depth: Int
    ) throws(ConstraintError) -> Int32 {
        let arena = arenas[scope.arena]
        switch arena[pattern] {
        case .bytes(let range):
            var next = next
            for byte in arena.bytes[range.asIndices].reversed() {
                next = try add(ByteSet(byte...byte), next: next)
            }
            return next
        case .set(let set): return try add(set, next: next)
        case .rule(let rule): return try call(scope.base + Int(rule), next: next)
        case .json(let part): return try emit(part, next: next)
        case .automaton(let place): return try emit(arena.automata[Int(place)], next: next)
        default: break
        }
        guard depth < Self.deepest else { return try call(newRule(pattern, scope), next: next) }
        switch arena[pattern] {
        case .sequence(let range):
            var next = next
            for part in arena.parts[range.asIndices].reversed() {
                next = try emit(part, scope, next: next, depth: depth + 1)
            }
            return next
        case .choice(let range):
            return try emit(
                choices: Array(arena.parts[range.asIndices]), scope, next: next, depth: depth + 1)
        case .repeated(let body, let least, let most):
            return try emit(
                repeated: body, Int(least), most.map { Int($0) }, scope, next: next, depth: depth + 1)
        case .members(let range, let further):
            return try emit(
                Array(arena.members[range.asIndices]), further, scope, next: next, depth: depth + 1)
        case .elements(let range, let least, let rest):
            return try emit(
                elements: Array(arena.parts[range.asIndices]), Int(least), rest, scope, next: next,
                depth: depth + 1)
        default: return next
        }
    }

    mutating func emit(_ part: JSONPart, next: Int32) throws(ConstraintError) -> Int32 {
        let content: Pattern
        if let known = contentOfPart[part] {
            content = known
        } else {
            content = arenas[0].content(of: part)
            contentOfPart[part] = content
        }
        // These are too small to be rules.
        if part == .colon || part == .comma { return try emit(content, Self.own, next: next, depth: 0) }
        let rule = ruleOfPart[part] ?? newRule(content, Self.own)
        ruleOfPart[part] = rule
        return try call(rule, next: next)
    }

    private mutating func emit(
        choices: [Pattern], _ scope: Scope, next: Int32, depth: Int
    ) throws(ConstraintError) -> Int32 {
        var ways: [Int32] = []
        var texts: [ArraySlice<UInt8>] = []
        let arena = arenas[scope.arena]
        for choice in choices {
            if case .bytes(let range) = arena[choice] {
                texts.append(arena.bytes[range.asIndices])
            } else {
                ways.append(try emit(choice, scope, next: next, depth: depth))
            }
        }
        if !texts.isEmpty { ways.append(try emit(texts, next: next)) }
        return try split(ways)
    }

    /// Alternative texts as a tree, so that their common beginnings are one way.
    private mutating func emit(
        _ texts: [ArraySlice<UInt8>], next: Int32
    ) throws(ConstraintError) -> Int32 {
        var children: [[(byte: UInt8, child: Int)]] = [[]]
        var childOf: [UInt64: Int] = [:]
        var isEnd = [false]
        for text in texts {
            var node = 0
            try budget.spend(text.count)
            for byte in text {
                let key = UInt64(node) << 8 | UInt64(byte)
                if let known = childOf[key] {
                    node = known
                } else {
                    children[node].append((byte, children.count))
                    childOf[key] = children.count
                    node = children.count
                    children.append([])
                    isEnd.append(false)
                }
            }
            isEnd[node] = true
        }
        // A child has a higher number than its parent.
        var emitted = [Int32](repeating: 0, count: children.count)
        for node in children.indices.reversed() {
            var ways = isEnd[node] ? [next] : []
            for (byte, child) in children[node] {
                ways.append(try add(ByteSet(byte...byte), next: emitted[child]))
            }
            emitted[node] = try split(ways)
        }
        return emitted[0]
    }

    private mutating func emit(
        repeated body: Pattern, _ least: Int, _ most: Int?, _ scope: Scope, next: Int32, depth: Int
    ) throws(ConstraintError) -> Int32 {
        // Rounds of more than a few nodes share them.
        var shared: Int?
        if least + (most.map { $0 - least } ?? 1) > 1 {
            switch arenas[scope.arena][body] {
            case .set, .rule, .json: break
            case .bytes(let range) where range.count == 1: break
            default: shared = newRule(body, scope)
            }
        }
        func round(_ builder: inout Self, next: Int32) throws(ConstraintError) -> Int32 {
            if let shared { return try builder.call(shared, next: next) }
            return try builder.emit(body, scope, next: next, depth: depth)
        }
        var first = next
        if let most {
            for _ in least..<max(least, most) { first = try split([try round(&self, next: first), next]) }
        } else {
            let loop = try add(Node(kind: .split))
            nodes[Int(loop)] = try splitNode([try round(&self, next: loop), next])
            first = loop
        }
        for _ in 0..<least { first = try round(&self, next: first) }
        return first
    }
}

extension Range<Int32> {
    /// The range as places in an array.
    fileprivate var asIndices: Range<Int> { Int(lowerBound)..<Int(upperBound) }
}
