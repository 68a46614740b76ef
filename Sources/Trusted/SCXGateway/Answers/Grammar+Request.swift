import SCXInference
import SCXText

extension Grammar {
    /// What the answer to a request may be; nil for anything.
    ///
    /// - Parameters:
    ///   - request: The request.
    ///   - tools: Functions that the model is told of.
    ///   - callFormat: How it writes calls; nil without tools.
    ///   - budget: Pays for all schemas of the request together.
    /// - Throws: ``APIError`` for a schema that answers cannot be held to, and for a function that does not exist.
    init?(
        of request: ChatRequest, tools: [JSON], callFormat: ToolCallFormat?, budget: CompilationBudget
    ) throws(APIError) {
        let names = tools.map { $0["function"]?["name"]?.string ?? "" }
        if let callFormat {
            switch request.toolChoice {
            case .none, .auto: break
            case .required:
                self = try Self.call(of: tools.indices.map { $0 }, tools, names, callFormat, budget)
                return
            case .function(let name):
                guard let index = names.firstIndex(of: name) else {
                    throw .invalid(
                        "'tool_choice' names a function that is not in 'tools'.", param: "tool_choice")
                }
                self = try Self.call(of: [index], tools, names, callFormat, budget)
                return
            }
        }
        let answer: Grammar
        switch request.format {
        case .text: return nil
        case .jsonObject: answer = .anyObject
        case .jsonSchema(let schema): answer = try Self.schema(schema, "response_format", budget)
        }
        // A model that may call functions may do that in place of its answer.
        guard let callFormat else {
            self = answer
            return
        }
        let call = try Self.call(of: tools.indices.map { $0 }, tools, names, callFormat, budget)
        self = .choice([answer, call])
    }

    /// A call of one of some functions.
    private static func call(
        of indices: [Int], _ tools: [JSON], _ names: [String], _ format: ToolCallFormat,
        _ budget: CompilationBudget
    ) throws(APIError) -> Grammar {
        var calls: [Grammar] = []
        for index in indices {
            let parameters = closed(tools[index]["function"]?["parameters"])
            var arguments = Grammar.anyObject
            if parameters.object?.isEmpty == false {
                arguments = try schema(parameters, "tools[\(index)].function.parameters", budget)
            }
            calls.append(
                .sequence([
                    .literal(format.forcedOpening + format.forcedPrefix(names[index])), arguments,
                    .literal(format.forcedSuffix + format.forcedClosing),
                ]))
        }
        return .choice(calls)
    }

    /// The schema of a function's arguments, which has none where it names none: a schema alone would allow any.
    private static func closed(_ parameters: JSON?) -> JSON {
        guard let parameters, !parameters.isNull else {
            return ["type": "object", "additionalProperties": false]
        }
        guard let members = parameters.object, parameters["properties"] == .object([]),
            ["additionalProperties", "allOf", "anyOf", "oneOf", "$ref"].allSatisfy({ parameters[$0] == nil })
        else { return parameters }
        return .object(members + [JSON.Member("additionalProperties", false)])
    }

    private static func schema(
        _ json: JSON, _ param: String, _ budget: CompilationBudget
    ) throws(APIError) -> Grammar {
        do throws(ConstraintError) { return .schema(try JSONSchema(json, budget: budget)) } catch {
            throw .invalid("\(error).", param: param, code: "invalid_schema")
        }
    }
}
