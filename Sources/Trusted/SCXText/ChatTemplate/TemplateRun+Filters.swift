/// What stands after `|`.
extension TemplateRun {
    /// Filters that read their arguments themselves.
    private static let sieves: Set<String> = [
        "format", "map", "reject", "rejectattr", "select", "selectattr",
    ]

    /// The filters and the names of their parameters.
    static let filters: [String: [String]] = [
        "abs": [], "attr": ["name"], "batch": ["linecount", "fill_with"], "capitalize": [],
        "center": ["width"], "count": [], "d": ["default_value", "boolean"],
        "default": ["default_value", "boolean"], "dictsort": ["case_sensitive", "by", "reverse"], "e": [],
        "escape": [], "first": [], "float": ["default"], "forceescape": [], "format": [],
        "groupby": ["attribute", "default", "case_sensitive"], "indent": ["width", "first", "blank"],
        "int": ["default", "base"], "items": [], "join": ["d", "attribute"], "last": [], "length": [],
        "list": [],
        "lower": [], "map": [], "max": ["case_sensitive", "attribute"],
        "min": ["case_sensitive", "attribute"], "reject": [], "rejectattr": [],
        "replace": ["old", "new", "count"], "reverse": [], "round": ["precision", "method"], "safe": [],
        "select": [], "selectattr": [], "slice": ["slices", "fill_with"],
        "sort": ["reverse", "case_sensitive", "attribute"], "string": [], "sum": ["attribute", "start"],
        "title": [],
        "tojson": ["ensure_ascii", "indent", "separators", "sort_keys"], "trim": ["chars"],
        "truncate": ["length", "killwords", "end", "leeway"], "unique": ["case_sensitive", "attribute"],
        "upper": [], "urlencode": [], "wordcount": [],
    ]
    /// Filters that need their first argument, and how many.
    private static let required = ["replace": 2, "attr": 1, "batch": 1, "groupby": 1, "slice": 1]

    /// The arguments in the order of the parameters, nil where none was given.
    func bind(
        _ arguments: TemplateArguments, _ names: [String], required: Int = 0, _ function: String
    ) throws(TemplateError) -> [TemplateValue?] {
        guard arguments.positional.count <= names.count else {
            throw fault("'\(function)' takes at most \(names.count) arguments")
        }
        var bound = [TemplateValue?](repeating: nil, count: names.count)
        for (place, value) in arguments.positional.enumerated() { bound[place] = value }
        for argument in arguments.named {
            guard let place = names.firstIndex(of: argument.name), bound[place] == nil else {
                throw fault("'\(function)' does not take such an argument")
            }
            bound[place] = argument.value
        }
        guard bound.prefix(required).allSatisfy({ $0 != nil }) else {
            throw fault("'\(function)' needs an argument")
        }
        return bound
    }

    func text(_ value: TemplateValue?, _ function: String) throws(TemplateError) -> String {
        guard case .string(let text) = value else { throw fault("'\(function)' needs a str") }
        return text
    }

    func integer(_ value: TemplateValue?, _ function: String) throws(TemplateError) -> Int {
        guard let number = value?.integer else { throw fault("'\(function)' needs an integer") }
        return number
    }

    func filter(
        _ value: TemplateValue, _ name: String, _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        guard let parameters = Self.filters[name] else { throw fault("unsupported filter '\(name)'") }
        if Self.sieves.contains(name) { return try sieve(value, name, arguments) }
        let bound = try bind(arguments, parameters, required: Self.required[name] ?? 0, name)
        switch name {
        case "default", "d":
            let isMissing = value.isUndefined || (bound[1]?.isTrue == true && !value.isTrue)
            return isMissing ? bound[0] ?? .string("") : value
        case "tojson": return try made(try json(value, try style(bound)))
        case "length", "count": return .int(try length(of: value))
        case "list": return try list(try items(of: value))
        case "first", "last": return try end(of: value, name)
        case "items": return try self.items(ofDict: value)
        case "join": return try join(value, bound[0], bound[1])
        case "reverse": return try reversed(value)
        case "sort", "unique", "min", "max", "dictsort": return try ordered(value, name, bound)
        case "sum":
            var sum = bound[1] ?? .int(0)
            for item in try items(of: value) { sum = try arithmetic("+", sum, try part(bound[0], of: item)) }
            return sum
        case "abs", "int", "float", "round": return try number(value, name, bound)
        case "attr", "batch", "slice", "groupby": return try arranged(value, name, bound)
        case "wordcount": return .int(try string(value).wordCountPython)
        case "urlencode": return try made(try percentEncoded(value))
        default: return try made(try textual(try string(value), name, bound))
        }
    }

    /// Filters from text to text.
    private func textual(_ text: String, _ name: String, _ bound: [TemplateValue?]) throws(TemplateError)
        -> String
    {
        try spend(text: text.utf8.count)
        switch name {
        case "trim":
            if let characters = bound[0], case .string(let set) = characters {
                return text.strippedPython(set)
            }
            return text.strippedPython(nil)
        case "upper": return text.uppercased()
        case "lower": return text.loweredPython()
        case "capitalize": return text.capitalizedPython()
        case "title": return titled(text)
        case "replace":
            let count = try bound[2].map { value throws(TemplateError) in try integer(value, name) }
            return try replacing(
                text, try string(bound[0] ?? .none), try string(bound[1] ?? .none), count ?? -1)
        case "escape", "e", "forceescape": return text.escapedHTML
        case "center", "truncate": return try fitted(text, name, bound)
        case "indent": return try indented(text, bound)
        default: return text  // string, safe
        }
    }

    func replacing(_ text: String, _ old: String, _ new: String, _ count: Int) throws(TemplateError) -> String
    {
        let limit = count < 0 ? Int.max : count
        let parts =
            old.isEmpty
            ? [""] + text.unicodeScalars.map { String($0) } + [""] : text.split(byBytesOf: old, limit: limit)
        try spend(steps: parts.count)
        let size = new.utf8.count.multipliedReportingOverflow(by: parts.count)
        guard !size.overflow, size.partialValue <= Self.mostOutput else { throw fault("a text is too long") }
        guard old.isEmpty, parts.count - 1 > limit else { return parts.joined(separator: new) }
        return parts[..<(limit + 1)].joined(separator: new) + parts[(limit + 1)...].joined()
    }

    /// Capital letters after blanks, hyphens and opening brackets, small letters elsewhere.
    private func titled(_ text: String) -> String {
        var result = ""
        var word = String.UnicodeScalarView()
        func close() {
            if let first = word.first {
                result += String(first).uppercased() + String(word.dropFirst()).loweredPython()
            }
            word = .init()
        }
        for scalar in text.unicodeScalars {
            if scalar.isPythonSpace || "-({[<".unicodeScalars.contains(scalar) {
                close()
                result.unicodeScalars.append(scalar)
            } else {
                word.append(scalar)
            }
        }
        close()
        return result
    }

    private func indented(_ text: String, _ bound: [TemplateValue?]) throws(TemplateError) -> String {
        var indent = "    "
        switch bound[0] {
        case nil: break
        case .string(let given): indent = given
        case .some(let width):
            indent = String(repeating: " ", count: min(max(0, try integer(width, "indent")), 1_000))
        }
        let lines = (text + "\n").splitLinesPython()
        let size = indent.utf8.count.multipliedReportingOverflow(by: lines.count)
        guard !size.overflow, size.partialValue <= Self.mostOutput else { throw fault("a text is too long") }
        let indentsBlank = bound[2]?.isTrue == true
        let rest = lines.dropFirst().map { $0.isEmpty && !indentsBlank ? $0 : indent + $0 }
        return (bound[1]?.isTrue == true ? indent : "") + ([lines[0]] + rest).joined(separator: "\n")
    }

    private func style(_ bound: [TemplateValue?]) throws(TemplateError) -> TemplateJSONStyle {
        var style = TemplateJSONStyle()
        style.onlyASCII = bound[0]?.isTrue ?? false
        style.sortsKeys = bound[3]?.isTrue ?? false
        switch bound[1] {
        case nil, .some(.none): break
        case .string(let indent): style.indent = indent
        case .some(let width):
            style.indent = String(repeating: " ", count: min(max(0, try integer(width, "tojson")), 100))
        }
        // With an indent Python leaves no blank at the ends of lines.
        if style.indent != nil { style.comma = "," }
        if let separators = bound[2], case .list(let list) = separators {
            guard list.items.count == 2 else { throw fault("'tojson' needs two separators") }
            style.comma = try text(list.items[0], "tojson")
            style.colon = try text(list.items[1], "tojson")
        }
        return style
    }

    private func end(of value: TemplateValue, _ name: String) throws(TemplateError) -> TemplateValue {
        if name == "last", case .list(let list) = value, list.kind == .generator {
            throw fault("'last' needs a list")
        }
        let items = try items(of: value)
        return (name == "first" ? items.first : items.last)
            ?? .undefined("no \(name) item, sequence was empty")
    }

    private func items(ofDict value: TemplateValue) throws(TemplateError) -> TemplateValue {
        if value.isUndefined { return try list([], .generator) }
        guard case .dict(let dict) = value else { throw fault("'items' needs a dict") }
        return try list(try pairs(of: dict), .generator)
    }

    func pairs(of dict: TemplateDict) throws(TemplateError) -> [TemplateValue] {
        var pairs: [TemplateValue] = []
        for (key, value) in dict.members { pairs.append(try list([key, value], .tuple)) }
        return pairs
    }

    private func join(
        _ value: TemplateValue, _ separator: TemplateValue?, _ attribute: TemplateValue?
    ) throws(TemplateError) -> TemplateValue {
        let separator = try string(separator ?? .string(""))
        var text = ""
        for (place, item) in try items(of: value).enumerated() {
            text += (place == 0 ? "" : separator) + (try string(try part(attribute, of: item)))
            guard text.utf8.count <= Self.mostOutput else { throw fault("a text is too long") }
        }
        return try made(text)
    }

    private func reversed(_ value: TemplateValue) throws(TemplateError) -> TemplateValue {
        if case .string(let text) = value { return try made(String(scalars: text.unicodeScalars.reversed())) }
        if case .list(let list) = value, list.kind == .generator {
            return try self.list(list.walk().reversed())
        }
        return try list(try items(of: value).reversed(), .generator)
    }
}
