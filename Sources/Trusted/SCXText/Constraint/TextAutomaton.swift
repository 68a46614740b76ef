/// A deterministic automaton over characters: what comes between the quotation marks of a JSON string.
///
/// Each character leads to one state at most, so that a text is read in one way, however the expression that it was made
/// from repeats and nests.
struct TextAutomaton: Sendable {
    struct Edge: Equatable, Sendable {
        /// A place in `sets`.
        var characters: Int32
        var target: Int32
    }

    private(set) var sets: [ScalarSet] = []
    private var setOf: [ScalarSet: Int32] = [:]
    /// The edges of each state.
    private(set) var edges: [[Edge]] = []
    /// Whether the text may end in a state.
    private(set) var isEnd: [Bool] = []
    /// Whether any characters may follow a state, in every spelling of JSON; it has no edges then.
    private(set) var isOpen: [Bool] = []

    /// Adds a state; the first one is where texts begin.
    mutating func addState(isEnd: Bool, isOpen: Bool = false) -> Int32 {
        edges.append([])
        self.isEnd.append(isEnd)
        self.isOpen.append(isOpen)
        return Int32(edges.count - 1)
    }

    /// Adds an edge.
    ///
    /// - Precondition: No other edge of the state has any of the characters.
    mutating func addEdge(_ state: Int32, _ characters: ScalarSet, to target: Int32) {
        guard !characters.isEmpty else { return }
        let set: Int32
        if let known = setOf[characters] {
            set = known
        } else {
            set = Int32(sets.count)
            sets.append(characters)
            setOf[characters] = set
        }
        edges[Int(state)].append(Edge(characters: set, target: target))
    }

    /// The rest of a member's name with its quotation mark left out: not empty, of plain characters, and none of these.
    ///
    /// - Parameters:
    ///   - taken: Names as scalars.
    ///   - budget: Pays for states and characters.
    /// - Throws: ``ConstraintError``.
    init(namesExcept taken: [[UInt32]], _ budget: CompilationBudget) throws(ConstraintError) {
        self.init()
        var children: [[(scalar: UInt32, child: Int32)]] = []
        var nodeOf: [UInt64: Int32] = [:]
        func addNode(isEnd: Bool) throws(ConstraintError) -> Int32 {
            try budget.spend(states: 1)
            children.append([])
            return addState(isEnd: isEnd)
        }
        _ = try addNode(isEnd: false)
        for name in taken {
            var node: Int32 = 0
            for scalar in name {
                let key = UInt64(node) << 32 | UInt64(scalar)
                if let known = nodeOf[key] {
                    node = known
                } else {
                    let child = try addNode(isEnd: true)
                    children[Int(node)].append((scalar, child))
                    nodeOf[key] = child
                    node = child
                }
            }
            isEnd[Int(node)] = false
        }
        let free = addState(isEnd: true)
        for node in children.indices {
            let own = ScalarSet(children[node].map { $0.scalar...$0.scalar })
            try budget.spend(own.ranges.count + 4)
            addEdge(Int32(node), ScalarSet.plain.subtracting(own), to: free)
            for (scalar, child) in children[node] {
                addEdge(Int32(node), ScalarSet(scalar...scalar).intersection(.plain), to: child)
            }
        }
        addEdge(free, .plain, to: free)
    }

    init() {}
}
