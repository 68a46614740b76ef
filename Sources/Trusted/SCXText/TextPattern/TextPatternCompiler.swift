/// Makes programs of trees, within a budget.
struct TextPatternCompiler {
    /// Greatest number of leaves of all programs of an expression; intervals repeat their leaves.
    static let maximumLeaves = 4096
    /// Greatest number of steps after all leaves: what a character of the text costs at worst.
    static let maximumSteps = 1 << 13
    private static let maximumInstructions = 1 << 15
    private static let maximumWork = 1 << 21

    /// Instructions of the kind that a search with going back would run.
    private enum Instruction {
        case leaf(UInt16)
        /// Goes on at both places, at the first one rather.
        case split(Int, Int)
        case jump(Int)
        case assertion(TextPatternAssertion)
        case searchStart
        /// Begins a round of a loop whose body may be empty.
        case round(Int)
        /// Ends it: after an empty round goes on behind the loop, else at its head.
        case roundEnd(Int, head: Int, behind: Int)
        case accept
    }

    var tables = TextPatternTables()
    private var leafCount = 0
    private var stepCount = 0
    private var work = 0

    mutating func program(
        _ node: TextPatternNode, isLook: Bool = false
    ) throws(TextPatternError) -> TextPatternProgram {
        var builder = Builder()
        try emit(node, &builder, isLook)
        builder.instructions.append(.accept)
        var program = TextPatternProgram()
        program.leaves = builder.leaves
        program.first = try steps(from: 0, builder, atSearchStart: false)
        program.firstOfSearch =
            builder.asksForSearchStart
            ? try steps(from: 0, builder, atSearchStart: true) : program.first
        for instruction in builder.leafPlaces {
            program.following.append(try steps(from: instruction + 1, builder, atSearchStart: false))
        }
        return program
    }

    private struct Builder {
        var instructions: [Instruction] = []
        var leaves: [UInt16] = []
        var leafPlaces: [Int] = []
        var rounds = 0
        var asksForSearchStart = false
    }

    private mutating func emit(
        _ node: TextPatternNode, _ builder: inout Builder, _ isLook: Bool
    ) throws(TextPatternError) {
        work += 1
        guard builder.instructions.count < Self.maximumInstructions, work < Self.maximumWork else {
            throw .unsupported("more than \(Self.maximumInstructions) parts, those of intervals counted")
        }
        switch node {
        case .set(let set):
            leafCount += 1
            guard leafCount <= Self.maximumLeaves else {
                throw .unsupported("more than \(Self.maximumLeaves) characters, those of intervals counted")
            }
            builder.leafPlaces.append(builder.instructions.count)
            builder.instructions.append(.leaf(UInt16(builder.leaves.count)))
            builder.leaves.append(tables.id(of: set))
        case .sequence(let parts):
            for part in parts { try emit(part, &builder, isLook) }
        case .choice(let parts):
            var ends: [Int] = []
            for (i, part) in parts.enumerated() {
                guard i < parts.count - 1 else {
                    try emit(part, &builder, isLook)
                    break
                }
                let split = builder.instructions.count
                builder.instructions.append(.accept)
                try emit(part, &builder, isLook)
                ends.append(builder.instructions.count)
                builder.instructions.append(.accept)
                builder.instructions[split] = .split(split + 1, builder.instructions.count)
            }
            for end in ends { builder.instructions[end] = .jump(builder.instructions.count) }
        case .loop(let body, let from, let upTo, let isGreedy):
            for _ in 0..<from { try emit(body, &builder, isLook) }
            try emitRest(body, upTo.map { $0 - from }, isGreedy, &builder, isLook)
        case .look(let body, let ahead, let negated):
            builder.instructions.append(.assertion(try assertion(body, ahead: ahead, negated: negated)))
        case .place(let place): try emit(place, &builder, isLook)
        }
    }

    /// The rounds of a loop that need not be.
    private mutating func emitRest(
        _ body: TextPatternNode, _ count: Int?, _ isGreedy: Bool, _ builder: inout Builder, _ isLook: Bool
    ) throws(TextPatternError) {
        func split(_ inside: Int, _ behind: Int) -> Instruction {
            isGreedy ? .split(inside, behind) : .split(behind, inside)
        }
        if let count {
            // Once a round is left out, all later ones are.
            var splits: [Int] = []
            for _ in 0..<count {
                splits.append(builder.instructions.count)
                builder.instructions.append(.accept)
                try emit(body, &builder, isLook)
            }
            for place in splits { builder.instructions[place] = split(place + 1, builder.instructions.count) }
            return
        }
        let head = builder.instructions.count
        builder.instructions.append(.accept)
        let mayBeEmpty = body.minimumLength == 0
        let round = builder.rounds
        if mayBeEmpty {
            builder.rounds += 1
            guard builder.rounds <= 32 else { throw .unsupported("more than 32 loops of what may be empty") }
            builder.instructions.append(.round(round))
        }
        try emit(body, &builder, isLook)
        let behind = builder.instructions.count + 1
        builder.instructions.append(mayBeEmpty ? .roundEnd(round, head: head, behind: behind) : .jump(head))
        builder.instructions[head] = split(head + 1, behind)
    }

    private mutating func emit(
        _ place: TextPatternNode.Place, _ builder: inout Builder, _ isLook: Bool
    ) throws(TextPatternError) {
        switch place {
        case .start: builder.instructions.append(.assertion(try fact(.start, true)))
        case .lineStart: builder.instructions.append(.assertion(try fact(.lineStart, true)))
        case .wordBoundary(let negated):
            builder.instructions.append(.assertion(try fact(.wordBoundary, !negated)))
        case .end, .lineEnd:
            let set = tables.id(of: place == .end ? ScalarRanges() : ScalarRanges(0x0A))
            builder.instructions.append(.assertion(.next(set: set, orEnd: true, negated: false)))
        case .searchStart:
            guard !isLook else { throw .unsupported("'\\G' in a look-around") }
            builder.asksForSearchStart = true
            builder.instructions.append(.searchStart)
        }
    }

    private mutating func assertion(
        _ body: TextPatternNode, ahead: Bool, negated: Bool
    ) throws(TextPatternError) -> TextPatternAssertion {
        if ahead, let next = body.nextCharacter {
            return .next(set: tables.id(of: next.set), orEnd: next.orEnd, negated: negated)
        }
        return try fact(.look(try program(body, isLook: true), ahead: ahead), !negated)
    }

    private mutating func fact(_ fact: TextPatternFact, _ holds: Bool) throws(TextPatternError)
        -> TextPatternAssertion
    {
        for (id, known) in tables.facts.enumerated() {
            switch (known, fact) {
            case (.start, .start), (.lineStart, .lineStart), (.wordBoundary, .wordBoundary):
                return .fact(UInt8(id), holds)
            case (.look(let one, let ahead), .look(let other, let otherAhead)):
                if ahead == otherAhead, one.leaves == other.leaves, one.following == other.following,
                    one.first == other.first
                {
                    return .fact(UInt8(id), holds)
                }
            default: break
            }
        }
        guard tables.facts.count < TextPatternTables.maximumFacts else {
            throw .unsupported("more than \(TextPatternTables.maximumFacts) look-arounds and anchors")
        }
        tables.facts.append(fact)
        return .fact(UInt8(tables.facts.count - 1), holds)
    }

    /// The steps that can be reached without taking a character, in order.
    private mutating func steps(
        from start: Int, _ builder: Builder, atSearchStart: Bool
    ) throws(TextPatternError) -> [TextPatternProgram.Step] {
        struct Place: Hashable {
            var instruction: Int
            var condition: UInt16
            /// The loops of which a round has begun here.
            var rounds: UInt32
        }
        var steps: [TextPatternProgram.Step] = []
        var found = Set<TextPatternProgram.Step>()
        var seen = Set<Place>()
        var stack = [Place(instruction: start, condition: 0, rounds: 0)]
        while var place = stack.popLast() {
            guard seen.insert(place).inserted else { continue }
            work += 1
            guard work < Self.maximumWork else { throw .unsupported("too many ways through it") }
            switch builder.instructions[place.instruction] {
            case .leaf(let leaf):
                add(.init(leaf: leaf, condition: place.condition), to: &steps, &found)
                continue
            case .accept:
                add(
                    .init(leaf: TextPatternProgram.Step.accept, condition: place.condition), to: &steps,
                    &found)
                // Nothing after an end that always holds can count.
                if place.condition == 0 { stack.removeAll() }
                continue
            case .split(let preferred, let other):
                stack.append(Place(instruction: other, condition: place.condition, rounds: place.rounds))
                place.instruction = preferred
            case .jump(let target): place.instruction = target
            case .assertion(let assertion):
                guard let condition = try tables.condition(place.condition, and: assertion) else { continue }
                place.condition = condition
                place.instruction += 1
            case .searchStart:
                guard atSearchStart else { continue }
                place.instruction += 1
            case .round(let round):
                place.rounds |= 1 << UInt32(round)
                place.instruction += 1
            case .roundEnd(let round, let head, let behind):
                let isEmpty = place.rounds & 1 << UInt32(round) != 0
                place.rounds &= ~(1 << UInt32(round))
                place.instruction = isEmpty ? behind : head
            }
            stack.append(place)
        }
        stepCount += steps.count
        guard stepCount <= Self.maximumSteps else {
            throw .unsupported("more than \(Self.maximumSteps) steps between its characters")
        }
        return steps
    }

    private func add(
        _ step: TextPatternProgram.Step, to steps: inout [TextPatternProgram.Step],
        _ found: inout Set<TextPatternProgram.Step>
    ) {
        // A step that always holds makes a later one with a condition needless.
        if step.condition != 0, found.contains(.init(leaf: step.leaf, condition: 0)) { return }
        if found.insert(step).inserted { steps.append(step) }
    }
}
