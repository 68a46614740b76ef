package import SCXInference

extension ToolCallFormat {
    /// The texts of a call of one function.
    ///
    /// Members that a JSON object would have in the schema's order come in that order here too. Markers in these texts
    /// are tokens of their own where the vocabulary has them.
    ///
    /// - Parameters:
    ///   - name: Of the function.
    ///   - parameters: The JSON Schema of its arguments; nil for any.
    ///   - budget: Pays for the work.
    /// - Returns: The call with the marks around it.
    /// - Throws: ``ConstraintError`` for a schema that calls cannot be held to, or that costs too much.
    package func grammar(
        _ name: String, parameters: JSON?, budget: CompilationBudget = .init()
    ) throws(ConstraintError) -> Grammar {
        let writing = syntax.writing
        let arguments: Grammar =
            switch syntax.body {
            case .object, .keyed, .named:
                if let parameters {
                    .schema(try JSONSchema(parameters, budget: budget))
                } else {
                    .anyObject
                }
            case .parameters(let marks): try Self.marked(parameters, marks, budget)
            case .python: try Self.python(parameters, budget)
            case .quoted(let notation), .elements(let notation, _):
                try Self.nested(parameters, notation, budget)
            }
        return .sequence([
            .literal(writing.opening + writing.prefix(name, 0)), arguments,
            .literal(writing.suffix + writing.closing),
        ])
    }

    /// Keywords of an object that restrict nothing, or that are seen to.
    private static let knownKeywords: Set<String> = [
        "type", "properties", "required", "additionalProperties", "title", "description", "default",
        "examples",
        "example", "$schema", "$id", "$comment", "$defs", "definitions", "deprecated", "readOnly",
        "writeOnly",
        "strict",
    ]

    /// The arguments of a schema: names, values' schemas, and whether they have to be there.
    static func arguments(
        of schema: JSON?, _ budget: CompilationBudget
    ) throws(ConstraintError) -> [(name: String, schema: JSON, isRequired: Bool)] {
        guard let schema, let members = schema.object else { return [] }
        for member in members where !knownKeywords.contains(member.name) && !member.name.hasPrefix("x-") {
            throw .schema(
                pointer: "#", keyword: member.name,
                reason: "cannot be held to where a model writes each argument by itself")
        }
        let required = (schema["required"]?.array ?? []).compactMap(\.string)
        let properties = schema["properties"]?.object ?? []
        try budget.spend(16 * (required.count + properties.count))
        let (requiredNames, names) = (Set(required), Set(properties.map(\.name)))
        let known = properties.map { ($0.name, $0.value, requiredNames.contains($0.name)) }
        return known + required.filter { !names.contains($0) }.map { ($0, true, true) }
    }

    /// The schema of an argument, with the definitions that it may refer to.
    private static func whole(_ schema: JSON, in document: JSON?) -> JSON {
        guard let members = schema.object, hasReference(schema) else { return schema }
        let definitions = ["$defs", "definitions"].compactMap { name in
            schema[name] == nil ? document?[name].map { JSON.Member(name, $0) } : nil
        }
        return .object(members + definitions)
    }

    private static func hasReference(_ schema: JSON) -> Bool {
        var pending = [schema]
        while let value = pending.popLast() {
            switch value {
            case .array(let values): pending += values
            case .object(let members):
                if members.contains(where: { $0.name == "$ref" }) { return true }
                pending += members.map(\.value)
            default: break
            }
        }
        return false
    }

    private static func nested(
        _ document: JSON?, _ notation: NestedNotation, _ budget: CompilationBudget
    ) throws(ConstraintError) -> Grammar {
        var steps = 0
        return try notation.members(of: document, in: document, &steps, budget)
    }

    // MARK: Arguments between marks

    private static func marked(
        _ document: JSON?, _ marks: ToolCallSyntax.ParameterMarks, _ budget: CompilationBudget
    ) throws(ConstraintError) -> Grammar {
        var parts: [Grammar] = []
        var steps = 0
        for (name, schema, isRequired) in try arguments(of: document, budget) {
            let kinds = ToolParameters.kinds(of: schema, in: document ?? .null, &steps)
            let isString = kinds.isEmpty || kinds.contains(.string)
            let kind = isString ? .string : kinds.sorted { $0.rawValue < $1.rawValue }.first ?? .string
            let part = Grammar.sequence([
                .literal(marks.begin(name, kind)),
                try value(schema, kinds, document, endingWith: marks.valueEnd, budget),
                .literal(marks.separator),
            ])
            parts.append(isRequired ? part : .choice([part, .literal("")]))
        }
        return .sequence(parts)
    }

    /// A value and the mark that ends it.
    private static func value(
        _ schema: JSON, _ kinds: Set<ToolParameters.Kind>, _ document: JSON?, endingWith end: String,
        _ budget: CompilationBudget
    ) throws(ConstraintError) -> Grammar {
        let constants = schema["enum"]?.array ?? schema["const"].map { [$0] }
        if let constants {
            return .schema(JSONSchema(texts: constants.map { ($0.string ?? $0.text) + end }))
        }
        guard kinds.isEmpty || kinds.contains(.string) else {
            return .sequence([
                .schema(try JSONSchema(whole(schema, in: document), budget: budget)), .literal(end),
            ])
        }
        if kinds == [.string], schema["$ref"] == nil,
            let text = try Grammar.text(of: schema, until: end, budget)
        {
            return text
        }
        return .textUntil(end)
    }

    // MARK: Arguments as in Python

    private static func python(
        _ document: JSON?, _ budget: CompilationBudget
    ) throws(ConstraintError) -> Grammar {
        var parts: [Grammar.Part] = []
        var steps = 0
        for (name, schema, isRequired) in try arguments(of: document, budget) {
            var value = Grammar.schema(try JSONSchema(whole(schema, in: document), budget: budget))
            let kinds = ToolParameters.kinds(of: schema, in: document ?? .null, &steps)
            if !kinds.isEmpty, kinds.isSubset(of: [.boolean, .null]), schema["enum"] == nil,
                schema["const"] == nil
            {
                let texts =
                    (kinds.contains(.boolean) ? ["True", "False"] : [])
                    + (kinds.contains(.null) ? ["None"] : [])
                value = .choice(texts.map { .literal($0) })
            }
            parts.append(.init(grammar: .sequence([.literal("\(name)="), value]), isRequired: isRequired))
        }
        return .list(parts)
    }
}

extension AnswerSyntax {
    /// The texts of an answer that is held to a grammar: the model may think before it.
    ///
    /// - Parameters:
    ///   - text: What the answer's text may be; nil when there has to be a call.
    ///   - call: What a call may be; nil when there is none.
    ///   - start: Where the answer begins.
    /// - Returns: What the model may write from there on.
    package func grammar(text: Grammar?, call: Grammar?, start: AnswerStart) -> Grammar {
        guard reasoning == .channels else {
            let answers = [text, call].compactMap(\.self)
            let answer = answers.count == 1 ? answers[0] : .choice(answers)
            guard case .marks(let open, let close) = reasoning, start != .text else { return answer }
            let gap = Grammar.choice([.literal(""), .literal("\n"), .literal("\n\n")])
            let thought = Grammar.sequence([.textUntil(close), gap, answer])
            if start == .reasoning { return thought }
            return .choice([answer, .sequence([.literal(open), thought])])
        }
        if start == .text {
            let next = call.map { Grammar.sequence([.literal("<|end|><|start|>assistant"), $0]) }
            return .choice([text, next].compactMap(\.self))
        }
        let message = text.map { Grammar.sequence([.literal("<|channel|>final<|message|>"), $0]) }
        let thought = Grammar.sequence([
            .literal("<|channel|>analysis<|message|>"), .textUntil("<|end|>"),
            .literal("<|start|>assistant"),
        ])
        return .sequence([
            .choice([.literal(""), thought]), .choice([message, call].compactMap(\.self)),
        ])
    }
}
