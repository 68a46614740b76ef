import SCXInference

/// How a family writes JSON in signs of its own, values inside of values included.
///
/// Each kind of value is written so; what a family does not write is empty:
///
///     text      textOpen CHARACTERS textClose
///     object    objectOpen  keyOpen KEY keyClose VALUE memberClose  separator …  objectClose
///     list      listOpen  itemOpen VALUE itemClose  separator …  listClose
///     others    as in JSON, then scalarClose
///
/// A call's arguments are the members of such an object, without `objectOpen` and `objectClose`.
struct NestedNotation: Sendable {
    var textOpen = ""
    /// Ends a text, which cannot hold it; not empty.
    let textClose: String
    var scalarClose = ""
    var objectOpen = ""
    var objectClose = ""
    var listOpen = ""
    var listClose = ""
    var separator = ""
    var keyOpen = ""
    let keyClose: String
    var memberClose: @Sendable (_ key: String) -> String = { _ in "" }
    var itemOpen = ""
    var itemClose = ""
    /// Members that are null are left out.
    var omitsNull = false

    /// The members of an object as the family writes them.
    func text(of members: [JSON.Member]) -> String {
        members.filter { !omitsNull || !$0.value.isNull }.map { member in
            keyOpen + member.name + keyClose + text(of: member.value) + memberClose(member.name)
        }.joined(separator: separator)
    }

    /// A value as the family writes it.
    func text(of value: JSON) -> String {
        switch value {
        case .string(let text): return textOpen + text + textClose
        case .object(let members): return objectOpen + text(of: members) + objectClose
        case .array(let values):
            let items = values.map { itemOpen + text(of: $0) + itemClose }
            return listOpen + items.joined(separator: separator) + listClose
        default: return value.text + scalarClose
        }
    }
}

// MARK: Grammars

extension NestedNotation {
    /// Objects and lists inside of each other.
    private static let deepest = 6

    /// The members of an object of a schema, in the schema's order.
    ///
    /// - Parameters:
    ///   - schema: Of the object; nil for one without members.
    ///   - document: What references are looked up in.
    ///   - depth: Values around the object.
    ///   - steps: Counts the work to find out kinds.
    ///   - budget: Pays for the work.
    /// - Returns: What the model may write.
    /// - Throws: ``ConstraintError`` for a schema that calls cannot be held to.
    func members(
        of schema: JSON?, in document: JSON?, depth: Int = 0, _ steps: inout Int, _ budget: CompilationBudget
    ) throws(ConstraintError) -> Grammar {
        var parts: [Grammar.Part] = []
        for (name, schema, isRequired) in try ToolCallFormat.arguments(of: schema, budget) {
            let value = try value(of: schema, in: document, depth: depth + 1, &steps, budget)
            parts.append(
                Grammar.Part(
                    grammar: .sequence([
                        .literal(keyOpen + name + keyClose), value, .literal(memberClose(name)),
                    ]), isRequired: isRequired))
        }
        return .list(parts, separator: separator)
    }

    private func value(
        of schema: JSON, in document: JSON?, depth: Int, _ steps: inout Int, _ budget: CompilationBudget
    ) throws(ConstraintError) -> Grammar {
        try budget.spend(8)
        guard depth <= Self.deepest else {
            throw Self.refused("properties", "are nested too deep for a call")
        }
        let schema = ToolParameters.resolved(schema, in: document ?? .null, &steps)
        if let constants = schema["enum"]?.array ?? schema["const"].map({ [$0] }) {
            guard !constants.isEmpty else { throw .impossible }
            return .choice(constants.map { .literal(text(of: $0)) })
        }
        if let choices = schema["anyOf"]?.array ?? schema["oneOf"]?.array, !choices.isEmpty {
            var values: [Grammar] = []
            for choice in choices {
                values.append(try value(of: choice, in: document, depth: depth + 1, &steps, budget))
            }
            return .choice(values)
        }
        var kinds = ToolParameters.kinds(of: schema, in: document ?? .null, &steps)
        if kinds.isEmpty { kinds = [.string, .number, .boolean] }
        if kinds.contains(.number) { kinds.remove(.integer) }
        if omitsNull, kinds.count > 1 { kinds.remove(.null) }
        var values: [Grammar] = []
        for kind in kinds.sorted(by: { $0.rawValue < $1.rawValue }) {
            values.append(try value(kind, schema, in: document, depth: depth, &steps, budget))
        }
        return values.count == 1 ? values[0] : .choice(values)
    }

    private func value(
        _ kind: ToolParameters.Kind, _ schema: JSON, in document: JSON?, depth: Int, _ steps: inout Int,
        _ budget: CompilationBudget
    ) throws(ConstraintError) -> Grammar {
        switch kind {
        case .null: return .literal("null" + scalarClose)
        case .boolean: return .choice(["true", "false"].map { .literal($0 + scalarClose) })
        case .integer, .number:
            let others = (schema.object ?? []).filter { $0.name != "type" }
            let number = JSON.object([.init("type", .string(kind.rawValue))] + others)
            return .sequence([
                .schema(try JSONSchema(number, budget: budget)), .literal(scalarClose),
            ])
        case .string:
            let text = try Grammar.text(of: schema, until: textClose, budget)
            return .sequence([.literal(textOpen), text ?? .textUntil(textClose)])
        case .object:
            guard schema["properties"] != nil || schema["additionalProperties"]?.bool == false else {
                throw Self.refused(
                    "type", "is an object of any members, which cannot be held to in this model's calls")
            }
            let members = try members(of: schema, in: document, depth: depth, &steps, budget)
            return .sequence([.literal(objectOpen), members, .literal(objectClose)])
        case .array:
            for keyword in ["prefixItems", "contains", "uniqueItems"] where schema[keyword] != nil {
                throw Self.refused(keyword, "cannot be held to in this model's calls")
            }
            let item = try value(of: schema["items"] ?? true, in: document, depth: depth + 1, &steps, budget)
            return .sequence([
                .literal(listOpen),
                .repeated(
                    .sequence([.literal(itemOpen), item, .literal(itemClose)]), separator: separator,
                    atLeast: max(0, schema["minItems"]?.int ?? 0), atMost: schema["maxItems"]?.int),
                .literal(listClose),
            ])
        }
    }

    private static func refused(_ keyword: String, _ reason: String) -> ConstraintError {
        .schema(pointer: "#", keyword: keyword, reason: reason)
    }
}
