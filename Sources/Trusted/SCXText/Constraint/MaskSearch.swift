/// A search for the tokens that may follow the text of a constrained answer.
///
/// ``TokenConstraint/search()`` makes it. It is done in small parts, by any thread, so that a long one does not keep others
/// from theirs. What it finds is kept with the grammar's states, for all answers of the same grammar.
package struct MaskSearch: Sendable {
    /// Work for one token of an answer, after which it fails.
    ///
    /// Answers to sensible schemas need some thousands of steps, most of them once for all answers of the schema.
    package static let mostSteps = 4_000_000
    /// Memory that states may take beyond what a grammar is given, before it is given anew.
    private static let mostBytes = 64 << 20
    /// Steps, and tokens looked at, while others wait for the states.
    private static let stepsAtOnce = 512
    private static let nodesAtOnce = 2048

    private enum Phase { case plain, plainTree, otherTree, startTree, done }

    private let table: TokenTable
    private let endTokens: [Int32]
    private let states: GrammarStates
    private let state: ByteAutomaton.State
    private let isAtStart: Bool
    private var phase = Phase.plain
    /// While plain characters are tried: the state after so many of them.
    private var plainState: ByteAutomaton.State
    private var plainCount = 0
    /// While a tree is walked over: where, and the states along the way.
    private var place = 0
    private var path: [ByteAutomaton.State] = []
    private var mask: TokenMask
    /// Steps of work so far.
    package private(set) var steps = 0
    private let most: Int

    init(
        _ grammar: CompiledGrammar, _ states: GrammarStates, _ state: ByteAutomaton.State, isAtStart: Bool
    ) {
        (table, endTokens) = (grammar.table, grammar.endTokens)
        (self.states, self.state, self.isAtStart, most) = (states, state, isAtStart, grammar.mostSteps)
        plainState = state
        mask = TokenMask(capacity: table.vocabularySize)
    }

    static func key(_ state: ByteAutomaton.State, _ isAtStart: Bool) -> Int64 {
        Int64(state) << 1 | (isAtStart ? 1 : 0)
    }

    /// Does a part of the work.
    ///
    /// - Returns: The tokens that continue the text, without those that end the answer; nil while there is more to do.
    /// - Throws: ``ConstraintError/overLimit(_:_:)`` when the grammar is too ambiguous.
    package mutating func advance() throws(ConstraintError) -> TokenMask? {
        let allowance = states.allowance
        let key = Self.key(state, isAtStart)
        let (next, found) = try states.work {
            (content: inout GrammarStates.Content) throws(ConstraintError) -> (MaskSearch, TokenMask?) in
            var next = self
            if let known = content.masks[key] { return (next, known) }
            let before = content.automaton.steps
            try next.advance(&content.automaton)
            next.steps += content.automaton.steps - before
            guard next.steps <= most else { throw .overLimit(.maskSteps, most) }
            guard content.automaton.size <= allowance + Self.mostBytes else {
                throw .overLimit(.maskBytes, Self.mostBytes)
            }
            guard next.phase == .done else { return (next, nil) }
            content.keep(next.mask, key, most: allowance / 4)
            return (next, next.mask)
        }
        self = next
        return found
    }

    /// Whether others wait for what the search holds while it advances.
    package var shouldYield: Bool { states.isWanted }

    private mutating func advance(_ automaton: inout ByteAutomaton) throws(ConstraintError) {
        let start = automaton.steps
        var nodes = 0
        while phase != .done, automaton.steps - start < Self.stepsAtOnce, nodes < Self.nodesAtOnce {
            switch phase {
            case .plain: try tryPlain(&automaton)
            case .plainTree:
                if try walk(table.plainTree, &automaton, start, &nodes) { begin(.otherTree) }
            case .otherTree:
                guard try walk(table.otherTree, &automaton, start, &nodes) else { continue }
                guard isAtStart else {
                    finish()
                    continue
                }
                for token in table.startTokens { mask.remove(token) }
                begin(.startTree)
            case .startTree: if try walk(table.startTree, &automaton, start, &nodes) { finish() }
            case .done: break
            }
        }
    }

    private mutating func begin(_ next: Phase) {
        phase = next
        place = 0
        path = []
    }

    private mutating func finish() {
        for token in endTokens { mask.remove(token) }
        begin(.done)
    }

    /// Tries one more plain character: inside a string nearly all tokens are allowed, and most of them need no look.
    private mutating func tryPlain(_ automaton: inout ByteAutomaton) throws(ConstraintError) {
        guard plainCount < table.longestPlain else {
            mask = table.plain
            return begin(.otherTree)
        }
        guard let following = try automaton.stateAfterPlain(plainState) else { return begin(.plainTree) }
        plainCount = following == plainState ? table.longestPlain : plainCount + 1
        plainState = following
    }

    /// Marks the tokens of a tree that can be read.
    ///
    /// - Returns: Whether all of the tree was seen.
    private mutating func walk(
        _ tree: TokenTree, _ automaton: inout ByteAutomaton, _ start: Int, _ nodes: inout Int
    ) throws(ConstraintError) -> Bool {
        if path.isEmpty {
            path = Array(repeating: ByteAutomaton.dead, count: tree.deepest + 1)
            path[0] = state
        }
        while place < tree.nodes.count {
            guard automaton.steps - start < Self.stepsAtOnce, nodes < Self.nodesAtOnce else { return false }
            nodes += 1
            let node = tree.nodes[place]
            let reached = try automaton.next(path[Int(node.depth)], node.byte)
            if reached == ByteAutomaton.dead {
                place = Int(node.skip)
                continue
            }
            path[Int(node.depth) + 1] = reached
            place += 1
            let end = place < tree.nodes.count ? Int(tree.nodes[place].tokens) : tree.tokens.count
            for token in Int(node.tokens)..<end { mask.insert(tree.tokens[token]) }
        }
        return true
    }
}
