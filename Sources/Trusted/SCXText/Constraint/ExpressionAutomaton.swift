/// Makes the automaton of a regular expression.
///
/// The expression is written out as a nondeterministic automaton, of which sets of states become the states of the
/// deterministic one. The sets can be too many, or too large, for what a text needs to be told apart from others: such an
/// expression is refused.
struct ExpressionAutomaton {
    private enum State {
        /// Goes on with both.
        case split(Int32, Int32)
        /// Takes a character of a set.
        case character(set: Int32, next: Int32)
        /// Takes any characters up to the end.
        case rest
        case end
    }

    private let tree: ExpressionTree
    private let budget: CompilationBudget
    private var states: [State] = []
    /// Characters that no set tells apart have the same class.
    private var classes: [ScalarSet] = []
    private var classesOfSet: [[Int32]] = []

    /// Most states of one expression's automaton.
    static let mostStates = 4096

    /// Translates an expression.
    ///
    /// - Parameters:
    ///   - text: The expression.
    ///   - isWhole: Whether a text has to fit from its beginning to its end, also where no anchors say so.
    ///   - budget: Pays for it.
    ///   - refused: Makes an error of what is wrong with the expression.
    /// - Returns: The automaton, without states where nothing fits.
    /// - Throws: ``ConstraintError``: what `refused` gives, or a limit.
    static func automaton(
        _ text: String, isWhole: Bool = false, _ budget: CompilationBudget,
        refused: (String) -> ConstraintError
    ) throws(ConstraintError) -> TextAutomaton {
        let tree: ExpressionTree
        let root: Int
        do throws(RegularExpressionError) {
            (tree, root) = try RegularExpression.tree(text, isWhole: isWhole)
        } catch {
            throw refused(error.description)
        }
        try budget.spend(4 * text.utf8.count)
        guard tree.sizes[root] <= ExpressionTree.mostCharacters else {
            throw .overLimit(.states, ExpressionTree.mostCharacters)
        }
        var maker = ExpressionAutomaton(tree: tree, budget: budget)
        maker.states = [.end]
        try maker.findClasses()
        let start = try maker.emit(root, next: 0)
        return try maker.determined(from: start)
    }

    private init(tree: ExpressionTree, budget: CompilationBudget) {
        (self.tree, self.budget) = (tree, budget)
    }

    // MARK: The nondeterministic automaton

    /// Adds a node's states, which `next` follows, and gives the first; recurses as deep as groups nest.
    private mutating func emit(_ node: Int, next: Int32) throws(ConstraintError) -> Int32 {
        switch tree.nodes[node] {
        case .nothing: return next
        case .set(let set): return try add(.character(set: Int32(set), next: next))
        case .rest: return try add(.rest)
        case .sequence(let parts):
            var next = next
            for part in parts.reversed() { next = try emit(part, next: next) }
            return next
        case .choice(let parts):
            var first: Int32?
            for part in parts.reversed() {
                let way = try emit(part, next: next)
                if let other = first { first = try add(.split(way, other)) } else { first = way }
            }
            return first ?? next
        case .repeated(let body, let least, let most):
            var first = next
            if let most {
                for _ in least..<most { first = try add(.split(try emit(body, next: first), next)) }
            } else {
                let loop = try add(.split(next, next))
                states[Int(loop)] = .split(try emit(body, next: loop), next)
                first = loop
            }
            for _ in 0..<least { first = try emit(body, next: first) }
            return first
        }
    }

    private mutating func add(_ state: State) throws(ConstraintError) -> Int32 {
        try budget.spend()
        guard states.count <= 4 * ExpressionTree.mostCharacters else {
            throw .overLimit(.states, ExpressionTree.mostCharacters)
        }
        states.append(state)
        return Int32(states.count - 1)
    }

    /// Cuts all characters at the ends of the sets' ranges, then joins pieces that are in the same sets.
    private mutating func findClasses() throws(ConstraintError) {
        var cuts: Set<UInt32> = [0, 0xD800, 0xE000]
        for set in tree.sets {
            for range in set.ranges {
                cuts.insert(range.lowerBound)
                cuts.insert(range.upperBound + 1)
            }
        }
        let starts = cuts.filter { $0 <= ScalarSet.last && !(0xD800..<0xE000).contains($0) }.sorted()
        var classOfPiece = [Int32](repeating: 0, count: starts.count)
        var count: Int32 = 1
        for set in tree.sets {
            try budget.spend(1 + starts.count / 4)
            // Each class is split into the pieces inside of the set and those outside.
            var inside: [Int32: Int32] = [:]
            var isOutside = [Bool](repeating: false, count: Int(count))
            var members: [Int] = []
            for (piece, start) in starts.enumerated() {
                if set.contains(start) {
                    members.append(piece)
                } else {
                    isOutside[Int(classOfPiece[piece])] = true
                }
            }
            for piece in members where isOutside[Int(classOfPiece[piece])] {
                let old = classOfPiece[piece]
                if inside[old] == nil {
                    inside[old] = count
                    count += 1
                }
                classOfPiece[piece] = inside[old] ?? old
            }
        }
        var ranges = [[ClosedRange<UInt32>]](repeating: [], count: Int(count))
        for (piece, start) in starts.enumerated() {
            let end = piece + 1 < starts.count ? starts[piece + 1] - 1 : ScalarSet.last
            ranges[Int(classOfPiece[piece])].append(start...end)
        }
        classes = ranges.map { ScalarSet($0).intersection(.all) }
        for set in tree.sets {
            try budget.spend(1 + starts.count / 4)
            var found: Set<Int32> = []
            for (piece, start) in starts.enumerated() where set.contains(start) {
                found.insert(classOfPiece[piece])
            }
            classesOfSet.append(found.sorted())
        }
    }

    // MARK: The deterministic automaton

    /// A state of the result while it is made.
    private struct Subset {
        /// States that take a character, in order; none for a state that any characters may follow.
        var members: [Int32]
        var isEnd: Bool
        var isOpen = false
        var edges: [(class: Int32, target: Int32)] = []
    }

    private struct SubsetKey: Hashable {
        let members: [Int32]
        let isEnd: Bool
        let isOpen: Bool
    }

    private func determined(from start: Int32) throws(ConstraintError) -> TextAutomaton {
        var subsets: [Subset] = []
        var placeOf: [SubsetKey: Int32] = [:]
        var marks = [Int32](repeating: -1, count: states.count)
        var round: Int32 = 0
        func place(of beginnings: [Int32]) throws(ConstraintError) -> Int32 {
            let subset = try closure(beginnings, &marks, round)
            round += 1
            let key = SubsetKey(members: subset.members, isEnd: subset.isEnd, isOpen: subset.isOpen)
            if let known = placeOf[key] { return known }
            guard subsets.count < Self.mostStates else { throw .overLimit(.states, Self.mostStates) }
            try budget.spend(states: 1)
            placeOf[key] = Int32(subsets.count)
            subsets.append(subset)
            return Int32(subsets.count - 1)
        }
        _ = try place(of: [start])
        var next = 0
        while next < subsets.count {
            var targets: [Int32: [Int32]] = [:]
            for member in subsets[next].members {
                guard case .character(let set, let following) = states[Int(member)] else { continue }
                try budget.spend(classesOfSet[Int(set)].count)
                for place in classesOfSet[Int(set)] { targets[place, default: []].append(following) }
            }
            // Classes with the same beginnings lead to the same state.
            var placeOfBeginnings: [[Int32]: Int32] = [:]
            for (number, beginnings) in targets.sorted(by: { $0.key < $1.key }) {
                let target: Int32
                if let known = placeOfBeginnings[beginnings] {
                    target = known
                } else {
                    target = try place(of: beginnings)
                    placeOfBeginnings[beginnings] = target
                }
                subsets[next].edges.append((number, target))
            }
            next += 1
        }
        return try automaton(of: subsets)
    }

    /// What can be read next after these states.
    private func closure(
        _ beginnings: [Int32], _ marks: inout [Int32], _ round: Int32
    ) throws(ConstraintError) -> Subset {
        var subset = Subset(members: [], isEnd: false)
        var pending = beginnings
        while let state = pending.popLast() {
            guard marks[Int(state)] != round else { continue }
            marks[Int(state)] = round
            try budget.spend()
            switch states[Int(state)] {
            case .split(let one, let other):
                pending.append(other)
                pending.append(one)
            case .character: subset.members.append(state)
            case .rest: return Subset(members: [], isEnd: true, isOpen: true)
            case .end: subset.isEnd = true
            }
        }
        subset.members.sort()
        return subset
    }

    /// The result without states that lead to no end.
    private func automaton(of subsets: [Subset]) throws(ConstraintError) -> TextAutomaton {
        var sources = [[Int32]](repeating: [], count: subsets.count)
        for (place, subset) in subsets.enumerated() {
            try budget.spend(subset.edges.count)
            for edge in subset.edges { sources[Int(edge.target)].append(Int32(place)) }
        }
        var leads = subsets.map(\.isEnd)
        var pending = subsets.indices.filter { leads[$0] }
        while let place = pending.popLast() {
            for source in sources[place] where !leads[Int(source)] {
                leads[Int(source)] = true
                pending.append(Int(source))
            }
        }
        var automaton = TextAutomaton()
        guard leads[0] else { return automaton }
        var numbers = [Int32](repeating: -1, count: subsets.count)
        for place in subsets.indices where leads[place] {
            numbers[place] = automaton.addState(isEnd: subsets[place].isEnd, isOpen: subsets[place].isOpen)
        }
        for place in subsets.indices where leads[place] {
            var ranges: [Int32: [ClosedRange<UInt32>]] = [:]
            for edge in subsets[place].edges where leads[Int(edge.target)] {
                ranges[numbers[Int(edge.target)], default: []] += classes[Int(edge.class)].ranges
            }
            for (target, ranges) in ranges.sorted(by: { $0.key < $1.key }) {
                try budget.spend(1 + ranges.count)
                automaton.addEdge(numbers[place], ScalarSet(ranges), to: target)
            }
        }
        return automaton
    }
}
