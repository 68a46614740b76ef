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
    /// Ways kept of a state.
    ///
    /// Leaving some out forbids texts, but never leads to a dead end.
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
        var seen = SeenWays(most: 4 * Self.mostWays)
        var found: [UInt64] = []
        var ends = false
        while let (node, cell) = pending.popLast() {
            let way = UInt64(node) << 32 | UInt64(cell)
            // A way that needs more calls than are left would end nowhere.
            guard depths[Int(cell)] + program.needs[Int(node)] <= GrammarProgram.deepest,
                seen.insert(way)
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
    private static let plain = ScalarSet.plain.byteRanges

    /// Whether so many plain characters of a string are allowed, whichever they are.
    mutating func takesPlain(_ count: Int, from state: State) -> Bool {
        var state = state
        for _ in 0..<count {
            guard let following = stateAfterPlain(state) else { return false }
            if following == state { break }
            state = following
        }
        return true
    }

    /// The state after one plain character of a string, if all of them lead to the same one.
    private mutating func stateAfterPlain(_ state: State) -> State? {
        let reached = next(state, UInt8(ascii: "a"))
        guard reached != Self.dead else { return nil }
        for ranges in Self.plain {
            var front = [state]
            for range in ranges {
                var following: [State] = []
                for state in front {
                    var last: UInt8?
                    // Bytes of the same class lead to the same state.
                    for byte in range where program.classOfByte[Int(byte)] != last {
                        last = program.classOfByte[Int(byte)]
                        let found = next(state, byte)
                        if !following.contains(found) { following.append(found) }
                    }
                }
                front = following
            }
            guard front == [reached] else { return nil }
        }
        return reached
    }

    /// Marks the tokens of a tree that can be read from a state.
    mutating func mark(_ tree: TokenTree, from state: State, in mask: inout TokenMask) {
        var states = [State](repeating: Self.dead, count: tree.deepest + 1)
        states[0] = state
        var place = 0
        while place < tree.nodes.count {
            let node = tree.nodes[place]
            let reached = next(states[Int(node.depth)], node.byte)
            if reached == Self.dead {
                place = Int(node.skip)
                continue
            }
            states[Int(node.depth) + 1] = reached
            place += 1
            let end = place < tree.nodes.count ? Int(tree.nodes[place].tokens) : tree.tokens.count
            for token in Int(node.tokens)..<end { mask.insert(tree.tokens[token]) }
        }
    }
}

/// Ways that were already followed: mostly so few that looking through a list is fastest.
private struct SeenWays {
    let most: Int
    private var few: [UInt64] = []
    private var many: Set<UInt64> = []

    init(most: Int) { self.most = most }

    /// Whether the way is new and there is room for it.
    mutating func insert(_ way: UInt64) -> Bool {
        guard few.count == 32 else {
            guard !few.contains(way) else { return false }
            few.append(way)
            return true
        }
        return !few.contains(way) && many.count < most && many.insert(way).inserted
    }
}
