/// A set of bytes.
struct ByteSet: Hashable, Sendable {
    private var words = SIMD4<UInt64>()

    init(_ ranges: ClosedRange<UInt8>...) {
        for range in ranges { for byte in range { insert(byte) } }
    }

    var isEmpty: Bool { words == .zero }

    mutating func insert(_ byte: UInt8) { words[Int(byte >> 6)] |= 1 << UInt64(byte & 63) }

    func contains(_ byte: UInt8) -> Bool { words[Int(byte >> 6)] >> UInt64(byte & 63) & 1 != 0 }
}

/// Bytes that an answer may hold: a node of a ``PatternArena``.
struct Pattern: Hashable, Sendable {
    let place: Int32

    /// No bytes.
    static let nothing = Pattern(place: 0)
    /// No text at all.
    static let never = Pattern(place: 1)

    /// A part of JSON; each arena has them in the same places.
    static func json(_ part: JSONPart) -> Pattern { Pattern(place: 2 + Int32(part.rawValue)) }

    /// Whether using the pattern twice costs nothing.
    var isShared: Bool { place < 2 + Int32(JSONPart.allCases.count) }

    /// A member of an object.
    struct Member: Sendable {
        var pattern: Pattern
        var isRequired: Bool
    }
}

/// Patterns: what schemas are translated to, and grammars compiled from.
///
/// A pattern names others by their places, so that making, reading and freeing as many as a request likes never recurses.
struct PatternArena: Sendable {
    enum Node: Sendable {
        /// Places in `bytes`.
        case bytes(Range<Int32>)
        case set(ByteSet)
        /// Places in `parts`.
        case sequence(Range<Int32>)
        case choice(Range<Int32>)
        case repeated(Pattern, atLeast: Int32, atMost: Int32?)
        /// Members of an object in this order (places in `members`), with commas between them, then what may follow any of
        /// them.
        case members(Range<Int32>, further: Pattern?)
        /// The first elements of an array (places in `parts`), of which so many are needed, and what comes after all of
        /// them; commas lie between elements.
        case elements(Range<Int32>, atLeast: Int32, rest: Pattern)
        /// A rule of the schema that the pattern belongs to; rules may contain each other.
        case rule(Int32)
        case json(JSONPart)
        /// A place in `automata`.
        case automaton(Int32)
    }

    private(set) var nodes: [Node] = []
    private(set) var bytes: [UInt8] = []
    private(set) var parts: [Pattern] = []
    private(set) var members: [Pattern.Member] = []
    private(set) var automata: [TextAutomaton] = []

    init() {
        _ = bytes([UInt8]())
        _ = add(.choice(0..<0))
        for part in JSONPart.allCases { _ = add(.json(part)) }
    }

    /// Nodes, bytes and parts, which is what an arena costs.
    var size: Int { nodes.count + bytes.count + parts.count + members.count }

    subscript(pattern: Pattern) -> Node { nodes[Int(pattern.place)] }

    private mutating func add(_ node: Node) -> Pattern {
        nodes.append(node)
        return Pattern(place: Int32(nodes.count - 1))
    }

    mutating func bytes(_ content: some Collection<UInt8>) -> Pattern {
        let start = Int32(bytes.count)
        bytes.append(contentsOf: content)
        return add(.bytes(start..<Int32(bytes.count)))
    }

    mutating func text(_ text: String) -> Pattern { text.isEmpty ? .nothing : bytes(text.utf8) }

    mutating func set(_ set: ByteSet) -> Pattern { add(.set(set)) }

    private mutating func range(of patterns: [Pattern]) -> Range<Int32> {
        let start = Int32(parts.count)
        parts += patterns
        return start..<Int32(parts.count)
    }

    mutating func sequence(_ patterns: [Pattern]) -> Pattern {
        let kept = patterns.filter { $0 != .nothing }
        guard !patterns.contains(.never) else { return .never }
        return kept.isEmpty ? .nothing : kept.count == 1 ? kept[0] : add(.sequence(range(of: kept)))
    }

    mutating func choice(_ patterns: [Pattern]) -> Pattern {
        let kept = patterns.filter { $0 != .never }
        return kept.isEmpty ? .never : kept.count == 1 ? kept[0] : add(.choice(range(of: kept)))
    }

    mutating func optional(_ pattern: Pattern) -> Pattern { choice([pattern, .nothing]) }

    mutating func repeated(_ pattern: Pattern, atLeast: Int, atMost: Int?) -> Pattern {
        if let atMost, atMost < atLeast { return .never }
        return add(.repeated(pattern, atLeast: Int32(atLeast), atMost: atMost.map { Int32($0) }))
    }

    mutating func members(_ content: [Pattern.Member], further: Pattern?) -> Pattern {
        let start = Int32(members.count)
        members += content
        return add(.members(start..<Int32(members.count), further: further))
    }

    mutating func elements(_ first: [Pattern], atLeast: Int, rest: Pattern) -> Pattern {
        add(.elements(range(of: first), atLeast: Int32(atLeast), rest: rest))
    }

    mutating func rule(_ number: Int) -> Pattern { add(.rule(Int32(number))) }

    mutating func automaton(_ automaton: TextAutomaton) -> Pattern {
        automata.append(automaton)
        return add(.automaton(Int32(automata.count - 1)))
    }
}
