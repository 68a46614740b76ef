/// A grammar compiled to nodes that take one byte each, call rules and return from them.
struct GrammarProgram: Sendable {
    struct Node: Sendable {
        enum Kind: UInt8, Sendable {
            /// Returns to where the rule was called.
            case end
            /// Takes a byte of set `a`, then goes on with node `b`.
            case byte
            /// Goes on with each of `b` nodes, from place `a` of the list of ways.
            case split
            /// Calls rule `a`, then goes on with node `b`.
            case call
        }

        var kind: Kind
        var a: Int32 = 0
        var b: Int32 = 0
    }

    let nodes: [Node]
    private let ways: [Int32]
    let sets: [ByteSet]
    /// The first node of each rule.
    let starts: [Int32]
    let start: Int32
    /// The fewest open calls needed from a node to the end of its rule; `unreachable` where there is no way.
    private(set) var needs: [Int32] = []
    /// Bytes that no node tells apart have the same class.
    private(set) var classOfByte = [UInt8](repeating: 0, count: 256)
    private(set) var representatives: [UInt8] = []

    static let unreachable = Int32.max / 2
    /// Calls open at a time: more than any sensible answer nests, and so few that JSON readers take it.
    static let deepest: Int32 = 120

    /// Compiles a grammar.
    ///
    /// - Throws: ``ConstraintError`` when it allows nothing or costs too much.
    init(_ grammar: Grammar, _ budget: CompilationBudget) throws(ConstraintError) {
        var builder = GrammarBuilder(budget)
        start = try builder.build(grammar)
        nodes = builder.nodes
        ways = builder.ways
        sets = builder.sets
        starts = builder.starts
        try findNeeds(budget)
        guard needs[Int(start)] <= Self.deepest else { throw .impossible }
        try findClasses(budget)
    }

    /// Bytes of memory, about.
    var size: Int {
        nodes.count * (MemoryLayout<Node>.stride + 4) + ways.count * 4 + sets.count * 32 + starts.count * 4
    }

    /// The nodes that a split goes on with.
    func ways(of node: Node) -> ArraySlice<Int32> { ways[Int(node.a)..<Int(node.a) + Int(node.b)] }
}

extension GrammarProgram {
    /// Finds the needs from the least on: a node is settled before all that need more.
    private mutating func findNeeds(_ budget: CompilationBudget) throws(ConstraintError) {
        needs = Array(repeating: Self.unreachable, count: nodes.count)
        try budget.spend(nodes.count)
        let (sources, firstSource) = sourcesOfNodes()
        // What calls still wait for: a call in the place of an end returns at once.
        var waitsFor = nodes.map { $0.kind == .call ? ($0.b == 0 ? 1 : 2) as UInt8 : 0 }
        var settled = [Bool](repeating: false, count: nodes.count)
        var levels = [[Int32]](repeating: [], count: Int(Self.deepest) + 2)
        levels[0] = nodes.indices.filter { nodes[$0].kind == .end }.map { Int32($0) }
        for level in 0...Int(Self.deepest) {
            while let place = levels[level].popLast() {
                guard !settled[Int(place)] else { continue }
                settled[Int(place)] = true
                needs[Int(place)] = Int32(level)
                try budget.spend()
                let range = Int(firstSource[Int(place)])..<Int(firstSource[Int(place) + 1])
                for source in sources[range] where !settled[Int(source)] {
                    let node = nodes[Int(source)]
                    guard node.kind == .call else {
                        levels[level].append(source)
                        continue
                    }
                    let isStart = starts[Int(node.a)] == place
                    let isNext = node.b == place && node.b != 0
                    let left = Int(waitsFor[Int(source)]) - (isStart ? 1 : 0) - (isNext ? 1 : 0)
                    waitsFor[Int(source)] = UInt8(max(0, left))
                    guard waitsFor[Int(source)] == 0 else { continue }
                    let inside = needs[Int(starts[Int(node.a)])]
                    let need = node.b == 0 ? inside : max(inside + 1, needs[Int(node.b)])
                    if need <= Self.deepest { levels[Int(need)].append(source) }
                }
            }
        }
    }

    /// The nodes that lead to each node or call the rule that it begins, one list after the other, and where each begins.
    private func sourcesOfNodes() -> (sources: [Int32], first: [Int32]) {
        func forEachTarget(_ node: Node, _ body: (Int32) -> Void) {
            switch node.kind {
            case .end: break
            case .byte: body(node.b)
            case .split: for way in ways(of: node) { body(way) }
            case .call:
                body(starts[Int(node.a)])
                if node.b != 0 { body(node.b) }
            }
        }
        var first = [Int32](repeating: 0, count: nodes.count + 1)
        for node in nodes { forEachTarget(node) { first[Int($0) + 1] += 1 } }
        for place in nodes.indices { first[place + 1] += first[place] }
        var next = first
        var sources = [Int32](repeating: 0, count: Int(first[nodes.count]))
        for (place, node) in nodes.enumerated() {
            forEachTarget(node) { target in
                sources[Int(next[Int(target)])] = Int32(place)
                next[Int(target)] += 1
            }
        }
        return (sources, first)
    }

    private mutating func findClasses(_ budget: CompilationBudget) throws(ConstraintError) {
        var count = 1
        for set in sets where count < 256 {
            try budget.spend(32)
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
