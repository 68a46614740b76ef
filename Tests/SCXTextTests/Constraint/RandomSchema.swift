import SCXInference

/// Draws schemas of all keywords, some of them malformed.
enum RandomSchema {
    static let names = ["a", "b", "ab", "type", "é\"", ""]
    static let expressions = [
        "^a+$", "(a|b){2,5}", "[^a]", "(.?){40}", "((a*)*)*", "a{1000}", "(", "(.*b){30}", "^.{3}$",
    ]

    static func schema(_ size: inout Int, _ depth: Int, _ generator: inout Generator) -> JSON {
        size -= 1
        guard size > 0, depth < 12 else { return .bool(Bool.random(using: &generator)) }
        var members: [JSON.Member] = []
        for _ in 0..<Int.random(in: 0...4, using: &generator) {
            let (keyword, value) = keyword(&size, depth, &generator)
            // Sometimes twice, which is refused.
            let isRepeated = Int.random(in: 0..<40, using: &generator) == 0
            if isRepeated || !members.contains(where: { $0.name == keyword }) {
                members.append(.init(keyword, value))
            }
        }
        if depth == 0 { members.append(.init("$defs", object(&size, 1, &generator))) }
        return .object(members)
    }

    private static func list(_ size: inout Int, _ depth: Int, _ generator: inout Generator) -> JSON {
        var values: [JSON] = []
        for _ in 0..<Int.random(in: 0...4, using: &generator) {
            values.append(schema(&size, depth + 1, &generator))
        }
        return .array(values)
    }

    private static func object(_ size: inout Int, _ depth: Int, _ generator: inout Generator) -> JSON {
        var members: [JSON.Member] = []
        for name in names where Bool.random(using: &generator) {
            members.append(.init(name, schema(&size, depth + 1, &generator)))
        }
        return .object(members)
    }

    private static func value(_ generator: inout Generator) -> JSON {
        let values: [JSON] = [
            .null, true, 0, -3, 2.5, 1e300, "a", "\u{0}é", [], [1, [2]], ["a": ["b": 1]], .int(.max),
        ]
        return values[Int.random(in: values.indices, using: &generator)]
    }

    private static func keyword(
        _ size: inout Int, _ depth: Int, _ generator: inout Generator
    ) -> (String, JSON) {
        let types = ["object", "array", "string", "number", "integer", "boolean", "null"]
        switch Int.random(in: 0..<18, using: &generator) {
        case 0, 1: return ("type", .string(types[Int.random(in: types.indices, using: &generator)]))
        case 2: return ("properties", object(&size, depth, &generator))
        case 3:
            return (
                "required", .array(names.prefix(Int.random(in: 0...3, using: &generator)).map { .string($0) })
            )
        case 4: return ("additionalProperties", schema(&size, depth + 1, &generator))
        case 5: return ("items", schema(&size, depth + 1, &generator))
        case 6: return ("prefixItems", list(&size, depth, &generator))
        case 7: return ("anyOf", list(&size, depth, &generator))
        case 8: return ("oneOf", list(&size, depth, &generator))
        case 9: return ("allOf", list(&size, depth, &generator))
        case 10:
            return (
                "$ref",
                .string(["#", "#/$defs/a", "#/$defs/b", "#/nowhere"].randomElement(using: &generator) ?? "#")
            )
        case 11: return ("enum", .array((0..<3).map { _ in value(&generator) }))
        case 12: return ("const", value(&generator))
        case 13: return ("minLength", .int(Int.random(in: 0...5000, using: &generator)))
        case 14: return ("maxLength", .int(Int.random(in: 0...5000, using: &generator)))
        case 15: return ("pattern", .string(expressions.randomElement(using: &generator) ?? "a"))
        case 16: return ("minItems", .int(Int.random(in: 0...3, using: &generator)))
        default:
            let bounds = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "maxItems"]
            return (bounds.randomElement(using: &generator) ?? "minimum", value(&generator))
        }
    }
}
