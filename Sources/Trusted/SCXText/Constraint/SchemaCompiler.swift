import SCXInference

/// Translates a JSON Schema to patterns.
struct SchemaCompiler {
    /// Where a schema stands in the document.
    struct Place {
        var pointer = "#"
        var depth = 0

        func child(_ parts: String...) -> Place {
            let names = parts.map { $0.replacing("~", with: "~0").replacing("/", with: "~1") }
            return Place(pointer: ([pointer] + names).joined(separator: "/"), depth: depth + 1)
        }

        func error(_ keyword: String, _ reason: String) -> ConstraintError {
            .schema(pointer: pointer, keyword: keyword, reason: reason)
        }
    }

    let document: JSON
    private(set) var rules: [Pattern] = []
    /// The rules of `$ref` targets, and those that wait to be translated.
    private var ruleOf: [String: Int] = [:]
    private var waiting: [(reference: String, rule: Int)] = []
    /// Schemas that may still be translated: merging can multiply them.
    private var budget = 20_000

    private static let deepest = 64
    /// Greatest count of a keyword such as `minLength`; greater upper limits are lowered to it.
    static let mostRepeats = 4096

    init(document: JSON) { self.document = document }

    mutating func root() throws(ConstraintError) -> Pattern {
        let root = try value(document, Place())
        while let (reference, rule) = waiting.popLast() {
            rules[rule] = try value(target(reference, Place()), Place(pointer: reference))
        }
        return root
    }

    /// The texts of values that fit a schema.
    mutating func value(_ schema: JSON, _ place: Place) throws(ConstraintError) -> Pattern {
        budget -= 1
        guard budget > 0 else { throw .tooLarge }
        guard place.depth < Self.deepest else {
            throw place.error("", "is nested too deep, or refers to itself without end")
        }
        if let flag = schema.bool { return flag ? .json(.value) : .never }
        guard schema.object != nil else { throw place.error("", "is neither an object nor a truth value") }
        try checkKeywords(schema, place)

        if let reference = schema["$ref"] {
            guard let reference = reference.string else { throw place.error("$ref", "is no text") }
            let rest = schema.constraints(without: "$ref")
            guard let rest else { return .rule(try rule(for: reference, place)) }
            let merged = try merge(try target(reference, place), rest, place)
            return try value(merged, Place(pointer: place.pointer, depth: place.depth + 1))
        }
        for keyword in ["anyOf", "oneOf"] where schema[keyword] != nil {
            return try alternatives(schema, keyword, place)
        }
        if let list = schema["allOf"] {
            guard let list = list.array, !list.isEmpty else { throw place.error("allOf", "is no list") }
            var merged = schema.constraints(without: "allOf") ?? .bool(true)
            for part in list { merged = try merge(merged, part, place) }
            return try value(merged, place.child("allOf"))
        }
        if schema["enum"] != nil || schema["const"] != nil { return try values(schema, place) }
        guard let types = try types(schema, place) else { return .json(.value) }
        var choices: [Pattern] = []
        for type in types { choices.append(try typed(type, schema, place)) }
        return choices.count == 1 ? choices[0] : .choice(choices)
    }

    /// A pattern that can be used several times at little cost.
    mutating func shared(_ pattern: Pattern) -> Pattern {
        switch pattern {
        case .rule, .json, .set: return pattern
        default:
            rules.append(pattern)
            return .rule(rules.count - 1)
        }
    }

    private mutating func typed(
        _ type: String, _ schema: JSON, _ place: Place
    ) throws(ConstraintError) -> Pattern {
        switch type {
        case "null": return .text("null")
        case "boolean": return .choice([.text("true"), .text("false")])
        case "string": return try string(schema, place)
        case "integer": return try integer(schema, place)
        case "number": return try number(schema, place)
        case "array": return try array(schema, place)
        default: return try object(schema, place)
        }
    }

    private mutating func alternatives(
        _ schema: JSON, _ keyword: String, _ place: Place
    ) throws(ConstraintError) -> Pattern {
        guard let list = schema[keyword]?.array, !list.isEmpty else {
            throw place.error(keyword, "is no list of schemas")
        }
        if keyword == "oneOf" { try checkDisjoint(list, place) }
        let rest = schema.constraints(without: keyword)
        var choices: [Pattern] = []
        for (index, alternative) in list.enumerated() {
            var alternative = alternative
            if let rest { alternative = try merge(rest, alternative, place) }
            choices.append(try value(alternative, place.child(keyword, "\(index)")))
        }
        return .choice(choices)
    }

    private mutating func rule(for reference: String, _ place: Place) throws(ConstraintError) -> Int {
        if let known = ruleOf[reference] { return known }
        _ = try target(reference, place)
        rules.append(.never)
        ruleOf[reference] = rules.count - 1
        waiting.append((reference, rules.count - 1))
        return rules.count - 1
    }

    /// The schema that a `$ref` names.
    func target(_ reference: String, _ place: Place) throws(ConstraintError) -> JSON {
        var target = document
        let parts = reference.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.first == "#" else {
            throw place.error("$ref", "is no pointer into this schema ('#/…')")
        }
        for part in parts.dropFirst() {
            let name = part.replacing("~1", with: "/").replacing("~0", with: "~")
            let next: JSON? =
                if let list = target.array {
                    Int(name).flatMap { list.indices.contains($0) ? list[$0] : nil }
                } else {
                    target[String(name)]
                }
            guard let next else { throw place.error("$ref", "names nothing in this schema") }
            target = next
        }
        return target
    }
}
