/// Reads bytes and says whether the grammar allows them: a pushdown automaton whose states are found as they are needed.
///
/// A state is the set of all ways in which the bytes so far can be read, each a node and the calls open around it. Calls of
/// a rule at the same place of the text share what is read inside of them, so that the ways are never more than nodes and
/// places, however many alternatives nest. Equal sets are one state, so a step over known ground is one look into a
/// table, and trying a token leaves nothing to undo.
struct ByteAutomaton: Sendable {
    typealias State = Int32
    /// The state that no byte leads out of.
    static let dead: State = 0

    let program: GrammarProgram
    private(set) var start: State = 0
    private var stacks = ReturnStacks()
    /// The ways of each state: `node << 32 | cell`, in order.
    private var ways: [[UInt64]] = [[]]
    private var isEnding: [Bool] = [false]
    private var stateOf: [[UInt64]: State] = [:]
    /// The state after a byte of each class, `unknown` until asked for.
    private var table: [State]
    private let width: Int
    private var closure = WayClosure()
    /// Steps of work so far.
    private(set) var steps = 0
    /// Bytes of memory that the states take, about.
    private var stateBytes = 0

    private static let unknown: State = -1
    /// Ways of one state.
    static let mostWays = 2048

    /// Begins with the state of the empty text.
    ///
    /// - Throws: ``ConstraintError/overLimit(_:_:)`` for a grammar that is too ambiguous.
    init(_ program: GrammarProgram) throws(ConstraintError) {
        self.program = program
        width = program.representatives.count
        table = Array(repeating: Self.dead, count: width)
        start = try state(after: [ReturnStacks.entry(program.start, 0)])
    }

    /// Whether the text may end here.
    func isEnding(_ state: State) -> Bool { isEnding[Int(state)] }

    /// Whether nothing but the end may follow.
    func isFinal(_ state: State) -> Bool { ways[Int(state)].isEmpty }

    /// Bytes of memory, about.
    var size: Int { stateBytes + stacks.size }

    /// The state after a byte.
    ///
    /// - Throws: ``ConstraintError/overLimit(_:_:)`` for a grammar that is too ambiguous.
    @inline(__always)
    mutating func next(_ state: State, _ byte: UInt8) throws(ConstraintError) -> State {
        let place = Int(state) * width + Int(program.classOfByte[Int(byte)])
        let known = table[place]
        return known != Self.unknown ? known : try found(state, byte, place)
    }

    /// The state of another automaton of the same program here.
    ///
    /// - Throws: ``ConstraintError/overLimit(_:_:)``.
    mutating func take(_ state: State, from other: ByteAutomaton) throws(ConstraintError) -> State {
        let old = other.ways[Int(state)]
        let taken = stacks.take(old.map(ReturnStacks.below), from: other.stacks)
        let own = old.map {
            ReturnStacks.entry(ReturnStacks.node(of: $0), taken[ReturnStacks.below($0)] ?? 0)
        }
        // The end of the text is a way from the end of the grammar.
        return try self.state(after: other.isEnding[Int(state)] ? own + [ReturnStacks.entry(0, 0)] : own)
    }

    private mutating func found(
        _ state: State, _ byte: UInt8, _ place: Int
    ) throws(ConstraintError) -> State {
        var following: [UInt64] = []
        for way in ways[Int(state)] {
            let node = program.nodes[Int(ReturnStacks.node(of: way))]
            guard program.sets[Int(node.a)].contains(byte) else { continue }
            following.append(ReturnStacks.entry(node.b, ReturnStacks.below(way)))
        }
        steps += 1 + ways[Int(state)].count
        let found = try self.state(after: following)
        table[place] = found
        return found
    }

    /// The state of all ways that begin at these nodes and stacks.
    private mutating func state(after beginnings: [UInt64]) throws(ConstraintError) -> State {
        steps += try closure.find(beginnings, program, &stacks)
        let (found, ends) = (closure.found, closure.ends)
        if found.isEmpty, !ends { return Self.dead }
        guard found.count <= Self.mostWays else { throw .overLimit(.readings, Self.mostWays) }
        // The end is a way of its own, so that it tells states apart.
        let key = ends ? found + [0] : found
        if let known = stateOf[key] { return known }
        let state = State(ways.count)
        stateOf[key] = state
        ways.append(found)
        isEnding.append(ends)
        table.append(contentsOf: repeatElement(found.isEmpty ? Self.dead : Self.unknown, count: width))
        stateBytes += 16 * found.count + 4 * width + 96
        return state
    }
}

extension ByteAutomaton {
    private static let plain = ScalarSet.plain.byteRanges

    /// The state after one plain character of a string, if all of them lead to the same one.
    ///
    /// - Throws: ``ConstraintError/overLimit(_:_:)``.
    mutating func stateAfterPlain(_ state: State) throws(ConstraintError) -> State? {
        let reached = try next(state, UInt8(ascii: "a"))
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
                        let found = try next(state, byte)
                        if !following.contains(found) { following.append(found) }
                    }
                }
                front = following
            }
            guard front == [reached] else { return nil }
        }
        return reached
    }
}
