import SCXInference

/// Which kinds of JSON the arguments of some functions may be: for formats that write arguments without quotes.
struct ToolParameters: Sendable {
    enum Kind: String, Sendable { case null, boolean, integer, number, string, array, object }

    /// For each function the arguments in the schema's order, each with its kinds; none for any.
    private var functions: [String: [(name: String, kinds: Set<Kind>)]] = [:]
    /// The schema of each function's arguments.
    private var schemas: [String: JSON] = [:]

    private static let deepest = 8
    /// Schemas looked at for all tools of a request; the arguments after them may be anything.
    private static let mostSteps = 100_000

    /// Reads tools as OpenAI's interface has them.
    init(_ tools: [JSON] = []) {
        var steps = 0
        for tool in tools {
            let function = tool["function"] ?? tool
            guard let name = function["name"]?.string else { continue }
            let schema = function["parameters"] ?? .null
            schemas[name] = schema
            functions[name] = (schema["properties"]?.object ?? []).map { member in
                (member.name, Self.kinds(of: member.value, in: schema, &steps))
            }
        }
    }

    /// Empty for an argument that may be anything, or is not known.
    func kinds(of argument: String, in function: String) -> Set<Kind> {
        functions[function]?.first { $0.name == argument }?.kinds ?? []
    }

    /// The schema of an argument, and the document that its references are looked up in; null where none is known.
    func schema(of argument: String, in function: String) -> (schema: JSON, document: JSON) {
        let document = schemas[function] ?? .null
        return (document["properties"]?[argument] ?? .null, document)
    }

    /// The argument at a place, for calls that name none.
    func name(at place: Int, in function: String) -> String? {
        guard let arguments = functions[function], arguments.indices.contains(place) else { return nil }
        return arguments[place].name
    }

    /// The schema that a reference names, and that one's, and so on.
    ///
    /// - Parameters:
    ///   - schema: Perhaps a reference.
    ///   - document: What it is looked up in.
    ///   - steps: Counts the work.
    /// - Returns: A schema that is no reference; null where there is none, or it would take too long to find.
    static func resolved(_ schema: JSON, in document: JSON, _ steps: inout Int) -> JSON {
        var schema = schema
        for _ in 0..<deepest {
            steps += 1
            guard let reference = schema["$ref"]?.string else { return schema }
            guard reference.hasPrefix("#/"), steps < mostSteps else { return .null }
            var target: JSON? = document
            for part in reference.dropFirst(2).split(separator: "/") {
                steps += target?.object?.count ?? 0
                target = target?[String(part).replacing("~1", with: "/").replacing("~0", with: "~")]
            }
            schema = target ?? .null
        }
        return .null
    }

    /// The kinds that a schema allows, as far as can be seen at once.
    ///
    /// - Parameters:
    ///   - schema: Of an argument.
    ///   - document: What its references are looked up in.
    ///   - depth: References and alternatives around it.
    ///   - steps: Counts the work for all arguments of a request.
    /// - Returns: None for anything, and where it would take too long to find out.
    static func kinds(
        of schema: JSON, in document: JSON, depth: Int = 0, _ steps: inout Int
    ) -> Set<Kind> {
        steps += 1 + (schema.object?.count ?? 0)
        guard depth < deepest, steps < mostSteps else { return [] }
        if let reference = schema["$ref"]?.string, reference.hasPrefix("#/") {
            var target: JSON? = document
            for part in reference.dropFirst(2).split(separator: "/") {
                steps += target?.object?.count ?? 0
                target = target?[String(part).replacing("~1", with: "/").replacing("~0", with: "~")]
            }
            return target.map { Self.kinds(of: $0, in: document, depth: depth + 1, &steps) } ?? []
        }
        if let type = schema["type"] {
            return Set((type.array ?? [type]).compactMap { $0.string.flatMap(Kind.init) })
        }
        if let values = schema["enum"]?.array { return Set(values.map(kind)) }
        if let value = schema["const"] { return [kind(of: value)] }
        for keyword in ["anyOf", "oneOf"] {
            guard let choices = schema[keyword]?.array else { continue }
            var all: Set<Kind> = []
            for choice in choices {
                let kinds = Self.kinds(of: choice, in: document, depth: depth + 1, &steps)
                if kinds.isEmpty { return [] }
                all.formUnion(kinds)
            }
            return all
        }
        for part in schema["allOf"]?.array ?? [] {
            let kinds = Self.kinds(of: part, in: document, depth: depth + 1, &steps)
            if !kinds.isEmpty { return kinds }
        }
        if schema["properties"] != nil { return [.object] }
        return schema["items"] == nil ? [] : [.array]
    }

    static func kind(of value: JSON) -> Kind {
        switch value {
        case .null: .null
        case .bool: .boolean
        case .int: .integer
        case .double: .number
        case .string: .string
        case .array: .array
        case .object: .object
        }
    }

    /// The JSON of an argument that was written without quotes; what fits no other kind is a string.
    static func json(of text: String, kinds: Set<Kind>) -> String {
        func allows(_ kind: Kind) -> Bool { kinds.isEmpty || kinds.contains(kind) }
        let trimmed = text.strippedPython(nil)
        switch trimmed {
        case "null" where allows(.null), "None" where allows(.null): return "null"
        case "true" where allows(.boolean), "True" where allows(.boolean): return "true"
        case "false" where allows(.boolean), "False" where allows(.boolean): return "false"
        default: break
        }
        if let json = value(trimmed, kinds: kinds) { return json }
        // Templates write objects as JSON, models sometimes as Python does.
        if trimmed.hasPrefix("{") || trimmed.hasPrefix("["), let json = PythonLiteral.json(of: trimmed),
            let json = value(json, kinds: kinds)
        {
            return json
        }
        return JSON.string(text).text
    }

    private static func value(_ text: String, kinds: Set<Kind>) -> String? {
        guard let json = try? JSON(parsing: text) else { return nil }
        switch kind(of: json) {
        case .string: return nil
        case .integer: return kinds.isEmpty || !kinds.isDisjoint(with: [.integer, .number]) ? text : nil
        case .number where kinds.contains(.integer) && json.int != nil: return text
        case let kind: return kinds.isEmpty || kinds.contains(kind) ? text : nil
        }
    }
}
