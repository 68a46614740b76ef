extension TextPattern {
    /// What is seen at a place of the text.
    private func symbol(_ text: Span<UInt8>, at place: Int, _ masks: [UInt8]) -> (symbol: Int, class: Int) {
        let kind = place < text.count ? Int(classes[text.scalar(at: place).0.value]) : classCount
        return (facts.isEmpty ? kind : kind + Int(masks[place]) * (classCount + 1), kind)
    }

    /// Finds all matches in time proportional to the text and the expression, whatever they are.
    ///
    /// From the end of the text backward: where the preferred match ends that begins with each leaf at each place follows
    /// from the same at the next place. The fast way of `TextPatternCache` gives up in favour of this one.
    func findAllAtOnce(
        in text: Span<UInt8>, _ masks: [UInt8], from begin: Int, lastEnd: Int, _ match: (Range<Int>) -> Void
    ) {
        // The end of the preferred match from each place, -1 for none; and that for a search that begins there.
        precondition(text.count < Int32.max, "a text of \(text.count) bytes")
        var ends = [Int32](repeating: -1, count: text.count - begin + 1)
        var endsOfSearch = ends
        let asksForSearchStart = program.first != program.firstOfSearch
        var ahead = [Int32](repeating: -1, count: program.leaves.count)
        // The leaves that have an end at the next place, and those that take a class.
        var set: [UInt16] = []
        var taking = [[UInt16]?](repeating: nil, count: classCount + 1)
        var found: [(leaf: UInt16, end: Int32)] = []
        var place = text.count
        while true {
            let symbol = symbol(text, at: place, masks).symbol
            func best(_ steps: [TextPatternProgram.Step]) -> Int32 {
                for step in steps where holds(step.condition, at: symbol) {
                    if step.leaf == TextPatternProgram.Step.accept { return Int32(place) }
                    if ahead[Int(step.leaf)] >= 0 { return ahead[Int(step.leaf)] }
                }
                return -1
            }
            ends[place - begin] = best(program.first)
            if asksForSearchStart { endsOfSearch[place - begin] = best(program.firstOfSearch) }
            guard place > begin else { break }
            let before = text.scalar(before: place)?.start ?? begin
            let (_, kindBefore) = self.symbol(text, at: before, masks)
            let leaves =
                taking[kindBefore]
                ?? program.leaves.indices.map { UInt16($0) }.filter {
                    takes($0, of: program, class: kindBefore)
                }
            taking[kindBefore] = leaves
            found.removeAll(keepingCapacity: true)
            for leaf in leaves {
                let end = best(program.following[Int(leaf)])
                if end >= 0 { found.append((leaf, end)) }
            }
            for leaf in set { ahead[Int(leaf)] = -1 }
            set.removeAll(keepingCapacity: true)
            for (leaf, end) in found {
                ahead[Int(leaf)] = end
                set.append(leaf)
            }
            place = before
        }
        if !asksForSearchStart { endsOfSearch = ends }
        var (searchStart, lastEnd) = (begin, lastEnd)
        while searchStart <= text.count {
            var at = searchStart
            var end = Int(endsOfSearch[at - begin])
            while end < 0, at < text.count {
                at = text.scalar(at: at).end
                end = Int(ends[at - begin])
            }
            guard end >= 0 else { return }
            if end == at, at == lastEnd {
                searchStart = at < text.count ? text.scalar(at: at).end : at + 1
                continue
            }
            (searchStart, lastEnd) = (end, end)
            match(at..<end)
        }
    }

    /// Finds out the facts at each place, each from those before it.
    ///
    /// - Parameters:
    ///   - text: Valid UTF-8.
    ///   - masks: Gets one bit for each fact at each byte offset, the end included.
    func findFacts(in text: Span<UInt8>, into masks: inout [UInt8]) {
        masks.removeAll(keepingCapacity: true)
        masks.append(contentsOf: repeatElement(0, count: text.count + 1))
        for (id, fact) in facts.enumerated() {
            let bit = UInt8(1 << id)
            switch fact {
            case .start: masks[0] |= bit
            case .lineStart, .wordBoundary:
                var before: Int?
                var place = 0
                while place <= text.count {
                    let (_, next) = symbol(text, at: place, masks)
                    if holds(fact, before: before, next: next) { masks[place] |= bit }
                    before = next
                    place = place < text.count ? text.scalar(at: place).end : place + 1
                }
            case .look(let program, let ahead):
                if ahead {
                    lookAhead(text, program, bit, &masks)
                } else {
                    lookBehind(text, program, bit, &masks)
                }
            }
        }
    }

    private func holds(_ fact: TextPatternFact, before: Int?, next: Int) -> Bool {
        guard case .wordBoundary = fact else {
            // The place after a last line feed begins no line.
            return before.map { isLineFeed(class: $0) && next < classCount } ?? true
        }
        return before.map(isWord) ?? false != (next < classCount && isWord(class: next))
    }

    /// Backward: after which leaves the rest of a match begins at a place.
    private func lookAhead(
        _ text: Span<UInt8>, _ program: TextPatternProgram, _ bit: UInt8, _ masks: inout [UInt8]
    ) {
        var automaton = TextPatternLook(program)
        var state = automaton.empty
        var place = text.count
        while true {
            let (symbol, kind) = symbol(text, at: place, masks)
            let (next, holds) = automaton.backward(state, symbol, kind, self)
            if holds { masks[place] |= bit }
            guard place > 0, let before = text.scalar(before: place)?.start else { break }
            state = next
            place = before
        }
    }

    /// Forward: which leaves wait for a character at a place, of matches that began anywhere before.
    private func lookBehind(
        _ text: Span<UInt8>, _ program: TextPatternProgram, _ bit: UInt8, _ masks: inout [UInt8]
    ) {
        var automaton = TextPatternLook(program)
        var state = automaton.empty
        var place = 0
        while place <= text.count {
            let (symbol, kind) = symbol(text, at: place, masks)
            let (next, holds) = automaton.forward(state, symbol, kind, self)
            if holds { masks[place] |= bit }
            state = next
            place = place < text.count ? text.scalar(at: place).end : place + 1
        }
    }
}

/// An automaton for a look-around, where only whether there is a match counts: a state is a set of leaves.
struct TextPatternLook {
    private let program: TextPatternProgram
    private var states: [[UInt16]] = [[]]
    private var stateIDs: [[UInt16]: Int] = [[]: 0]
    private var known: [Int: (next: Int, holds: Bool)] = [:]
    private static let maximumStates = 1 << 12

    let empty = 0

    init(_ program: TextPatternProgram) { self.program = program }

    /// One step towards the start of the text.
    ///
    /// A state is the set of leaves from which a match goes on to its end, if they take the character before the place
    /// that they were worked out at.
    mutating func backward(
        _ state: Int, _ symbol: Int, _ kind: Int, _ pattern: TextPattern
    ) -> (next: Int, holds: Bool) {
        step(state, symbol, pattern) { leaves, program in
            let going = Set(
                leaves.filter { kind < pattern.classCount && pattern.takes($0, of: program, class: kind) })
            func leads(_ steps: [TextPatternProgram.Step]) -> Bool {
                steps.contains {
                    pattern.holds($0.condition, at: symbol)
                        && ($0.leaf == TextPatternProgram.Step.accept || going.contains($0.leaf))
                }
            }
            return (
                program.following.indices.filter { leads(program.following[$0]) }.map { UInt16($0) },
                leads(program.first)
            )
        }
    }

    /// One step towards the end of the text: a state is the set of leaves that took the last character.
    mutating func forward(
        _ state: Int, _ symbol: Int, _ kind: Int, _ pattern: TextPattern
    ) -> (next: Int, holds: Bool) {
        step(state, symbol, pattern) { leaves, program in
            var next = Set<UInt16>()
            var holds = false
            for steps in leaves.map({ program.following[Int($0)] }) + [program.first] {
                for step in steps where pattern.holds(step.condition, at: symbol) {
                    if step.leaf == TextPatternProgram.Step.accept {
                        holds = true
                    } else if kind < pattern.classCount, pattern.takes(step.leaf, of: program, class: kind) {
                        next.insert(step.leaf)
                    }
                }
            }
            return (next.sorted(), holds)
        }
    }

    private mutating func step(
        _ state: Int, _ symbol: Int, _ pattern: TextPattern,
        _ work: ([UInt16], TextPatternProgram) -> (leaves: [UInt16], holds: Bool)
    ) -> (next: Int, holds: Bool) {
        let key = state * pattern.symbolCount + symbol
        if let found = known[key] { return found }
        let (leaves, holds) = work(states[state], program)
        let isFull = states.count >= Self.maximumStates
        if isFull {
            states = [[]]
            stateIDs = [[]: 0]
            known.removeAll()
        }
        let next = stateIDs[leaves] ?? states.count
        if stateIDs.updateValue(next, forKey: leaves) == nil { states.append(leaves) }
        // The number that the state had stands for another one now.
        if !isFull { known[key] = (next, holds) }
        return (next, holds)
    }
}
