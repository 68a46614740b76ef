import SCXInference
import SCXText
import Testing

/// A tokenizer whose tokens are the 256 bytes, so that grammars can be tested byte by byte.
enum ByteTokens {
    static let end: Int32 = 256

    static let table = Result {
        // Bytes are written with the characters that byte-level vocabularies use.
        var next: UInt32 = 0x100
        var vocabulary: [JSON.Member] = []
        for byte in 0..<256 {
            let isPrintable = (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || byte >= 0xAE
            let scalar = isPrintable ? UInt32(byte) : next
            if !isPrintable { next += 1 }
            vocabulary.append(.init(String(try #require(Unicode.Scalar(scalar))), .int(byte)))
        }
        let file: JSON = [
            "added_tokens": [["id": 256, "content": "<end>", "special": true, "normalized": false]],
            "decoder": ["type": "ByteLevel"],
            "model": ["type": "BPE", "vocab": .object(vocabulary), "merges": []],
        ]
        return TokenTable(try Tokenizer(json: file, name: "bytes"))
    }

    static func constraint(_ grammar: Grammar) throws -> TokenConstraint {
        try TokenConstraint(grammar, table: table.get(), endTokens: [end])
    }

    static func constraint(_ schema: String) throws -> TokenConstraint {
        try constraint(.schema(JSONSchema(JSON(parsing: schema.quoted))))
    }

    /// Whether the grammar allows the text and lets it end.
    static func accepts(_ text: some Sequence<UInt8>, _ constraint: TokenConstraint) -> Bool {
        var constraint = constraint
        for byte in text {
            guard constraint.allowed().contains(Int32(byte)) else { return false }
            constraint.accept(Int32(byte))
        }
        return constraint.isComplete && constraint.allowed().contains(end)
    }
}

extension String {
    /// The text with quotation marks for apostrophes.
    var quoted: String { replacing("'", with: "\"") }
}

/// A plain validator of JSON Schema, to check texts independently of the grammars.
struct SchemaValidator {
    let document: JSON

    init(_ document: JSON) { self.document = document }

    func holds(_ value: JSON) -> Bool { holds(value, document) }

    private func holds(_ value: JSON, _ schema: JSON) -> Bool {
        if let flag = schema.bool { return flag }
        return (schema.object ?? []).allSatisfy { holds(value, $0.name, $0.value, schema) }
    }

    private func holds(_ value: JSON, _ keyword: String, _ argument: JSON, _ schema: JSON) -> Bool {
        let list = argument.array ?? []
        switch keyword {
        case "$ref": return holds(value, target(argument.string ?? ""))
        case "not": return !holds(value, argument)
        case "type": return (argument.array ?? [argument]).contains { isType(value, $0.string ?? "") }
        case "enum": return list.contains { same($0, value) }
        case "const": return same(argument, value)
        case "anyOf": return list.contains { holds(value, $0) }
        case "oneOf": return list.filter { holds(value, $0) }.count == 1
        case "allOf": return list.allSatisfy { holds(value, $0) }
        default: break
        }
        if let text = value.string { return holds(text, keyword, argument) }
        if let number = value.double { return holds(number, keyword, argument.double ?? 0) }
        if let elements = value.array { return holds(elements, keyword, argument, schema) }
        if let members = value.object { return holds(members, keyword, argument, schema) }
        return true
    }

    private func holds(_ text: String, _ keyword: String, _ argument: JSON) -> Bool {
        switch keyword {
        case "minLength": return text.unicodeScalars.count >= argument.int ?? 0
        case "maxLength": return text.unicodeScalars.count <= argument.int ?? 0
        case "pattern":
            guard let expression = try? Regex(argument.string ?? "") else { return false }
            return text.firstMatch(of: expression.matchingSemantics(.unicodeScalar)) != nil
        default: return true
        }
    }

    private func holds(_ number: Double, _ keyword: String, _ bound: Double) -> Bool {
        switch keyword {
        case "minimum": number >= bound
        case "maximum": number <= bound
        case "exclusiveMinimum": number > bound
        case "exclusiveMaximum": number < bound
        default: true
        }
    }

    private func holds(_ elements: [JSON], _ keyword: String, _ argument: JSON, _ schema: JSON) -> Bool {
        let first = schema["prefixItems"]?.array ?? []
        switch keyword {
        case "minItems": return elements.count >= argument.int ?? 0
        case "maxItems": return elements.count <= argument.int ?? 0
        case "items": return elements.dropFirst(first.count).allSatisfy { holds($0, argument) }
        case "prefixItems": return zip(elements, first).allSatisfy { holds($0, $1) }
        default: return true
        }
    }

    private func holds(_ members: [JSON.Member], _ keyword: String, _ argument: JSON, _ schema: JSON) -> Bool
    {
        switch keyword {
        case "required":
            return (argument.array ?? []).allSatisfy { name in members.contains { $0.name == name.string } }
        case "properties":
            return members.allSatisfy { member in
                argument[member.name].map { holds(member.value, $0) } ?? true
            }
        case "additionalProperties":
            return members.allSatisfy { schema["properties"]?[$0.name] != nil || holds($0.value, argument) }
        default: return true
        }
    }

    private func isType(_ value: JSON, _ type: String) -> Bool {
        switch value {
        case .null: type == "null"
        case .bool: type == "boolean"
        case .int: type == "integer" || type == "number"
        case .double(let number): type == "number" || (type == "integer" && number.rounded() == number)
        case .string: type == "string"
        case .array: type == "array"
        case .object: type == "object"
        }
    }

    private func same(_ one: JSON, _ other: JSON) -> Bool {
        if let number = one.double, let second = other.double { return number == second }
        return one == other
    }

    private func target(_ reference: String) -> JSON {
        reference.split(separator: "/").dropFirst().reduce(document) { schema, name in
            schema[String(name).replacing("~1", with: "/").replacing("~0", with: "~")] ?? .bool(false)
        }
    }
}
