/// A regular expression as an automaton: which characters may follow which, in the order of preference.
///
/// A state of the automaton is a list of steps, the preferred one first. A step waits for one character of its leaf's
/// set, or accepts; it holds only where its condition does. (Glushkov's construction, with the order that a search
/// with going back would try things in; as in Thompson's, an empty round of a loop ends it.)
struct TextPatternProgram: Sendable {
    struct Step: Hashable, Sendable {
        /// The leaf, or ``accept``.
        var leaf: UInt16
        var condition: UInt16

        static let accept = UInt16.max
    }

    /// Each leaf's set, as a place in ``TextPatternTables/sets``.
    var leaves: [UInt16] = []
    /// The steps after each leaf.
    var following: [[Step]] = []
    /// The steps at the start.
    var first: [Step] = []
    /// The steps at the start of a match that begins where the search did.
    var firstOfSearch: [Step] = []
}

/// What a condition may ask of a place between characters.
enum TextPatternAssertion: Hashable, Sendable {
    /// The next character is in the set (or there is none, where `orEnd` says so), or is not.
    case next(set: UInt16, orEnd: Bool, negated: Bool)
    /// A fact that was found out before the search, or its opposite.
    case fact(UInt8, Bool)
}

/// A fact about each place in a text that is found out in one pass before the search.
enum TextPatternFact: Sendable {
    case start
    case lineStart
    case wordBoundary
    /// A match of the program begins at the place, or ends there.
    case look(TextPatternProgram, ahead: Bool)
}

/// What the programs of one expression share.
struct TextPatternTables: Sendable {
    private(set) var sets: [ScalarRanges] = []
    /// Each condition as the assertions that must all hold; the first has none.
    private(set) var conditions: [[TextPatternAssertion]] = [[]]
    /// In the order in which they must be found out.
    var facts: [TextPatternFact] = []

    private var setIDs: [ScalarRanges: UInt16] = [:]
    private var conditionIDs: [[TextPatternAssertion]: UInt16] = [[]: 0]

    static let maximumFacts = 6
    static let maximumConditions = 256

    mutating func id(of set: ScalarRanges) -> UInt16 {
        if let id = setIDs[set] { return id }
        let id = UInt16(sets.count)
        sets.append(set)
        setIDs[set] = id
        return id
    }

    /// The condition that asks for one more thing; nil if both cannot hold.
    mutating func condition(
        _ condition: UInt16, and assertion: TextPatternAssertion
    ) throws(TextPatternError) -> UInt16? {
        var assertions = conditions[Int(condition)]
        if assertions.contains(assertion) { return condition }
        if assertions.contains(assertion.opposite) { return nil }
        assertions.append(assertion)
        assertions.sort { $0.order < $1.order }
        if let id = conditionIDs[assertions] { return id }
        guard conditions.count < Self.maximumConditions else {
            throw .unsupported("too many combinations of conditions")
        }
        let id = UInt16(conditions.count)
        conditions.append(assertions)
        conditionIDs[assertions] = id
        return id
    }
}

extension TextPatternAssertion {
    fileprivate var opposite: TextPatternAssertion {
        switch self {
        case .next(let set, let orEnd, let negated): .next(set: set, orEnd: orEnd, negated: !negated)
        case .fact(let fact, let holds): .fact(fact, !holds)
        }
    }

    fileprivate var order: Int {
        switch self {
        case .next(let set, let orEnd, let negated): Int(set) << 2 | (orEnd ? 2 : 0) | (negated ? 1 : 0)
        case .fact(let fact, let holds): 1 << 20 | Int(fact) << 1 | (holds ? 1 : 0)
        }
    }
}
