import SCXInference

/// Translates a JSON Schema to patterns.
struct SchemaCompiler {
    let document: SchemaDocument
    let budget: CompilationBudget
    var patterns = PatternArena()
    private(set) var rules: [Pattern] = []
    /// The rules of schemas that are reached by references, and those that wait to be translated.
    private var ruleOf: [[SchemaAtom]: Int] = [:]
    private var waiting: [(atoms: [SchemaAtom], rule: Int)] = []
    /// What was translated already.
    private var known: [[SchemaAtom]: Pattern] = [:]
    /// Rules for strings of so many characters.
    var lengths: [Range<Int>: Pattern] = [:]
    /// Schemas whose `oneOf` was checked.
    private var checkedChoices: Set<Int32> = []
    var disjointness = SchemaDisjointness()

    private static let deepest = 64
    /// Greatest count of a keyword such as `minLength`; greater upper limits are lowered to it.
    static let mostRepeats = 4096
    /// Patterns that a schema may add before the budget is asked.
    private static let stepsPerSchema = 8

    init(document: SchemaDocument, budget: CompilationBudget) {
        (self.document, self.budget) = (document, budget)
    }

    mutating func root() throws(ConstraintError) -> Pattern {
        let root = try value([SchemaAtom(0)], 0)
        while let (atoms, rule) = waiting.popLast() { rules[rule] = try body(atoms, 0) }
        return root
    }

    /// The texts of values that fit all of some schemas.
    ///
    /// - Parameters:
    ///   - atoms: The schemas; none for any value.
    ///   - depth: Schemas around, which bounds the recursion.
    /// - Returns: Their pattern.
    /// - Throws: ``ConstraintError``.
    mutating func value(_ atoms: [SchemaAtom], _ depth: Int) throws(ConstraintError) -> Pattern {
        try budget.spend(Self.stepsPerSchema + atoms.count)
        guard let first = atoms.first else { return .json(.value) }
        guard depth < Self.deepest else {
            throw document.error(first.schema, "", "is nested too deep, or refers to itself without end")
        }
        if let target = try pureTarget(atoms) { return patterns.rule(rule(for: [SchemaAtom(target)])) }
        if let known = known[atoms] { return share(known, atoms) }
        let conjunction = try conjunction(atoms)
        // Whatever is reached by a reference may contain itself: it waits for its turn.
        if conjunction.hasReference { return patterns.rule(rule(for: atoms)) }
        let pattern = try value(conjunction, depth)
        known[atoms] = pattern
        return pattern
    }

    /// The pattern of a rule.
    private mutating func body(_ atoms: [SchemaAtom], _ depth: Int) throws(ConstraintError) -> Pattern {
        if let target = try pureTarget(atoms) { return patterns.rule(rule(for: [SchemaAtom(target)])) }
        return try value(try conjunction(atoms), depth)
    }

    private mutating func value(
        _ conjunction: SchemaConjunction, _ depth: Int
    ) throws(ConstraintError) -> Pattern {
        if conjunction.isNever { return .never }
        if let choice = conjunction.choices.first {
            return try alternatives(of: choice, conjunction, depth)
        }
        let before = patterns.size
        let own = try conjunction.own.map { (schema) throws(ConstraintError) in
            (schema: schema, view: try document.view(schema))
        }
        let schemas = OwnKeywords(own)
        let pattern: Pattern
        if schemas.contains(.enum) || schemas.contains(.const) {
            pattern = try values(schemas)
        } else if let types = try types(schemas) {
            var choices: [Pattern] = []
            for type in types { choices.append(try typed(type, schemas, depth)) }
            pattern = patterns.choice(choices)
        } else {
            pattern = .json(.value)
        }
        try budget.spend((patterns.size - before) / 4)
        return pattern
    }

    /// A pattern that is used again becomes a rule, so that the grammar has it once.
    private mutating func share(_ pattern: Pattern, _ atoms: [SchemaAtom]) -> Pattern {
        let shared = shared(pattern)
        known[atoms] = shared
        return shared
    }

    /// A pattern that can be used several times at little cost.
    mutating func shared(_ pattern: Pattern) -> Pattern {
        if pattern.isShared { return pattern }
        switch patterns[pattern] {
        case .rule, .json, .set: return pattern
        default:
            rules.append(pattern)
            return patterns.rule(rules.count - 1)
        }
    }

    private mutating func rule(for atoms: [SchemaAtom]) -> Int {
        if let known = ruleOf[atoms] { return known }
        rules.append(.never)
        ruleOf[atoms] = rules.count - 1
        waiting.append((atoms, rules.count - 1))
        return rules.count - 1
    }

    private mutating func typed(
        _ type: String, _ schemas: OwnKeywords, _ depth: Int
    ) throws(ConstraintError) -> Pattern {
        switch type {
        case "null": return patterns.text("null")
        case "boolean": return patterns.choice([patterns.text("true"), patterns.text("false")])
        case "string": return try string(schemas)
        case "integer": return try integer(schemas)
        case "number": return try number(schemas)
        case "array": return try array(schemas, depth)
        default: return try object(schemas, depth)
        }
    }

    /// One of the alternatives, with all else that holds.
    private mutating func alternatives(
        of choice: SchemaAtom, _ conjunction: SchemaConjunction, _ depth: Int
    ) throws(ConstraintError) -> Pattern {
        let keyword: SchemaKeyword = choice.part == .oneOf ? .oneOf : .anyOf
        guard let list = try document.view(choice.schema)[keyword],
            document.json(list).array?.isEmpty == false
        else { throw document.error(choice.schema, keyword.rawValue, "is no list of schemas") }
        let alternatives = document.children(of: list)
        if keyword == .oneOf, checkedChoices.insert(choice.schema).inserted {
            try checkDisjoint(alternatives, of: choice.schema)
        }
        let others = conjunction.own.map { SchemaAtom($0, .own) } + conjunction.choices.dropFirst()
        var patterns: [Pattern] = []
        for alternative in alternatives {
            let whole = SchemaAtom(alternative)
            let atoms = others.contains(whole) ? others : others + [whole]
            patterns.append(try value(atoms, depth + 1))
        }
        return self.patterns.choice(patterns)
    }
}

/// The own keywords of schemas that all hold.
struct OwnKeywords {
    /// Each with its number.
    let schemas: [(schema: Int32, view: SchemaView)]

    init(_ schemas: [(schema: Int32, view: SchemaView)]) { self.schemas = schemas }

    func contains(_ keyword: SchemaKeyword) -> Bool { schemas.contains { $0.view[keyword] != nil } }

    /// The schemas that have a keyword, with the numbers of its values.
    func all(_ keyword: SchemaKeyword) -> [(schema: Int32, value: Int32)] {
        schemas.compactMap { schema, view in view[keyword].map { (schema, $0) } }
    }
}
