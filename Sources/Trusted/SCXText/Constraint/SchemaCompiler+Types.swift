import SCXInference

extension SchemaCompiler {
    /// Patterns of the formats that answers are held to; other formats are notes.
    private static let formats: [String: String] = {
        let date = #"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"#
        let time = #"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)"#
        let hex = "[0-9a-fA-F]"
        return [
            "date": "^\(date)$", "time": "^\(time)$", "date-time": "^\(date)T\(time)$",
            "uuid": "^\(hex){8}-\(hex){4}-\(hex){4}-\(hex){4}-\(hex){12}$",
        ]
    }()

    func string(_ schema: JSON, _ place: Place) throws(ConstraintError) -> Pattern {
        let (least, most) = try counts("minLength", "maxLength", schema, place)
        let isLimited = schema["minLength"] != nil || schema["maxLength"] != nil
        var expression: String?
        if let pattern = schema["pattern"] {
            guard let text = pattern.string else { throw place.error("pattern", "is no text") }
            guard !isLimited else {
                throw place.error("pattern", "is not supported beside 'minLength' or 'maxLength'")
            }
            expression = text
        } else if !isLimited, let format = schema["format"]?.string {
            expression = Self.formats[format]
        }
        var content = Pattern.repeated(.json(.character), atLeast: least, atMost: most)
        if let expression {
            do { content = try RegularExpression.pattern(expression) } catch {
                throw place.error("pattern", error.description)
            }
        } else if !isLimited {
            return .json(.string)
        }
        if let most, most < least { return .never }
        return .sequence([.text("\""), content, .text("\"")])
    }

    mutating func array(_ schema: JSON, _ place: Place) throws(ConstraintError) -> Pattern {
        let (least, most) = try counts("minItems", "maxItems", schema, place)
        // Older drafts give the first elements by a list `items` and the others by `additionalItems`.
        let isOlder = schema["items"]?.array != nil
        let firstName = isOlder ? "items" : "prefixItems"
        let restName = isOlder ? "additionalItems" : "items"
        var first: [Pattern] = []
        if let list = schema[firstName] {
            guard let list = list.array, list.count <= 256 else {
                throw place.error(firstName, "is no list of at most 256 schemas")
            }
            for (index, element) in list.enumerated() {
                first.append(try value(element, place.child(firstName, "\(index)")))
            }
        }
        if let most { first = Array(first.prefix(most)) }
        if let most, most < least { return .never }
        var rest: Pattern = .json(.value)
        if most.map({ $0 > first.count }) ?? true, let schema = schema[restName] {
            rest = shared(try value(schema, place.child(restName)))
        }
        guard !first.isEmpty else { return JSONPart.list(of: rest, atLeast: least, atMost: most) }
        let further = Pattern.repeated(
            .sequence([JSONPart.comma, rest]), atLeast: max(least - first.count, 0),
            atMost: most.map { $0 - first.count })
        var tail = Pattern.sequence([further, .json(.gap)])
        for (index, element) in first.enumerated().reversed() {
            tail = .sequence(index > 0 ? [JSONPart.comma, element, tail] : [element, tail])
            if index >= least { tail = .choice([tail, index > 0 ? .json(.gap) : .nothing]) }
        }
        return .sequence([.text("["), .json(.gap), tail, .text("]")])
    }

    mutating func object(_ schema: JSON, _ place: Place) throws(ConstraintError) -> Pattern {
        let properties = try properties(schema, place)
        let required = try required(schema, place)
        let additional = schema["additionalProperties"] ?? .bool(properties.isEmpty)
        var members: [Pattern.Member] = []
        for property in properties {
            let value = try value(property.value, place.child("properties", property.name))
            members.append(
                .init(pattern: .member(property.name, value), isRequired: required.contains(property.name)))
        }
        var names = properties.map(\.name)
        let further = shared(try value(additional, place.child("additionalProperties")))
        // Required members that are not listed fit what is said of additional ones: anything if nothing is.
        let unlisted = schema["additionalProperties"] == nil ? .json(.value) : further
        for name in required where !names.contains(name) {
            names.append(name)
            members.append(.init(pattern: .member(name, unlisted), isRequired: true))
        }
        let (least, most) = try counts("minProperties", "maxProperties", schema, place)
        let isOpen = additional != .bool(false)
        if least > required.count, !(least == 1 && names.isEmpty && isOpen) {
            throw place.error("minProperties", "is not supported above the number of required properties")
        }
        guard most.map({ !isOpen && $0 >= names.count }) ?? true else {
            throw place.error("maxProperties", "is not supported below the number of properties")
        }
        let other = isOpen ? try furtherMember(names, further, place) : nil
        if least > required.count, let other {
            members.append(.init(pattern: other, isRequired: true))
        }
        return .sequence([.text("{"), .json(.gap), .members(members, further: other), .text("}")])
    }

    private func properties(_ schema: JSON, _ place: Place) throws(ConstraintError) -> [JSON.Member] {
        guard let value = schema["properties"] else { return [] }
        guard let members = value.object, members.count <= 256 else {
            throw place.error("properties", "is no object of at most 256 schemas")
        }
        var seen: Set<String> = []
        guard members.allSatisfy({ seen.insert($0.name).inserted }) else {
            throw place.error("properties", "has a name twice")
        }
        return members
    }

    private func required(_ schema: JSON, _ place: Place) throws(ConstraintError) -> [String] {
        guard let value = schema["required"] else { return [] }
        var names: [String] = []
        guard let list = value.array, list.count <= 256 else {
            throw place.error("required", "is no list of at most 256 names")
        }
        for name in list {
            guard let name = name.string else { throw place.error("required", "is no list of names") }
            if !names.contains(name) { names.append(name) }
        }
        return names
    }

    /// A member whose name is none of the listed ones; where there are some, it is not empty and has no escapes.
    private func furtherMember(
        _ names: [String], _ value: Pattern, _ place: Place
    ) throws(ConstraintError) -> Pattern {
        if names.isEmpty { return .sequence([.json(.string), JSONPart.colon, value]) }
        let taken = names.map { $0.unicodeScalars.map(\.value) }
        guard taken.allSatisfy({ $0.count <= 100 }) else {
            throw place.error("properties", "has a name of more than 100 characters beside further members")
        }
        return .sequence([.text("\""), Self.name(notIn: taken, isStart: true), JSONPart.colon, value])
    }

    /// The rest of a name, with its quotation mark, that is none of some texts.
    private static func name(notIn taken: [[UInt32]], isStart: Bool) -> Pattern {
        let free = Pattern.sequence([
            .repeated(ScalarSet.plain.pattern, atLeast: 0, atMost: nil), .text("\""),
        ])
        let firsts = Set(taken.compactMap(\.first)).sorted()
        var choices: [Pattern] = [
            .sequence([ScalarSet.plain.subtracting(ScalarSet(firsts.map { $0...$0 })).pattern, free])
        ]
        for first in firsts {
            let rest = taken.filter { $0.first == first }.map { Array($0.dropFirst()) }
            let scalar = ScalarSet(first...first).intersection(.plain).pattern
            choices.append(.sequence([scalar, name(notIn: rest, isStart: false)]))
        }
        if !isStart, !taken.contains([]) { choices.append(.text("\"")) }
        return .choice(choices)
    }
}
