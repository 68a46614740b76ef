import SCXInference
import SCXText

extension Grammar {
    /// What the answer to a request may be; nil for anything.
    ///
    /// - Parameters:
    ///   - request: The request.
    ///   - tools: Functions that the model is told of.
    ///   - syntax: How it writes thoughts and calls.
    ///   - start: Where the answer begins.
    ///   - budget: Pays for all schemas of the request together.
    /// - Throws: ``APIError`` for a schema that answers cannot be held to, and for a function that does not exist.
    init?(
        of request: ChatRequest, tools: [JSON], syntax: AnswerSyntax, start: AnswerStart,
        budget: CompilationBudget
    ) throws(APIError) {
        let names = tools.map { $0["function"]?["name"]?.string ?? "" }
        if let format = syntax.calls {
            var wanted: [Int]?
            switch request.toolChoice {
            case .none, .auto: break
            case .required: wanted = Array(tools.indices)
            case .function(let name):
                guard let index = names.firstIndex(of: name) else {
                    throw .invalid(
                        "'tool_choice' names a function that is not in 'tools'.", param: "tool_choice")
                }
                wanted = [index]
            }
            if let wanted {
                let call = try Self.call(of: wanted, tools, names, format, budget)
                self = syntax.grammar(text: nil, call: call, start: start)
                return
            }
        }
        let answer: Grammar
        switch request.format {
        case .text: return nil
        case .jsonObject: answer = .anyObject
        case .choice(let texts): answer = .choice(texts.map { .literal($0) })
        case .expression(let text): answer = try Self.expression(text, budget)
        case .jsonSchema(let schema): answer = try Self.schema(schema, "response_format", budget)
        }
        // A model that may call functions may do that in place of its answer.
        var call: Grammar?
        if let format = syntax.calls {
            call = try Self.call(of: Array(tools.indices), tools, names, format, budget)
        }
        self = syntax.grammar(text: answer, call: call, start: start)
    }

    /// A call of one of some functions.
    private static func call(
        of indices: [Int], _ tools: [JSON], _ names: [String], _ format: ToolCallFormat,
        _ budget: CompilationBudget
    ) throws(APIError) -> Grammar {
        var calls: [Grammar] = []
        for index in indices {
            let parameters = closed(tools[index]["function"]?["parameters"])
            do throws(ConstraintError) {
                let isRestricted = parameters.object?.isEmpty == false
                calls.append(
                    try format.grammar(
                        names[index], parameters: isRestricted ? parameters : nil, budget: budget))
            } catch {
                throw .invalid(
                    "\(error).", param: "tools[\(index)].function.parameters", code: "invalid_schema")
            }
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

    private static func expression(
        _ text: String, _ budget: CompilationBudget
    ) throws(APIError) -> Grammar {
        do throws(ConstraintError) { return .schema(try JSONSchema(matching: text, budget: budget)) } catch {
            throw .invalid("\(error).", param: "structured_outputs.regex", code: "invalid_regex")
        }
    }

    private static func schema(
        _ json: JSON, _ param: String, _ budget: CompilationBudget
    ) throws(APIError) -> Grammar {
        do throws(ConstraintError) { return .schema(try JSONSchema(json, budget: budget)) } catch {
            throw .invalid("\(error).", param: param, code: "invalid_schema")
        }
    }
}
