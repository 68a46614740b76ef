import SCXInference

extension SchemaCompiler {
    /// Keywords that restrict values in ways that answers cannot be held to.
    private static let refused: Set<String> = [
        "not", "if", "patternProperties", "propertyNames", "dependentRequired", "dependentSchemas",
        "dependencies", "unevaluatedProperties", "unevaluatedItems", "contains", "multipleOf", "$dynamicRef",
        "$recursiveRef",
    ]

    /// The keywords of each type, which are understood.
    static let keywords: [(type: String, names: Set<String>)] = [
        ("object", ["properties", "required", "additionalProperties", "minProperties", "maxProperties"]),
        ("array", ["items", "prefixItems", "additionalItems", "minItems", "maxItems", "uniqueItems"]),
        ("string", ["minLength", "maxLength", "pattern", "format"]),
        ("number", ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]),
    ]

    /// All keywords that restrict values; others are notes.
    static let constraints = keywords.reduce(
        refused.union(["type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"])
    ) { $0.union($1.names) }

    func checkKeywords(_ schema: JSON, _ place: Place) throws(ConstraintError) {
        for member in schema.object ?? [] where Self.refused.contains(member.name) {
            throw place.error(member.name, "is not supported")
        }
        guard schema["uniqueItems"]?.bool != true else {
            throw place.error("uniqueItems", "is not supported")
        }
    }

    /// The types that a schema allows; nil for all.
    ///
    /// Where it names none, its keywords tell the types that it means.
    func types(_ schema: JSON, _ place: Place) throws(ConstraintError) -> [String]? {
        guard let stated = schema["type"] else {
            let meant = Self.keywords.filter { $0.names.contains { schema[$0] != nil } }.map(\.type)
            return meant.isEmpty ? nil : meant
        }
        let known = ["object", "array", "string", "number", "integer", "boolean", "null"]
        var types: [String] = []
        for name in stated.array ?? [stated] {
            guard let name = name.string, known.contains(name) else {
                throw place.error("type", "names an unknown type")
            }
            if !types.contains(name) { types.append(name) }
        }
        return types.contains("number") ? types.filter { $0 != "integer" } : types
    }

    /// A keyword whose value is a count.
    func count(_ keyword: String, _ schema: JSON, _ place: Place) throws(ConstraintError) -> Int? {
        guard let value = schema[keyword] else { return nil }
        guard let count = value.int, count >= 0 else {
            throw place.error(keyword, "is no whole number from 0")
        }
        return count
    }

    /// Two keywords that bound a count from below and above.
    func counts(
        _ least: String, _ most: String, _ schema: JSON, _ place: Place
    ) throws(ConstraintError) -> (least: Int, most: Int?) {
        let lower = try count(least, schema, place) ?? 0
        guard lower <= Self.mostRepeats else {
            throw place.error(least, "is above \(Self.mostRepeats)")
        }
        return (lower, try count(most, schema, place).map { min($0, Self.mostRepeats) })
    }

    /// The values of `enum` and `const`.
    func values(_ schema: JSON, _ place: Place) throws(ConstraintError) -> Pattern {
        for (_, names) in Self.keywords {
            for name in names.sorted() where name != "format" && schema[name] != nil {
                throw place.error(name, "is not supported beside 'enum' or 'const'")
            }
        }
        var values = [schema["const"] ?? .null]
        if let list = schema["enum"] {
            guard let list = list.array, !list.isEmpty else {
                throw place.error("enum", "is no list of values")
            }
            values = schema["const"].map { constant in list.filter { $0.isSame(as: constant) } } ?? list
        }
        let allowed = schema["type"] == nil ? nil : try types(schema, place)
        var choices: [Pattern] = []
        for value in values where allowed?.contains(where: value.isOfType) ?? true {
            choices.append(try exactly(value, place))
        }
        return choices.count == 1 ? choices[0] : .choice(choices)
    }

    /// The texts of one value.
    private func exactly(_ value: JSON, _ place: Place) throws(ConstraintError) -> Pattern {
        switch value {
        case .double(let number) where !number.isFinite: throw place.error("enum", "holds what is no number")
        case .array(let elements) where !elements.isEmpty:
            var parts: [Pattern] = [.text("["), .json(.gap)]
            for (index, element) in elements.enumerated() {
                if index > 0 { parts.append(JSONPart.comma) }
                parts.append(try exactly(element, place))
            }
            return .sequence(parts + [.json(.gap), .text("]")])
        case .object(let members) where !members.isEmpty:
            var parts: [Pattern.Member] = []
            for member in members {
                let value = try exactly(member.value, place)
                parts.append(.init(pattern: .member(member.name, value), isRequired: true))
            }
            return .sequence([.text("{"), .json(.gap), .members(parts, further: nil), .text("}")])
        default: return .text(value.text)
        }
    }
}

extension Pattern {
    /// A member of an object.
    static func member(_ name: String, _ value: Pattern) -> Pattern {
        .sequence([.text(JSON.string(name).text), JSONPart.colon, value])
    }
}

extension JSON {
    /// The schema with only the keywords that restrict, without one of them; nil when none is left.
    func constraints(without removed: String? = nil) -> JSON? {
        let kept = (object ?? []).filter {
            $0.name != removed && SchemaCompiler.constraints.contains($0.name)
        }
        return kept.isEmpty ? nil : .object(kept)
    }

    /// Whether JSON Schema takes two values for the same: numbers by their value.
    func isSame(as other: JSON) -> Bool {
        if case .bool = self { return self == other }
        if let number = double, let second = other.double { return self == other || number == second }
        return self == other
    }

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
