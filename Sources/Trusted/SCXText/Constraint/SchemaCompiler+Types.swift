import SCXInference

extension SchemaCompiler {
    /// Patterns of the formats that answers are held to; other formats are notes.
    private static let formats: [String: String] = {
        let date = #"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"#
        let time = #"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)"#
        let hex = "[0-9a-fA-F]"
        return [
            "date": "^\(date)$", "time": "^\(time)$", "date-time": "^\(date)T\(time)$",
            "uuid": "^\(hex){8}-\(hex){4}-\(hex){4}-\(hex){4}-\(hex){12}$",
        ]
    }()

    /// Properties of one schema, and elements that are described one by one.
    private static let mostParts = 256

    // MARK: Strings

    mutating func string(_ schemas: OwnKeywords) throws(ConstraintError) -> Pattern {
        let (least, most) = try counts(.minLength, .maxLength, schemas)
        let isLimited = schemas.contains(.minLength) || schemas.contains(.maxLength)
        var expression: (schema: Int32, text: String)?
        for (schema, value) in schemas.all(.pattern) {
            guard let text = document.json(value).string else {
                throw document.error(schema, "pattern", "is no text")
            }
            guard !isLimited else {
                throw document.error(schema, "pattern", "is not supported beside 'minLength' or 'maxLength'")
            }
            guard expression.map({ $0.text == text }) ?? true else {
                throw document.error(schema, "pattern", "cannot be combined with another one")
            }
            expression = (schema, text)
        }
        if expression == nil, !isLimited, let (schema, value) = schemas.all(.format).first {
            expression = document.json(value).string.flatMap { Self.formats[$0] }.map { (schema, $0) }
        }
        if let (schema, text) = expression { return try string(matching: text, schema) }
        guard isLimited else { return .json(.string) }
        return string(least, most)
    }

    private mutating func string(
        matching text: String, _ schema: Int32
    ) throws(ConstraintError) -> Pattern {
        let document = document
        let automaton = try ExpressionAutomaton.automaton(text, budget) { reason in
            document.error(schema, "pattern", reason)
        }
        guard !automaton.edges.isEmpty else { return .never }
        let content = patterns.automaton(automaton)
        return patterns.sequence([patterns.text("\""), content, patterns.text("\"")])
    }

    /// A string of so many characters; equal ones are one rule.
    private mutating func string(_ least: Int, _ most: Int?) -> Pattern {
        guard (most ?? least) >= least else { return .never }
        let range = least..<(most ?? Self.mostRepeats) + 1
        let isKnown = most != nil ? lengths[range] : nil
        if let isKnown { return isKnown }
        let content = patterns.repeated(.json(.character), atLeast: least, atMost: most)
        let pattern = patterns.sequence([patterns.text("\""), content, patterns.text("\"")])
        guard most != nil, range.upperBound > 16 else { return pattern }
        let rule = shared(pattern)
        lengths[range] = rule
        return rule
    }

    // MARK: Arrays

    mutating func array(_ schemas: OwnKeywords, _ depth: Int) throws(ConstraintError) -> Pattern {
        let (least, most) = try counts(.minItems, .maxItems, schemas)
        let list = try firstElements(schemas)
        var first: [Pattern] = []
        for element in (list.map(document.children(of:)) ?? 0..<0).prefix(most ?? .max) {
            first.append(try value([SchemaAtom(element)], depth + 1))
        }
        if let most, most < least { return .never }
        var rest: Pattern = .json(.value)
        if most.map({ $0 > first.count }) ?? true {
            var atoms: [SchemaAtom] = []
            for (_, view) in schemas.schemas {
                guard let place = view[isOlder(view) ? .additionalItems : .items] else { continue }
                if !atoms.contains(SchemaAtom(place)) { atoms.append(SchemaAtom(place)) }
            }
            rest = shared(try value(atoms, depth + 1))
        }
        guard !first.isEmpty else { return patterns.list(of: rest, atLeast: least, atMost: most) }
        let further = patterns.repeated(
            patterns.sequence([.json(.comma), rest]), atLeast: max(least - first.count, 0),
            atMost: most.map { $0 - first.count })
        // An element that cannot be ends the list before it.
        if let impossible = first.firstIndex(of: .never) {
            guard impossible >= least else { return .never }
            guard impossible > 0 else { return patterns.list(of: .never, atLeast: 0, atMost: nil) }
            first.removeSubrange(impossible...)
            return array(first, least, rest: .nothing)
        }
        return array(first, least, rest: further)
    }

    private mutating func array(_ first: [Pattern], _ least: Int, rest: Pattern) -> Pattern {
        patterns.sequence([
            patterns.text("["), .json(.gap), patterns.elements(first, atLeast: least, rest: rest),
            patterns.text("]"),
        ])
    }

    /// The list that describes the first elements one by one; older drafts give it as `items`.
    private func firstElements(_ schemas: OwnKeywords) throws(ConstraintError) -> Int32? {
        var found: (list: Int32, value: Int32)?
        var isWithout = false
        for (schema, view) in schemas.schemas
        where SchemaKeyword.ofTypes[1].keywords.contains(where: { view[$0] != nil }) {
            let keyword: SchemaKeyword = isOlder(view) ? .items : .prefixItems
            var value: Int32?
            if let list = view[keyword] {
                guard document.json(list).array != nil, document.children(of: list).count <= Self.mostParts
                else {
                    throw document.error(
                        schema, keyword.rawValue, "is no list of at most \(Self.mostParts) schemas")
                }
                value = try document.value(list)
                found = found ?? (list, value ?? 0)
            }
            isWithout = isWithout || value == nil
            guard found == nil || (found?.value == value && !isWithout) else {
                throw document.error(
                    schema, keyword.rawValue, "cannot be combined with another array's keywords")
            }
        }
        return found?.list
    }

    /// Whether a schema describes its first elements by `items`.
    private func isOlder(_ view: SchemaView) -> Bool {
        view[.items].map { document.json($0).array != nil } ?? false
    }

    // MARK: Objects

    mutating func object(_ schemas: OwnKeywords, _ depth: Int) throws(ConstraintError) -> Pattern {
        let described = try describedMembers(schemas)
        let required = try requiredNames(schemas)
        let additional = schemas.all(.additionalProperties).map { SchemaAtom($0.value) }
        // An object that lists properties has others only if it says so.
        let isClosed = additional.isEmpty ? !described.names.isEmpty : false
        let furtherValue = isClosed ? .never : try value(unique(additional), depth + 1)
        let isOpen = furtherValue != .never
        let further = shared(furtherValue)

        var members: [Pattern.Member] = []
        var names = described.names
        for name in described.names {
            let pattern = try value(unique(described.schemas[name] ?? []), depth + 1)
            members.append(
                .init(pattern: member(name, pattern), isRequired: required.set.contains(name)))
        }
        // Required members that are not listed fit what is said of additional ones: anything if nothing is.
        let unlisted: Pattern = additional.isEmpty ? .json(.value) : further
        for name in required.names where described.schemas[name] == nil {
            names.append(name)
            members.append(.init(pattern: member(name, unlisted), isRequired: true))
        }
        let (least, most) = try counts(.minProperties, .maxProperties, schemas)
        let (count, schema) = (required.names.count, schemas.schemas[0].schema)
        if least > count, !(least == 1 && names.isEmpty && isOpen) {
            throw document.error(
                schemas.all(.minProperties).first?.schema ?? schema, "minProperties",
                "is not supported above the number of required properties")
        }
        guard most.map({ !isOpen && $0 >= names.count }) ?? true else {
            throw document.error(
                schemas.all(.maxProperties).first?.schema ?? schema, "maxProperties",
                "is not supported below the number of properties")
        }
        let other = isOpen ? try furtherMember(names, further, schema) : nil
        if least > count, let other { members.append(.init(pattern: other, isRequired: true)) }
        return object(members, further: other)
    }

    private func unique(_ atoms: [SchemaAtom]) -> [SchemaAtom] {
        guard atoms.count > 1 else { return atoms }
        var seen: Set<SchemaAtom> = []
        return atoms.filter { document.json($0.schema).bool != true && seen.insert($0).inserted }
    }

    /// The members that schemas describe, in their order, with all that is said of each.
    private func describedMembers(
        _ schemas: OwnKeywords
    ) throws(ConstraintError) -> (names: [String], schemas: [String: [SchemaAtom]]) {
        var names: [String] = []
        var atoms: [String: [SchemaAtom]] = [:]
        let lists = try schemas.all(.properties).map { (schema, list) throws(ConstraintError) in
            (schema, try document.properties(list, of: schema))
        }
        for (_, members) in lists {
            try budget.spend(members.names.count)
            for name in members.names where atoms.updateValue([], forKey: name) == nil { names.append(name) }
        }
        for (schema, view) in schemas.schemas {
            let own = lists.first { $0.0 == schema }?.1
            let additional = view[.additionalProperties].map { SchemaAtom($0) }
            guard own != nil || additional != nil else { continue }
            try budget.spend(names.count)
            for name in names {
                if let atom = own?.places[name].map({ SchemaAtom($0) }) ?? additional {
                    atoms[name, default: []].append(atom)
                }
            }
        }
        return (names, atoms)
    }

    private func requiredNames(
        _ schemas: OwnKeywords
    ) throws(ConstraintError) -> (names: [String], set: Set<String>) {
        var names: [String] = []
        var set: Set<String> = []
        for (schema, value) in schemas.all(.required) {
            guard let list = document.json(value).array, list.count <= Self.mostParts else {
                throw document.error(schema, "required", "is no list of at most \(Self.mostParts) names")
            }
            try budget.spend(list.count)
            for name in list {
                guard let name = name.string else {
                    throw document.error(schema, "required", "is no list of names")
                }
                if set.insert(name).inserted { names.append(name) }
            }
        }
        return (names, set)
    }

    /// A member whose name is none of the listed ones; where there are some, it is not empty and has no escapes.
    private mutating func furtherMember(
        _ names: [String], _ value: Pattern, _ schema: Int32
    ) throws(ConstraintError) -> Pattern {
        if names.isEmpty { return patterns.sequence([.json(.string), .json(.colon), value]) }
        let taken = names.map { $0.unicodeScalars.map(\.value) }
        guard taken.allSatisfy({ $0.count <= 100 }) else {
            throw document.error(
                schema, "properties", "has a name of more than 100 characters beside further members")
        }
        let name = patterns.automaton(try TextAutomaton(namesExcept: taken, budget))
        return patterns.sequence([patterns.text("\""), name, patterns.text("\""), .json(.colon), value])
    }
}

extension SchemaDocument {
    /// The members of `properties`.
    struct Properties {
        let names: [String]
        let places: [String: Int32]
    }

    /// Reads `properties`.
    ///
    /// - Throws: ``ConstraintError`` for what is no object of at most 256 members of different names.
    func properties(_ list: Int32, of schema: Int32) throws(ConstraintError) -> Properties {
        guard let members = json(list).object, members.count <= 256 else {
            throw error(schema, "properties", "is no object of at most 256 schemas")
        }
        var places: [String: Int32] = [:]
        for child in children(of: list) {
            guard places.updateValue(child, forKey: name(of: child)) == nil else {
                throw error(schema, "properties", "has a name twice")
            }
        }
        return Properties(names: members.map(\.name), places: places)
    }
}
