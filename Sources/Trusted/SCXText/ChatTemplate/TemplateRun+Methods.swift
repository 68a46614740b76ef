/// Methods of strings, dicts, lists and loops.
extension TemplateRun {
    private static let stringMethods: Set<String> = [
        "strip", "lstrip", "rstrip", "split", "rsplit", "splitlines", "replace", "startswith", "endswith",
        "upper",
        "lower", "title", "capitalize", "casefold", "join", "find", "rfind", "index", "rindex", "count",
        "format",
        "removeprefix", "removesuffix", "isdigit", "isdecimal", "isnumeric", "isalpha", "isalnum", "isspace",
        "isupper",
        "islower", "zfill", "ljust", "rjust", "partition", "rpartition",
    ]
    private static let dictMethods: Set<String> = ["items", "keys", "values", "get", "copy"]
    private static let listMethods: Set<String> = ["index", "count"]
    /// Methods that change their object, which the environment of templates forbids.
    private static let dictChanges: Set<String> = ["pop", "popitem", "clear", "update", "setdefault"]
    private static let listChanges: Set<String> = [
        "append", "extend", "insert", "remove", "sort", "reverse", "pop", "clear",
    ]

    static func methodNames(of value: TemplateValue) -> Set<String> {
        switch value {
        case .string: stringMethods
        case .dict: dictMethods
        case .list: listMethods
        case .turns(let turns) where turns.kind == .cycler: ["next", "reset"]
        default: []
        }
    }

    /// Whether this is a method that would change the value.
    static func isForbidden(_ name: String, of value: TemplateValue) -> Bool {
        switch value {
        case .list(let list): list.kind == .list && listChanges.contains(name)
        case .dict: dictChanges.contains(name)
        default: false
        }
    }

    func call(_ method: TemplateMethod, _ arguments: TemplateArguments) throws(TemplateError) -> TemplateValue
    {
        switch method.receiver {
        case .string(let text): return try call(method.name, of: text, arguments)
        case .dict(let dict): return try call(method.name, of: dict, arguments)
        case .list(let list):
            let wanted = try bind(arguments, ["value"], required: 1, method.name)[0] ?? .none
            var count = 0
            for (place, item) in list.items.enumerated() where try equal(item, wanted) {
                if method.name == "index" { return .int(place) }
                count += 1
            }
            guard method.name == "count" else { throw fault("'index' found no such item") }
            return .int(count)
        case .loop(let loop):
            let values = arguments.positional
            if method.name == "cycle" {
                guard !values.isEmpty else { throw fault("'cycle' needs values") }
                return values[max(0, loop.index0) % values.count]
            }
            let before = try loop.lastChanged.map { last throws(TemplateError) in try list(last) }
            loop.lastChanged = values
            guard let before else { return .bool(true) }
            return .bool(!(try equal(before, try list(values))))
        case .turns(let turns):
            _ = try bind(arguments, [], method.name)
            defer { turns.place = method.name == "reset" ? 0 : turns.place + 1 }
            return method.name == "reset" ? .none : turns.current
        default: throw fault("'\(method.name)' cannot be called")
        }
    }

    private func call(
        _ name: String, of dict: TemplateDict, _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        if name == "get" {
            let bound = try bind(arguments, ["key", "default"], required: 1, name)
            let (key, whole) = (bound[0] ?? .none, TemplateValue.dict(dict))
            guard try contains(whole, key) else { return bound[1] ?? .none }
            return try item(key, of: whole)
        }
        _ = try bind(arguments, [], name)
        switch name {
        case "keys": return try list(dict.members.map(\.key), .view)
        case "values": return try list(dict.members.map(\.value), .view)
        case "items": return try list(try pairs(of: dict), .view)
        default: return .dict(dict)
        }
    }

    private func call(
        _ name: String, of text: String, _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        try spend(text: text.utf8.count)
        switch name {
        case "strip", "lstrip", "rstrip":
            let characters = try optionalText(try bind(arguments, ["chars"], name)[0], name)
            return try made(text.strippedPython(characters, left: name != "rstrip", right: name != "lstrip"))
        case "split", "rsplit", "splitlines", "partition", "rpartition":
            return try parts(name, of: text, arguments)
        case "replace":
            let bound = try bind(arguments, ["old", "new", "count"], required: 2, name)
            let count = bound[2]?.integer ?? -1
            return try made(
                try replacing(text, try self.text(bound[0], name), try self.text(bound[1], name), count))
        case "startswith", "endswith", "removeprefix", "removesuffix":
            return try affix(name, of: text, arguments)
        case "join":
            let parts = try items(of: try bind(arguments, ["parts"], required: 1, name)[0] ?? .none)
            var joined = ""
            for (place, part) in parts.enumerated() {
                joined += (place == 0 ? "" : text) + (try self.text(part, name))
                guard joined.utf8.count <= Self.mostOutput else { throw fault("a text is too long") }
            }
            return try made(joined)
        case "find", "rfind", "index", "rindex", "count": return try search(name, in: text, arguments)
        case "format": return try fill(text, arguments)
        case "zfill", "ljust", "rjust": return try padded(name, text, arguments)
        default: break
        }
        _ = try bind(arguments, [], name)
        switch name {
        case "upper": return try made(text.uppercased())
        case "lower", "casefold": return try made(text.loweredPython())
        case "title": return try made(text.titledPython())
        case "capitalize": return try made(text.capitalizedPython())
        case "isupper": return .bool(text.isCasedPython(\.isUppercase, never: \.isLowercase))
        case "islower": return .bool(text.isCasedPython(\.isLowercase, never: \.isUppercase))
        default: return .bool(!text.isEmpty && text.unicodeScalars.allSatisfy { Self.holds(name, $0) })
        }
    }

    private static func holds(_ name: String, _ scalar: Unicode.Scalar) -> Bool {
        let numeric = scalar.properties.numericType
        let isLetter =
            switch scalar.properties.generalCategory {
            case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
            default: false
            }
        switch name {
        case "isspace": return scalar.isPythonSpace
        case "isalpha": return isLetter
        case "isdecimal": return numeric == .decimal
        case "isdigit": return numeric == .decimal || numeric == .digit
        case "isnumeric": return numeric != nil
        default: return isLetter || numeric != nil
        }
    }

    private func optionalText(_ value: TemplateValue?, _ name: String) throws(TemplateError) -> String? {
        if value == nil { return nil }
        if case .some(.none) = value { return nil }
        return try text(value, name)
    }

    private func parts(
        _ name: String, of text: String, _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        if name == "splitlines" {
            let keepsEnds = try bind(arguments, ["keepends"], name)[0]?.isTrue ?? false
            return try list(text.splitLinesPython(keepsEnds: keepsEnds).map { .string($0) })
        }
        if name.hasSuffix("partition") {
            let separator = try self.text(try bind(arguments, ["sep"], required: 1, name)[0], name)
            guard !separator.isEmpty else { throw fault("an empty separator") }
            let places = text.places(of: separator)
            guard let first = places.first, let last = places.last else {
                return try list(
                    (name == "partition" ? [text, "", ""] : ["", "", text]).map { .string($0) }, .tuple)
            }
            // The last part that does not overlap the one after it may lie later than the last of `places`.
            let place = name == "partition" ? first : lastPlace(of: separator, in: text) ?? last
            let end = place + separator.utf8.count
            let parts = [text.bytes(0..<place), separator, text.bytes(end..<text.utf8.count)]
            return try list(parts.map { .string($0) }, .tuple)
        }
        let bound = try bind(arguments, ["sep", "maxsplit"], name)
        let given = bound[1]?.integer ?? -1
        let limit = given < 0 ? Int.max : given
        let separator = try optionalText(bound[0], name)
        guard separator?.isEmpty != true else { throw fault("an empty separator") }
        if name == "split" || limit == .max {
            let parts =
                separator.map { text.split(byBytesOf: $0, limit: limit) } ?? text.splitPython(limit: limit)
            return try list(parts.map { .string($0) })
        }
        // From the right: the mirrored text is split, and its parts mirrored back.
        func mirrored(_ text: String) -> String { String(scalars: text.unicodeScalars.reversed()) }
        let mirror = mirrored(text)
        let parts =
            separator.map { mirror.split(byBytesOf: mirrored($0), limit: limit) }
            ?? mirror.splitPython(limit: limit)
        return try list(parts.reversed().map { .string(mirrored($0)) })
    }

    private func lastPlace(of part: String, in text: String) -> Int? {
        if part.isEmpty { return text.utf8.count }
        let mirrored = String(scalars: text.unicodeScalars.reversed())
        let wanted = String(scalars: part.unicodeScalars.reversed())
        return mirrored.places(of: wanted, limit: 1).first.map { text.utf8.count - $0 - part.utf8.count }
    }

    private func affix(
        _ name: String, of text: String, _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        let bound = try bind(arguments, ["affix"], required: 1, name)
        let isPrefix = name == "startswith" || name == "removeprefix"
        func holds(_ affix: String) -> Bool {
            isPrefix
                ? text.utf8.starts(with: affix.utf8)
                : text.utf8.reversed().starts(with: affix.utf8.reversed())
        }
        if name.hasPrefix("remove") {
            let affix = try self.text(bound[0], name)
            guard holds(affix) else { return .string(text) }
            let rest = text.utf8.count - affix.utf8.count
            return try made(text.bytes(isPrefix ? affix.utf8.count..<text.utf8.count : 0..<rest))
        }
        if case .list(let list) = bound[0], list.kind == .tuple {
            for affix in list.items where holds(try self.text(affix, name)) { return .bool(true) }
            return .bool(false)
        }
        return .bool(holds(try self.text(bound[0], name)))
    }

    private func search(
        _ name: String, in text: String, _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        let part = try self.text(try bind(arguments, ["sub"], required: 1, name)[0], name)
        if name == "count" {
            return .int(part.isEmpty ? text.scalarCount + 1 : text.places(of: part).count)
        }
        let isLast = name.hasPrefix("r")
        let place =
            isLast ? lastPlace(of: part, in: text) : part.isEmpty ? 0 : text.places(of: part, limit: 1).first
        guard let place else {
            guard name.hasSuffix("find") else { throw fault("'\(name)' found no such part") }
            return .int(-1)
        }
        return .int(text.bytes(0..<place).scalarCount)
    }

    private func padded(
        _ name: String, _ text: String, _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        let bound = try bind(arguments, ["width", "fill"], required: 1, name)
        guard let width = bound[0]?.integer else { throw fault("'\(name)' needs a width") }
        let fill = name == "zfill" ? "0" : try optionalText(bound[1], name) ?? " "
        guard fill.scalarCount == 1 else { throw fault("'\(name)' fills with one character") }
        let missing = max(0, min(width, Self.mostOutput / 4) - text.scalarCount)
        let padding = String(repeating: fill, count: missing)
        if name == "ljust" { return try made(text + padding) }
        if name == "zfill", let sign = text.first, sign == "-" || sign == "+" {
            return try made("\(sign)" + padding + text.dropFirst())
        }
        return try made(padding + text)
    }

    /// `str.format` with plain fields: `{}`, `{0}`, `{name}`.
    private func fill(_ format: String, _ arguments: TemplateArguments) throws(TemplateError) -> TemplateValue
    {
        var result = ""
        var automatic = 0
        var rest = format.unicodeScalars[...]
        while let scalar = rest.popFirst() {
            if scalar == "{" || scalar == "}", rest.first == scalar {
                rest.removeFirst()
            } else if scalar == "}" {
                throw fault("a single '}' in a format")
            } else if scalar == "{" {
                let field = String(rest.prefix { $0 != "}" })
                rest = rest.dropFirst(field.scalarCount)
                guard rest.popFirst() != nil else { throw fault("a field of a format does not end") }
                let value: TemplateValue?
                if let position = field.isEmpty ? automatic : Int(field) {
                    value =
                        arguments.positional.indices.contains(position) ? arguments.positional[position] : nil
                    automatic += 1
                } else {
                    value = arguments.named.first { $0.name == field }?.value
                }
                guard let value else { throw fault("unsupported field of a format") }
                result += try string(value)
                guard result.utf8.count <= Self.mostOutput else { throw fault("a text is too long") }
                continue
            }
            result.unicodeScalars.append(scalar)
        }
        return try made(result)
    }
}
