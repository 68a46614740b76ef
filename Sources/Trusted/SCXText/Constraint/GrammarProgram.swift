/// A grammar compiled to nodes that take one byte each, call rules and return from them.
struct GrammarProgram: Sendable {
    enum Node: Sendable {
        /// Returns to where the rule was called.
        case end
        case bytes(ByteSet, next: Int32)
        case split([Int32])
        case call(rule: Int32, next: Int32)
    }

    private(set) var nodes: [Node] = [.end]
    /// The first node of each rule.
    private(set) var starts: [Int32] = []
    private(set) var start: Int32 = 0
    /// The fewest open calls needed from a node to the end of its rule; `unreachable` where there is no way.
    private(set) var needs: [Int32] = []
    /// Bytes that no node tells apart have the same class.
    private(set) var classOfByte = [UInt8](repeating: 0, count: 256)
    private(set) var representatives: [UInt8] = []

    static let unreachable = Int32.max / 2
    /// Calls open at a time: more than any sensible answer nests, and so few that JSON readers take it.
    static let deepest: Int32 = 120
    private static let mostNodes = 400_000
    /// Most ways that may be open at once where they do not share their beginnings.
    private static let mostAlternatives = 512

    /// Rules waiting to be compiled.
    private var waiting: [(rule: Int, pattern: Pattern, base: Int)] = []
    private var parts: [Int: Int] = [:]

    init(_ grammar: Grammar) throws(ConstraintError) {
        start = try emit(grammar, next: 0, depth: 0)
        while let (rule, pattern, base) = waiting.popLast() {
            starts[rule] = try emit(pattern, next: 0, base: base)
        }
        findNeeds()
        guard needs[Int(start)] <= Self.deepest else { throw .impossible }
        findClasses()
    }

    private mutating func add(_ node: Node) throws(ConstraintError) -> Int32 {
        guard nodes.count < Self.mostNodes else { throw .tooLarge }
        nodes.append(node)
        return Int32(nodes.count - 1)
    }

    private mutating func split(_ ways: [Int32]) throws(ConstraintError) -> Int32 {
        guard ways.count <= Self.mostAlternatives else { throw .tooLarge }
        return ways.count == 1 ? ways[0] : try add(.split(ways))
    }

    private mutating func emit(
        _ grammar: Grammar, next: Int32, depth: Int
    ) throws(ConstraintError) -> Int32 {
        guard depth < 64 else { throw .tooLarge }
        switch grammar {
        case .literal(let text): return try emit(.text(text), next: next, base: 0)
        case .sequence(let parts):
            var next = next
            for part in parts.reversed() { next = try emit(part, next: next, depth: depth + 1) }
            return next
        case .choice(let choices):
            var ways: [Int32] = []
            for choice in choices { ways.append(try emit(choice, next: next, depth: depth + 1)) }
            return try split(ways)
        case .schema(let schema):
            let base = starts.count
            for (index, pattern) in schema.rules.enumerated() {
                starts.append(0)
                waiting.append((base + index, pattern, base))
            }
            return try emit(schema.root, next: next, base: base)
        case .anyObject: return try emit(.json(.object), next: next, base: 0)
        case .anyValue: return try emit(.json(.value), next: next, base: 0)
        }
    }

    /// Adds the nodes of a pattern, which `next` follows, and gives the first one.
    ///
    /// `base` is the number of the first rule of the pattern's schema. Patterns nest no deeper than the compiler of
    /// schemas allows.
    private mutating func emit(
        _ pattern: Pattern, next: Int32, base: Int
    ) throws(ConstraintError) -> Int32 {
        switch pattern {
        case .bytes(let bytes):
            var next = next
            for byte in bytes.reversed() { next = try add(.bytes(ByteSet(byte...byte), next: next)) }
            return next
        case .set(let set): return try add(.bytes(set, next: next))
        case .sequence(let parts):
            var next = next
            for part in parts.reversed() { next = try emit(part, next: next, base: base) }
            return next
        case .choice(let choices):
            var ways: [Int32] = []
            var texts: [[UInt8]] = []
            for choice in choices {
                if case .bytes(let bytes) = choice {
                    texts.append(bytes)
                } else {
                    ways.append(try emit(choice, next: next, base: base))
                }
            }
            if !texts.isEmpty { ways.append(try emit(texts, next: next)) }
            return try split(ways)
        case .repeated(let body, let least, let most):
            return try emit(repeated: body, least, most, next: next, base: base)
        case .members(let members, let further):
            return try emit(members, further, next: next, base: base)
        case .rule(let rule): return try add(.call(rule: Int32(base + rule), next: next))
        case .json(let part): return try add(.call(rule: rule(for: part), next: next))
        }
    }

    private mutating func rule(for part: JSONPart) -> Int32 {
        if let known = parts[part.rawValue] { return Int32(known) }
        let rule = newRule(part.pattern, base: 0)
        parts[part.rawValue] = rule
        return Int32(rule)
    }

    private mutating func newRule(_ pattern: Pattern, base: Int) -> Int {
        starts.append(0)
        waiting.append((starts.count - 1, pattern, base))
        return starts.count - 1
    }

    /// Alternative texts as a tree, so that their common beginnings are one way.
    private mutating func emit(_ texts: [[UInt8]], next: Int32) throws(ConstraintError) -> Int32 {
        guard texts.count > 1 else { return try emit(.bytes(texts[0]), next: next, base: 0) }
        var children: [[(byte: UInt8, child: Int)]] = [[]]
        var isEnd = [false]
        for text in texts {
            var node = 0
            for byte in text {
                if let known = children[node].last(where: { $0.byte == byte }) {
                    node = known.child
                } else {
                    guard children.count < Self.mostNodes else { throw .tooLarge }
                    children[node].append((byte, children.count))
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
                ways.append(try add(.bytes(ByteSet(byte...byte), next: emitted[child])))
            }
            emitted[node] = try split(ways)
        }
        return emitted[0]
    }

    private mutating func emit(
        repeated body: Pattern, _ least: Int, _ most: Int?, next: Int32, base: Int
    ) throws(ConstraintError) -> Int32 {
        var body = body
        // Repeated rounds of more than a few nodes share them.
        if least + (most.map { $0 - least } ?? 1) > 1 {
            switch body {
            case .set, .rule, .json: break
            case .bytes(let bytes) where bytes.count == 1: break
            default:
                // The new rule's number counts from the base like the schema's own.
                body = .rule(newRule(body, base: base) - base)
            }
        }
        var first = next
        if let most {
            for _ in least..<max(least, most) {
                first = try split([try emit(body, next: first, base: base), next])
            }
        } else {
            let loop = try add(.split([]))
            nodes[Int(loop)] = .split([try emit(body, next: loop, base: base), next])
            first = loop
        }
        for _ in 0..<least { first = try emit(body, next: first, base: base) }
        return first
    }

    /// Adds members in order: a chain for when none was written yet, and one for later ones, which need a comma.
    private mutating func emit(
        _ members: [Pattern.Member], _ further: Pattern?, next: Int32, base: Int
    ) throws(ConstraintError) -> Int32 {
        let close = try emit(.json(.gap), next: next, base: base)
        var later = close
        var first = next
        if let further {
            let further = Pattern.rule(newRule(further, base: base) - base)
            let loop = try add(.split([]))
            let round = try emit(.sequence([JSONPart.comma, further]), next: loop, base: base)
            nodes[Int(loop)] = .split([round, close])
            later = loop
            first = try split([try emit(further, next: loop, base: base), next])
        }
        let firstRequired = members.firstIndex { $0.isRequired } ?? members.count
        for (index, member) in members.enumerated().reversed() {
            var pattern = member.pattern
            // Members that can be the first one or a later one are needed twice.
            if index > 0, index <= firstRequired {
                pattern = .rule(newRule(pattern, base: base) - base)
            }
            let isFirst = index <= firstRequired
            let alone = isFirst ? try emit(pattern, next: later, base: base) : nil
            if index > 0 {
                let following = try emit(.sequence([JSONPart.comma, pattern]), next: later, base: base)
                later = member.isRequired ? following : try split([following, later])
            }
            if let alone { first = member.isRequired ? alone : try split([alone, first]) }
        }
        return first
    }
}

extension GrammarProgram {
    private mutating func findNeeds() {
        needs = Array(repeating: Self.unreachable, count: nodes.count)
        needs[0] = 0
        var changed = true
        // Nodes mostly follow the ones they lead to, so few rounds are needed; each lowers some need.
        while changed {
            changed = false
            for index in nodes.indices.dropFirst() {
                let need: Int32
                switch nodes[index] {
                case .end: need = 0
                case .bytes(_, let next): need = needs[Int(next)]
                case .split(let ways): need = ways.reduce(Self.unreachable) { min($0, needs[Int($1)]) }
                case .call(let rule, let next):
                    let inside = needs[Int(starts[Int(rule)])]
                    need = next == 0 ? inside : max(min(inside + 1, Self.unreachable), needs[Int(next)])
                }
                if need < needs[index] {
                    needs[index] = need
                    changed = true
                }
            }
        }
    }

    private mutating func findClasses() {
        var sets: Set<ByteSet> = []
        for case .bytes(let set, _) in nodes { sets.insert(set) }
        var count = 1
        for set in sets where count < 256 {
            var split: [UInt8: UInt8] = [:]
            var isMixed = [Bool](repeating: false, count: count)
            var outside = [Bool](repeating: false, count: count)
            for byte in 0..<256 {
                let known = Int(classOfByte[byte])
                if set.contains(UInt8(byte)) { isMixed[known] = true } else { outside[known] = true }
            }
            for byte in 0..<256 where set.contains(UInt8(byte)) {
                let known = classOfByte[byte]
                guard isMixed[Int(known)], outside[Int(known)] else { continue }
                if split[known] == nil {
                    split[known] = UInt8(count)
                    count += 1
                }
                classOfByte[byte] = split[known] ?? known
            }
        }
        representatives = (0..<count).map { wanted in
            UInt8(classOfByte.firstIndex { Int($0) == wanted } ?? 0)
        }
    }
}
