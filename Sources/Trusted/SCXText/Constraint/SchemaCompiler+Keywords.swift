import SCXInference

extension SchemaCompiler {
    private static let typeNames = ["object", "array", "string", "number", "integer", "boolean", "null"]

    /// The types that schemas allow together; nil for all.
    ///
    /// Where none is named, the keywords tell the types that are meant.
    func types(_ schemas: OwnKeywords) throws(ConstraintError) -> [String]? {
        var types: [String]?
        for (schema, value) in schemas.all(.type) {
            let stated = try statedTypes(schema, value)
            types = types.map { Self.common($0, stated) } ?? stated
        }
        if let types { return types }
        let meant = SchemaKeyword.ofTypes.filter { $0.keywords.contains(where: schemas.contains) }
        return meant.isEmpty ? nil : meant.map(\.type)
    }

    /// The types that a schema names.
    func statedTypes(_ schema: Int32, _ value: Int32) throws(ConstraintError) -> [String] {
        let json = document.json(value)
        let names = json.array ?? [json]
        try budget.spend(names.count)
        var types: [String] = []
        for name in names {
            guard let name = name.string, Self.typeNames.contains(name) else {
                throw document.error(schema, "type", "names an unknown type")
            }
            if !types.contains(name) { types.append(name) }
        }
        return types.contains("number") ? types.filter { $0 != "integer" } : types
    }

    /// The types of both lists; whole numbers are numbers.
    static func common(_ one: [String], _ other: [String]) -> [String] {
        var both = one.filter { other.contains($0) }
        let isInteger = { (names: [String], others: [String]) in
            names.contains("integer") && others.contains("number")
        }
        if isInteger(one, other) || isInteger(other, one) { both.append("integer") }
        return both
    }

    /// The values of a keyword that is a count.
    private func counts(
        _ keyword: SchemaKeyword, _ schemas: OwnKeywords
    ) throws(ConstraintError) -> [(schema: Int32, count: Int)] {
        try schemas.all(keyword).map { (schema, value) throws(ConstraintError) in
            guard let count = document.json(value).int, count >= 0 else {
                throw document.error(schema, keyword.rawValue, "is no whole number from 0")
            }
            return (schema, count)
        }
    }

    /// Two keywords that bound a count from below and above.
    func counts(
        _ least: SchemaKeyword, _ most: SchemaKeyword, _ schemas: OwnKeywords
    ) throws(ConstraintError) -> (least: Int, most: Int?) {
        let lower = try counts(least, schemas).max { $0.count < $1.count }
        if let lower, lower.count > Self.mostRepeats {
            throw document.error(lower.schema, least.rawValue, "is above \(Self.mostRepeats)")
        }
        let upper = try counts(most, schemas).map { min($0.count, Self.mostRepeats) }.min()
        return (lower?.count ?? 0, upper)
    }

    // MARK: Listed values

    /// The values of `enum` and `const`.
    mutating func values(_ schemas: OwnKeywords) throws(ConstraintError) -> Pattern {
        for (_, keywords) in SchemaKeyword.ofTypes {
            for keyword in keywords.sorted(by: { $0.rawValue < $1.rawValue }) where keyword != .format {
                guard let (schema, _) = schemas.all(keyword).first else { continue }
                throw document.error(schema, keyword.rawValue, "is not supported beside 'enum' or 'const'")
            }
        }
        var allowed: [Int32]?
        for (schema, view) in schemas.schemas {
            guard let own = try listedValues(schema, view) else { continue }
            guard let before = allowed else {
                allowed = own
                continue
            }
            var others: Set<Int32> = []
            for value in own { others.insert(try document.value(value)) }
            var kept: [Int32] = []
            for value in before {
                try budget.spend()
                if others.contains(try document.value(value)) { kept.append(value) }
            }
            allowed = kept
        }
        let types = schemas.contains(.type) ? try types(schemas) : nil
        var choices: [Pattern] = []
        for value in allowed ?? [] {
            try budget.spend()
            let json = document.json(value)
            guard types?.contains(where: json.isOfType) ?? true else { continue }
            choices.append(try exactly(value))
        }
        return patterns.choice(choices)
    }

    /// The values that a schema lists; nil for one that lists none.
    func listedValues(_ schema: Int32, _ view: SchemaView) throws(ConstraintError) -> [Int32]? {
        var listed: [Int32]?
        if let list = view[.enum] {
            guard document.json(list).array?.isEmpty == false else {
                throw document.error(schema, "enum", "is no list of values")
            }
            listed = Array(document.children(of: list))
        }
        guard let constant = view[.const] else { return listed }
        guard let list = listed else { return [constant] }
        let value = try document.value(constant)
        var same: [Int32] = []
        for other in list where try document.value(other) == value { same.append(other) }
        return same
    }

    /// The texts of one value; recurses as deep as the document nests.
    private mutating func exactly(_ value: Int32) throws(ConstraintError) -> Pattern {
        try budget.spend()
        let json = document.json(value)
        switch json {
        case .double(let number) where !number.isFinite:
            let list = document.nodes[Int(value)].parent
            throw document.error(max(0, list), "enum", "holds what is no number")
        case .array(let elements) where !elements.isEmpty:
            var parts = [patterns.text("["), .json(.gap)]
            for (place, child) in document.children(of: value).enumerated() {
                if place > 0 { parts.append(.json(.comma)) }
                parts.append(try exactly(child))
            }
            return patterns.sequence(parts + [.json(.gap), patterns.text("]")])
        case .object(let members) where !members.isEmpty:
            var parts: [Pattern.Member] = []
            for child in document.children(of: value) {
                let pattern = try exactly(child)
                parts.append(.init(pattern: member(document.name(of: child), pattern), isRequired: true))
            }
            return object(parts, further: nil)
        default: return patterns.text(json.text)
        }
    }

    /// A member of an object.
    mutating func member(_ name: String, _ value: Pattern) -> Pattern {
        patterns.sequence([patterns.text(JSON.string(name).text), .json(.colon), value])
    }

    /// An object with these members.
    mutating func object(_ members: [Pattern.Member], further: Pattern?) -> Pattern {
        patterns.sequence([
            patterns.text("{"), .json(.gap), patterns.members(members, further: further), patterns.text("}"),
        ])
    }
}

extension JSON {
    /// Whether the value is of one of JSON Schema's types.
    func isOfType(_ type: String) -> Bool {
        switch self {
        case .null: type == "null"
        case .bool: type == "boolean"
        case .int: type == "integer" || type == "number"
        case .double(let value): type == "number" || (type == "integer" && value == value.rounded())
        case .string: type == "string"
        case .array: type == "array"
        case .object: type == "object"
        }
    }
}
