/// Reads bytes and says whether the grammar allows them: a pushdown automaton whose states are found as they are needed.
///
/// A state is the set of all ways in which the bytes so far can be read, each a node and the calls open around it. Equal
/// stacks are stored once and equal sets are one state, so a step over known ground is one look into a table, and
/// trying a token leaves nothing to undo.
struct ByteAutomaton: Sendable {
    typealias State = Int32
    /// The state that no byte leads out of.
    static let dead: State = 0

    let program: GrammarProgram
    private(set) var start: State = 0
    /// Cells of stacks: where to return to, and the cell below; cell 0 is the empty stack.
    private var cells: [(node: Int32, below: Int32)] = [(0, 0)]
    private var depths: [Int32] = [0]
    private var cellOf: [UInt64: Int32] = [:]
    /// The ways of each state: `node << 32 | cell`, in order.
    private var ways: [[UInt64]] = [[]]
    private var isEnding: [Bool] = [false]
    private var stateOf: [[UInt64]: State] = [:]
    /// The state after a byte of each class, `unknown` until asked for.
    private var table: [State]
    private let width: Int
    /// Ways of all states together, which is what they cost.
    private var cost = 0

    private static let unknown: State = -1
    /// Ways kept of a state. Leaving some out forbids texts, but never leads to a dead end.
    private static let mostWays = 2048
    private static let mostCost = 400_000

    init(_ program: GrammarProgram) {
        self.program = program
        width = program.representatives.count
        table = Array(repeating: Self.dead, count: width)
        start = state(after: [(program.start, 0)])
    }

    /// Whether the text may end here.
    func isEnding(_ state: State) -> Bool { isEnding[Int(state)] }

    /// Whether nothing but the end may follow.
    func isFinal(_ state: State) -> Bool { ways[Int(state)].isEmpty }

    @inline(__always)
    mutating func next(_ state: State, _ byte: UInt8) -> State {
        let place = Int(state) * width + Int(program.classOfByte[Int(byte)])
        let known = table[place]
        return known != Self.unknown ? known : found(state, byte, place)
    }

    /// Whether so many states are known that they are better forgotten.
    var isFull: Bool { cost > Self.mostCost }

    /// Forgets all states but one; gives its new number.
    mutating func forget(except kept: State) -> State {
        let stacks = ways[Int(kept)].map { way in
            var stack: [Int32] = []
            var cell = Int32(truncatingIfNeeded: way)
            while cell != 0 {
                stack.append(cells[Int(cell)].node)
                cell = cells[Int(cell)].below
            }
            return (node: Int32(way >> 32), stack: stack)
        }
        let ended = isEnding[Int(kept)]
        self = ByteAutomaton(program)
        let open = stacks.map { way in
            (way.node, way.stack.reversed().reduce(Int32(0)) { cell(returningTo: $1, on: $0) })
        }
        return state(after: ended ? open + [(0, 0)] : open)
    }

    private mutating func found(_ state: State, _ byte: UInt8, _ place: Int) -> State {
        // Beyond this, texts are forbidden rather than more memory taken.
        guard cost < 4 * Self.mostCost else { return Self.dead }
        var following: [(Int32, Int32)] = []
        for way in ways[Int(state)] {
            if case .bytes(let set, let next) = program.nodes[Int(way >> 32)], set.contains(byte) {
                following.append((next, Int32(truncatingIfNeeded: way)))
            }
        }
        let found = self.state(after: following)
        table[place] = found
        return found
    }

    /// The state of all ways that begin at these nodes and stacks.
    private mutating func state(after beginnings: [(Int32, Int32)]) -> State {
        var pending = beginnings
        pending.reverse()
        var seen: Set<UInt64> = []
        var found: [UInt64] = []
        var ends = false
        while let (node, cell) = pending.popLast() {
            let way = UInt64(node) << 32 | UInt64(cell)
            // A way that needs more calls than are left would end nowhere.
            guard depths[Int(cell)] + program.needs[Int(node)] <= GrammarProgram.deepest,
                seen.count < 4 * Self.mostWays, seen.insert(way).inserted
            else { continue }
            switch program.nodes[Int(node)] {
            case .bytes: if found.count < Self.mostWays { found.append(way) }
            case .split(let nodes): for node in nodes.reversed() { pending.append((node, cell)) }
            case .call(let rule, let next):
                let inner = next == 0 ? cell : self.cell(returningTo: next, on: cell)
                pending.append((program.starts[Int(rule)], inner))
            case .end:
                if cell == 0 {
                    ends = true
                } else {
                    pending.append((cells[Int(cell)].node, cells[Int(cell)].below))
                }
            }
        }
        if found.isEmpty, !ends { return Self.dead }
        found.sort()
        // The end is a way of its own, so that it tells states apart.
        let key = ends ? found + [0] : found
        if let known = stateOf[key] { return known }
        let state = State(ways.count)
        stateOf[key] = state
        ways.append(found)
        isEnding.append(ends)
        table.append(contentsOf: repeatElement(found.isEmpty ? Self.dead : Self.unknown, count: width))
        cost += found.count + width / 8 + 4
        return state
    }

    private mutating func cell(returningTo node: Int32, on below: Int32) -> Int32 {
        let key = UInt64(node) << 32 | UInt64(below)
        if let known = cellOf[key] { return known }
        let cell = Int32(cells.count)
        cellOf[key] = cell
        cells.append((node, below))
        depths.append(depths[Int(below)] + 1)
        return cell
    }
}

extension ByteAutomaton {
    /// Marks the tokens of a tree that can be read from a state.
    mutating func mark(_ tree: TokenTree, from state: State, in mask: inout TokenMask) {
        var states = [State](repeating: Self.dead, count: tree.deepest + 1)
        states[0] = state
        var node = 0
        var token = 0
        while node < tree.count {
            let entry = tree.nodes[node]
            let depth = Int(entry.depth)
            let reached = next(states[depth], entry.byte)
            if reached == Self.dead {
                node = Int(entry.skip)
                continue
            }
            states[depth + 1] = reached
            token = Int(entry.tokens)
            node += 1
            let end = node < tree.count ? Int(tree.nodes[node].tokens) : tree.tokens.count
            while token < end {
                mask.insert(tree.tokens[token])
                token += 1
            }
        }
    }
}
