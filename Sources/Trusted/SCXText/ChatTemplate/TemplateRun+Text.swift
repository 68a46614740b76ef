/// Values as text.
extension TemplateRun {
    /// The value as Python's `str` writes it.
    func string(_ value: TemplateValue) throws(TemplateError) -> String {
        switch value {
        case .undefined: ""
        case .string(let text): text
        default: try representation(value)
        }
    }

    /// The value as Python's `repr` writes it.
    func representation(_ value: TemplateValue) throws(TemplateError) -> String {
        try spend(steps: 1)
        switch value {
        case .undefined: return "Undefined"
        case .none: return "None"
        case .bool(let value): return value ? "True" : "False"
        case .int(let value): return "\(value)"
        case .float(let value): return value.pythonRepresentation
        case .string(let text): return try text.pythonRepresentation.counted(self)
        case .list(let list): return try representation(list)
        case .dict(let dict):
            var parts: [String] = []
            for (key, value) in dict.members {
                parts.append(try representation(key) + ": " + (try representation(value)))
            }
            return try "{\(parts.joined(separator: ", "))}".counted(self)
        default: throw fault("a \(value.typeName) has no text")
        }
    }

    private func representation(_ list: TemplateList) throws(TemplateError) -> String {
        if list.kind == .range { throw fault("unsupported: the text of a range") }
        if list.kind == .generator { throw fault("the result of a filter has no text: add '| list'") }
        var parts: [String] = []
        for item in list.items { parts.append(try representation(item)) }
        let inside = parts.joined(separator: ", ")
        switch list.kind {
        case .tuple, .group: return try "(\(inside)\(parts.count == 1 ? "," : ""))".counted(self)
        case .view: throw fault("unsupported: the text of a dict's names, values or items")
        default: return try "[\(inside)]".counted(self)
        }
    }

    /// The value as Python's `json.dumps` writes it.
    func json(_ value: TemplateValue, _ style: TemplateJSONStyle, level: Int = 0) throws(TemplateError)
        -> String
    {
        try spend(steps: 1)
        switch value {
        case .none: return "null"
        case .bool(let value): return value ? "true" : "false"
        case .int(let value): return "\(value)"
        case .float(let value):
            guard !value.isFinite else { return value.pythonRepresentation }
            return value.isNaN ? "NaN" : value < 0 ? "-Infinity" : "Infinity"
        case .string(let text): return try text.jsonRepresentation(onlyASCII: style.onlyASCII).counted(self)
        case .list(let list) where list.kind == .list || list.isTuple:
            var parts: [String] = []
            for item in list.items { parts.append(try json(item, style, level: level + 1)) }
            return try style.enclose(parts, "[", "]", level).counted(self)
        case .dict(let dict):
            var members = dict.members
            if style.sortsKeys {
                for member in members {
                    guard case .string = member.key else {
                        throw fault("unsupported: sorting names that are no strings")
                    }
                }
                members.sort { left, right in
                    guard case .string(let left) = left.key, case .string(let right) = right.key else {
                        return false
                    }
                    return left.precedes(right)
                }
            }
            var parts: [String] = []
            for (key, value) in members {
                let name: String
                switch key {
                case .string(let text): name = text
                case .none, .bool, .int, .float: name = try json(key, style)
                default: throw fault("a \(key.typeName) is no name in JSON")
                }
                let quoted = name.jsonRepresentation(onlyASCII: style.onlyASCII)
                parts.append(quoted + style.colon + (try json(value, style, level: level + 1)))
            }
            return try style.enclose(parts, "{", "}", level).counted(self)
        case .undefined(let reason): throw fault(reason)
        default: throw fault("a \(value.typeName) is no JSON")
        }
    }
}

/// The arguments of Python's `json.dumps`.
struct TemplateJSONStyle {
    var onlyASCII = false
    /// One level's indentation; nil writes everything on one line.
    var indent: String?
    var comma = ", "
    var colon = ": "
    var sortsKeys = false

    fileprivate func enclose(_ parts: [String], _ open: String, _ close: String, _ level: Int) -> String {
        guard let indent, !parts.isEmpty else { return open + parts.joined(separator: comma) + close }
        let outer = "\n" + String(repeating: indent, count: level)
        return open + outer + indent + parts.joined(separator: comma + outer + indent) + outer + close
    }
}

extension String {
    /// The string, after a rendering's budget paid for it.
    fileprivate func counted(_ run: TemplateRun) throws(TemplateError) -> String {
        guard utf8.count <= TemplateRun.mostOutput else { throw run.fault("a text is too long") }
        try run.spend(text: utf8.count)
        return self
    }
}
