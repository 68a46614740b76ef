/// Finds what can be read next: follows splits, calls and returns until each way stands before a byte.
///
/// All calls of one rule at the same place of the text become one context, whose cell is made when all callers are known.
struct WayClosure: Sendable {
    /// Ways that stand before a byte: `node << 32 | cell`, in order, each once.
    private(set) var found: [UInt64] = []
    /// Whether the text may end.
    private(set) var ends = false

    /// A rule that is called here.
    private struct Context {
        let rule: Int32
        /// Where it returns to: `node << 32 | cell or context`.
        var callers: [UInt64] = []
        /// Whether the rule may take no byte, so that its callers go on here.
        var isEmpty = false
        var cell: ReturnStacks.Cell = -1
        var isSettled = false
    }

    private var contexts: [Context] = []
    private var contextOf: [Int32: Int] = [:]
    private var pending: [UInt64] = []
    private var seen: Set<UInt64> = []
    private var few: [UInt64] = []
    private var steps = 0

    // Cells have numbers from 0 on; context c is written as the number -1 - c.

    /// Follows ways from some nodes on.
    ///
    /// - Parameters:
    ///   - beginnings: `node << 32 | cell`.
    ///   - program: The grammar.
    ///   - stacks: Gets the cells of rules that are called.
    /// - Returns: Steps of work.
    /// - Throws: ``ConstraintError/overLimit(_:_:)`` when there are too many ways.
    mutating func find(
        _ beginnings: [UInt64], _ program: GrammarProgram, _ stacks: inout ReturnStacks
    ) throws(ConstraintError) -> Int {
        (found, ends, contexts, steps) = ([], false, [], 0)
        contextOf.removeAll(keepingCapacity: true)
        seen.removeAll(keepingCapacity: true)
        few.removeAll(keepingCapacity: true)
        pending = beginnings.reversed()
        var before: [UInt64] = []
        while let way = pending.popLast() {
            guard isNew(way) else { continue }
            steps += 1
            guard steps <= 8 * ByteAutomaton.mostWays else {
                throw .overLimit(.readings, ByteAutomaton.mostWays)
            }
            let number = Int(ReturnStacks.node(of: way))
            guard program.needs[number] <= GrammarProgram.deepest else { continue }
            let node = program.nodes[number]
            let place = ReturnStacks.below(way)
            switch node.kind {
            case .byte: before.append(way)
            case .split:
                for next in program.ways(of: node).reversed() {
                    pending.append(ReturnStacks.entry(next, place))
                }
                steps += Int(node.b) / 4
            case .call: call(node, place, program)
            case .end: end(place, stacks)
            }
        }
        settle(program, &stacks)
        for way in before {
            let node = ReturnStacks.node(of: way)
            guard let cell = cell(of: ReturnStacks.below(way)) else { continue }
            // A way that needs more calls than are left would end nowhere.
            guard stacks.depth(cell) + program.needs[Int(node)] <= GrammarProgram.deepest else { continue }
            found.append(ReturnStacks.entry(node, cell))
        }
        found.sort()
        removeRepeated()
        return steps
    }

    private mutating func isNew(_ way: UInt64) -> Bool {
        // Mostly there are so few that looking through a list is fastest.
        guard few.count == 32 else {
            guard !few.contains(way) else { return false }
            few.append(way)
            return true
        }
        return !few.contains(way) && seen.insert(way).inserted
    }

    private mutating func removeRepeated() {
        guard found.count > 1 else { return }
        var kept = 1
        for place in 1..<found.count where found[place] != found[kept - 1] {
            found[kept] = found[place]
            kept += 1
        }
        found.removeLast(found.count - kept)
    }

    private mutating func call(_ node: GrammarProgram.Node, _ place: Int32, _ program: GrammarProgram) {
        let first = program.starts[Int(node.a)]
        guard node.b != 0 else {
            // In the place of an end the rule returns for its caller.
            pending.append(ReturnStacks.entry(first, place))
            return
        }
        let caller = ReturnStacks.entry(node.b, place)
        if let known = contextOf[node.a] {
            contexts[known].callers.append(caller)
            if contexts[known].isEmpty { pending.append(caller) }
        } else {
            contextOf[node.a] = contexts.count
            contexts.append(Context(rule: node.a, callers: [caller]))
            pending.append(ReturnStacks.entry(first, Int32(-contexts.count)))
        }
    }

    private mutating func end(_ place: Int32, _ stacks: ReturnStacks) {
        if place == 0 {
            ends = true
        } else if place > 0 {
            pending += stacks.entries(of: place)
            steps += stacks.entries(of: place).count
        } else {
            contexts[Int(-1 - place)].isEmpty = true
            pending += contexts[Int(-1 - place)].callers
        }
    }

    /// Makes the cells of the contexts, those of callers first.
    ///
    /// A rule that begins with itself would return to what is not made yet; schemas become no such rules, and a return of that
    /// kind is left out.
    private mutating func settle(_ program: GrammarProgram, _ stacks: inout ReturnStacks) {
        for first in contexts.indices where !contexts[first].isSettled {
            var stack = [(context: first, isExit: false)]
            while let (context, isExit) = stack.popLast() {
                if isExit {
                    contexts[context].cell = newCell(contexts[context], program, &stacks)
                    continue
                }
                guard !contexts[context].isSettled else { continue }
                contexts[context].isSettled = true
                stack.append((context, true))
                for caller in contexts[context].callers where ReturnStacks.below(caller) < 0 {
                    stack.append((Int(-1 - ReturnStacks.below(caller)), false))
                }
            }
        }
    }

    private mutating func newCell(
        _ context: Context, _ program: GrammarProgram, _ stacks: inout ReturnStacks
    ) -> ReturnStacks.Cell {
        let inside = program.needs[Int(program.starts[Int(context.rule)])]
        var entries: [UInt64] = []
        for caller in context.callers {
            steps += 1
            let node = ReturnStacks.node(of: caller)
            guard let below = cell(of: ReturnStacks.below(caller)) else { continue }
            let need = max(inside + 1, program.needs[Int(node)])
            guard stacks.depth(below) + need <= GrammarProgram.deepest else { continue }
            entries.append(ReturnStacks.entry(node, below))
        }
        entries.sort()
        var kept: [UInt64] = []
        for entry in entries where entry != kept.last { kept.append(entry) }
        return kept.isEmpty ? -1 : stacks.cell(kept)
    }

    /// The cell of a cell or context; nil for a context that cannot return.
    private func cell(of place: Int32) -> ReturnStacks.Cell? {
        if place >= 0 { return place }
        let cell = contexts[Int(-1 - place)].cell
        return cell < 0 ? nil : cell
    }
}

extension GrammarProgram {
    /// Checks that no place of the grammar has too many ways to go on.
    ///
    /// What several places that are read together have is known while answers are written; then an answer fails.
    ///
    /// - Throws: ``ConstraintError``.
    func checkReadings(_ budget: CompilationBudget) throws(ConstraintError) {
        var closure = WayClosure()
        var isChecked = [Bool](repeating: false, count: nodes.count)
        for node in nodes where node.kind == .byte && !isChecked[Int(node.b)] {
            isChecked[Int(node.b)] = true
            let next = nodes[Int(node.b)]
            guard next.kind == .split || next.kind == .call else { continue }
            var stacks = ReturnStacks()
            let steps = try closure.find([ReturnStacks.entry(node.b, 0)], self, &stacks)
            try budget.spend(1 + steps / 8)
            guard closure.found.count <= ByteAutomaton.mostWays else {
                throw .overLimit(.readings, ByteAutomaton.mostWays)
            }
        }
    }
}
