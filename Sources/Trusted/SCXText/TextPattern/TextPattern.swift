import SCXInference
import Synchronization

/// A regular expression that finds its matches in time proportional to the text.
///
/// The matches are those of Oniguruma, the engine that `tokenizers` asks: the leftmost, and of those the one that a search
/// with going back would find first. Where that engine would take exponential time this one does not.
///
/// Characters fall into classes that no set of the expression tells apart. A deterministic automaton over these classes
/// is built while it is used. Look-arounds and anchors that ask for more than the next character are found out for each
/// place in a pass of their own before.
final class TextPattern: Sendable {
    let program: TextPatternProgram
    /// All steps of the program, each once, and its lists of steps as places in this one.
    let steps: [TextPatternProgram.Step]
    let following: [[Int32]]
    let first: [Int32]
    let firstOfSearch: [Int32]
    let facts: [TextPatternFact]
    /// The class of each character.
    let classes: ScalarMap
    let classCount: Int
    /// What a place shows: the next character's class, or ``classCount`` at the end, plus the facts times the row length.
    let symbolCount: Int
    /// Whether each condition holds at each symbol.
    private let conditionHolds: [Bool]
    /// Whether each set has each class.
    private let setHas: [Bool]
    private let wordClasses: [Bool]
    private let lineFeedClass: UInt8
    /// Bytes of the shortest match, at least.
    let minimumLength: Int
    private let caches = Mutex<[TextPatternCache]>([])

    /// Compiles an expression.
    ///
    /// - Throws: `TextPatternError` with the reason.
    convenience init(_ text: String) throws(TextPatternError) {
        try self.init(TextPatternParser.parse(text))
    }

    /// Compiles an expression that matches a text as it stands.
    convenience init(literal text: String) throws(TextPatternError) {
        guard text.unicodeScalars.count <= 1000 else { throw .unsupported("more than 1000 characters") }
        try self.init(.sequence(text.unicodeScalars.map { .set(ScalarRanges($0.value)) }))
    }

    private init(_ node: TextPatternNode) throws(TextPatternError) {
        var compiler = TextPatternCompiler()
        program = try compiler.program(node)
        let tables = compiler.tables
        var ids: [TextPatternProgram.Step: Int32] = [:]
        var steps: [TextPatternProgram.Step] = []
        func numbered(_ list: [TextPatternProgram.Step]) -> [Int32] {
            list.map { step in
                if let id = ids[step] { return id }
                ids[step] = Int32(steps.count)
                steps.append(step)
                return Int32(steps.count - 1)
            }
        }
        first = numbered(program.first)
        firstOfSearch = numbered(program.firstOfSearch)
        following = program.following.map(numbered)
        self.steps = steps
        facts = tables.facts
        minimumLength = node.minimumLength
        let asksForWords = facts.contains { if case .wordBoundary = $0 { true } else { false } }
        let partition = try TextPatternClasses(
            tables.sets + [ScalarRanges(0x0A)] + (asksForWords ? [UnicodeTables.wordCharacters] : []))
        let (classCount, symbolCount) = (partition.count, (partition.count + 1) << tables.facts.count)
        classes = partition.map
        self.classCount = classCount
        self.symbolCount = symbolCount
        setHas = partition.members
        lineFeedClass = partition.map[0x0A]
        wordClasses =
            asksForWords ? Array(partition.members.suffix(partition.count)) : []
        var holds: [Bool] = []
        for assertions in tables.conditions {
            for symbol in 0..<symbolCount {
                let (next, mask) = (symbol % (classCount + 1), symbol / (classCount + 1))
                holds.append(
                    assertions.allSatisfy {
                        switch $0 {
                        case .next(let set, let orEnd, let negated):
                            (next == classCount ? orEnd : partition.members[Int(set) * classCount + next])
                                != negated
                        case .fact(let fact, let expected): (mask >> Int(fact) & 1 == 1) == expected
                        }
                    })
            }
        }
        conditionHolds = holds
    }

    /// Whether a step's condition holds where the symbol is seen.
    func holds(_ condition: UInt16, at symbol: Int) -> Bool {
        conditionHolds[Int(condition) * symbolCount + symbol]
    }

    /// Whether a leaf of a program takes a character of the class.
    func takes(_ leaf: UInt16, of program: TextPatternProgram, class: Int) -> Bool {
        setHas[Int(program.leaves[Int(leaf)]) * classCount + `class`]
    }

    func isWord(class: Int) -> Bool { wordClasses[`class`] }
    func isLineFeed(class: Int) -> Bool { `class` == Int(lineFeedClass) }

    /// Finds all matches, from left to right, none within another.
    ///
    /// - Parameters:
    ///   - text: Valid UTF-8.
    ///   - match: Called with the bytes of each match. An empty one never stands at the end of the one before.
    func forEachMatch(in text: Span<UInt8>, _ match: (Range<Int>) -> Void) {
        var cache = caches.withLock { $0.popLast() } ?? TextPatternCache(self)
        cache.findAll(in: text, self, match)
        caches.withLock { [cache] in if $0.count < 8 { $0.append(cache) } }
    }
}

/// Characters sorted into classes that no set of an expression tells apart.
struct TextPatternClasses {
    let map: ScalarMap
    let count: Int
    /// Whether each set has each class: set times ``count`` plus class.
    let members: [Bool]

    init(_ sets: [ScalarRanges]) throws(TextPatternError) {
        // Every place where some set begins or ends begins a range; ranges with the same sets are a class.
        var bounds: Set<UInt32> = [0]
        for set in sets { bounds.formUnion(set.bounds) }
        bounds.remove(ScalarRanges.limit)
        let starts = bounds.sorted()
        var signatures = [Int](repeating: 0, count: starts.count)
        var count = 1
        for set in sets {
            // Splits each class by one set.
            var split: [Int: Int] = [:]
            var at = 0
            for i in starts.indices {
                while at < set.bounds.count, set.bounds[at] <= starts[i] { at += 1 }
                if at % 2 == 1 {
                    if let id = split[signatures[i]] {
                        signatures[i] = id
                    } else {
                        split[signatures[i]] = count
                        signatures[i] = count
                        count += 1
                    }
                }
            }
            guard Set(signatures).count <= 250 else { throw .unsupported("too many kinds of characters") }
        }
        var ids: [Int: UInt8] = [:]
        var runs: [(range: Range<UInt32>, value: UInt8)] = []
        var examples: [UInt32] = []
        for (i, start) in starts.enumerated() {
            let id = ids[signatures[i]] ?? UInt8(examples.count)
            if ids.updateValue(id, forKey: signatures[i]) == nil { examples.append(start) }
            runs.append((start..<(i + 1 < starts.count ? starts[i + 1] : ScalarRanges.limit), id))
        }
        map = ScalarMap(runs)
        self.count = examples.count
        members = sets.flatMap { set in examples.map(set.contains) }
    }
}
