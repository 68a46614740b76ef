/// What one search at a time needs: the automaton as far as it is built, and room for facts.
struct TextPatternCache: Sendable {
    /// Greatest number of transitions, and of steps of states, kept; then the automaton is built anew.
    private static let maximumEntries = 1 << 18

    /// Rows of one number for each symbol, 0 where it is not known yet.
    ///
    /// Else the next state is in the upper bits, and bit 1 says whether a match ends before the symbol. State 0 is the
    /// one from which nothing leads on.
    private var transitions: [Int32] = []
    /// Each state's steps, as places in ``TextPattern/steps``.
    private var states: [[Int32]] = []
    private var stateIDs: [[Int32]: Int32] = [:]
    private var stepCount = 0
    /// Which steps the state that is being built has: those with the number of that state.
    private var marks: [Int] = []
    private var mark = 0
    private var start: Int32 = 0
    private var startOfSearch: Int32 = 0
    /// The facts at each place of the text, where the expression asks for any.
    private var masks: [UInt8] = []
    /// Characters looked at in the text so far, those that were looked at again counted again.
    private var steps = 0

    init(_ pattern: TextPattern) {
        marks = Array(repeating: 0, count: pattern.steps.count)
        restart(pattern)
    }

    private mutating func restart(_ pattern: TextPattern) {
        transitions.removeAll(keepingCapacity: true)
        states.removeAll()
        stateIDs.removeAll()
        stepCount = 0
        _ = state([], pattern)
        start = state(pattern.first, pattern)
        startOfSearch = state(pattern.firstOfSearch, pattern)
    }

    private mutating func state(_ list: [Int32], _ pattern: TextPattern) -> Int32 {
        if let id = stateIDs[list] { return id }
        let id = Int32(states.count)
        states.append(list)
        stateIDs[list] = id
        stepCount += list.count
        transitions += [Int32](repeating: 0, count: pattern.symbolCount)
        return id
    }

    /// See ``TextPattern/forEachMatch(in:_:)``.
    mutating func findAll(in text: Span<UInt8>, _ pattern: TextPattern, _ match: (Range<Int>) -> Void) {
        if !pattern.facts.isEmpty { pattern.findFacts(in: text, into: &masks) }
        // Nothing about a text stays after the call.
        defer { masks = [] }
        steps = 0
        var searchStart = 0
        var lastEnd = -1
        while searchStart <= text.count {
            let found: Range<Int>
            switch search(text, from: searchStart, pattern) {
            case .match(let range): found = range
            case .none: return
            case .tooSlow:
                return pattern.findAllAtOnce(in: text, masks, from: searchStart, lastEnd: lastEnd, match)
            }
            if found.isEmpty, found.lowerBound == lastEnd {
                searchStart = lastEnd < text.count ? text.scalar(at: lastEnd).end : lastEnd + 1
                continue
            }
            searchStart = found.upperBound
            lastEnd = found.upperBound
            match(found)
        }
    }

    private enum Search {
        case match(Range<Int>)
        case none
        case tooSlow
    }

    /// The first match from a place on.
    ///
    /// Looking at the same characters again and again is what takes quadratic time; the search gives up before.
    private mutating func search(_ text: Span<UInt8>, from searchStart: Int, _ pattern: TextPattern) -> Search
    {
        var at = searchStart
        while steps <= 8 * at + 4096 {
            if let end = end(text, from: at, at == searchStart ? startOfSearch : start, pattern) {
                return .match(at..<end)
            }
            guard at < text.count else { return .none }
            at = text.scalar(at: at).end
        }
        return .tooSlow
    }

    /// Where the preferred match that begins at a place ends.
    private mutating func end(
        _ text: Span<UInt8>, from start: Int, _ state: Int32, _ pattern: TextPattern
    ) -> Int? {
        let row = pattern.symbolCount
        let hasFacts = !pattern.facts.isEmpty
        let endClass = pattern.classCount
        var state = state
        var at = start
        var end: Int?
        while true {
            var symbol = endClass
            var next = at + 1
            if at < text.count {
                let byte = text[at]
                if byte < 0x80 {
                    symbol = Int(pattern.classes[UInt32(byte)])
                } else {
                    let (scalar, after) = text.scalar(at: at)
                    symbol = Int(pattern.classes[scalar.value])
                    next = after
                }
            }
            if hasFacts { symbol += Int(masks[at]) * (endClass + 1) }
            var transition = transitions[Int(state) * row + symbol]
            if transition == 0 { transition = build(&state, symbol, pattern) }
            if transition & 2 != 0 { end = at }
            state = transition >> 2
            if state == 0 { break }
            at = next
        }
        steps += at - start + 1
        return end
    }

    /// Works out where a state leads on a symbol; it may get another number on the way.
    private mutating func build(_ state: inout Int32, _ symbol: Int, _ pattern: TextPattern) -> Int32 {
        let row = pattern.symbolCount
        if max(transitions.count, stepCount) > Self.maximumEntries {
            let list = states[Int(state)]
            restart(pattern)
            state = self.state(list, pattern)
        }
        mark += 1
        var next: [Int32] = []
        var ends = false
        let kind = symbol % (pattern.classCount + 1)
        build: for id in states[Int(state)] {
            let step = pattern.steps[Int(id)]
            guard pattern.holds(step.condition, at: symbol) else { continue }
            if step.leaf == TextPatternProgram.Step.accept {
                ends = true
                break  // all that follows would be tried only if this did not match
            }
            guard kind < pattern.classCount, pattern.takes(step.leaf, of: pattern.program, class: kind)
            else { continue }
            for id in pattern.following[Int(step.leaf)] where marks[Int(id)] != mark {
                marks[Int(id)] = mark
                next.append(id)
                let step = pattern.steps[Int(id)]
                if step.leaf == TextPatternProgram.Step.accept, step.condition == 0 { break build }
            }
        }
        let transition = self.state(next, pattern) << 2 | (ends ? 2 : 0) | 1
        transitions[Int(state) * row + symbol] = transition
        return transition
    }
}
