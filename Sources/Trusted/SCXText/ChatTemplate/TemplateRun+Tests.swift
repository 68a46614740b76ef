/// What stands after `is`.
extension TemplateRun {
    static let testNames: Set<String> = [
        "defined", "undefined", "none", "string", "mapping", "iterable", "sequence", "number", "integer",
        "float",
        "boolean", "true", "false", "callable", "odd", "even", "divisibleby", "in", "equalto", "eq", "==",
        "sameas",
        "ne", "!=", "lt", "lessthan", "<", "le", "<=", "gt", "greaterthan", ">", "ge", ">=", "lower", "upper",
        "filter", "test", "escaped",
    ]

    func test(
        _ value: TemplateValue, _ name: String, _ arguments: TemplateArguments
    ) throws(TemplateError) -> Bool {
        guard Self.testNames.contains(name) else { throw fault("unsupported test '\(name)'") }
        if let holds = Self.type(of: value, is: name) {
            guard arguments.positional.isEmpty, arguments.named.isEmpty else {
                throw fault("test '\(name)' takes no argument")
            }
            return holds
        }
        if ["odd", "even", "lower", "upper", "filter", "test"].contains(name) {
            return try property(name, of: value)
        }
        guard arguments.positional.count == 1, arguments.named.isEmpty else {
            throw fault("test '\(name)' takes one argument")
        }
        let other = arguments.positional[0]
        switch name {
        case "divisibleby":
            guard case .int(let remainder) = try arithmetic("%", value, other) else {
                throw fault("'divisibleby' needs integers")
            }
            return remainder == 0
        case "in": return try contains(other, value)
        case "sameas":
            guard value.typeName == other.typeName else { return false }
            return try equal(value, other)
        case "ne", "!=": return !(try equal(value, other))
        case "lt", "lessthan", "<": return try precedes(value, other)
        case "le", "<=": return try precedesOrEqual(value, other)
        case "gt", "greaterthan", ">": return try precedes(other, value)
        case "ge", ">=": return try precedesOrEqual(other, value)
        default: return try equal(value, other)
        }
    }

    /// Whether a value is of a kind; nil when the test asks something else.
    private static func type(of value: TemplateValue, is name: String) -> Bool? {
        switch (name, value) {
        case ("defined", _): !value.isUndefined
        case ("undefined", _): value.isUndefined
        case ("none", .none), ("string", .string), ("mapping", .dict), ("integer", .int), ("float", .float):
            true
        case ("boolean", .bool): true
        case ("number", .bool), ("number", .int), ("number", .float): true
        case ("true", .bool(let value)): value
        case ("false", .bool(let value)): !value
        case ("iterable", .undefined), ("iterable", .string), ("iterable", .list), ("iterable", .dict): true
        case ("iterable", .loop): true
        case ("sequence", .undefined), ("sequence", .string), ("sequence", .dict): true
        case ("sequence", .list(let list)): list.hasPositions
        case ("callable", .macro), ("callable", .function), ("callable", .method), ("callable", .undefined):
            true
        case ("callable", .loop): true
        case ("none", _), ("escaped", _), ("string", _), ("mapping", _), ("integer", _), ("float", _),
            ("boolean", _),
            ("number", _),
            ("true", _), ("false", _), ("iterable", _), ("sequence", _), ("callable", _):
            false
        default: nil
        }
    }

    private func property(_ name: String, of value: TemplateValue) throws(TemplateError) -> Bool {
        switch name {
        case "odd", "even":
            guard let remainder = try arithmetic("%", value, .int(2)).number else {
                throw fault("'\(name)' needs a number")
            }
            return remainder == (name == "odd" ? 1 : 0)
        case "lower": return try string(value).isCasedPython(\.isLowercase, never: \.isUppercase)
        case "upper": return try string(value).isCasedPython(\.isUppercase, never: \.isLowercase)
        default:
            guard case .string(let text) = value else { return false }
            return name == "filter" ? Self.filters[text] != nil : Self.testNames.contains(text)
        }
    }
}
