import SCXInference

extension SchemaCompiler {
    /// A schema that values fit exactly when they fit both.
    ///
    /// `$ref` and alternatives are kept for later, where there is one of each.
    func merge(_ first: JSON, _ second: JSON, _ place: Place) throws(ConstraintError) -> JSON {
        if let flag = first.bool { return flag ? second : first }
        if let flag = second.bool { return flag ? first : second }
        guard first.object != nil, second.object != nil else {
            throw place.error("allOf", "holds what is neither an object nor a truth value")
        }
        try checkKeywords(first, place)
        try checkKeywords(second, place)
        guard let first = first.constraints() else { return second.constraints() ?? .bool(true) }
        guard let second = second.constraints() else { return first }
        var merged: [JSON.Member] = []
        var later: [JSON] = []
        for member in first.object ?? [] {
            let name = member.name
            guard let other = second[name], !(other == member.value) else {
                merged.append(member)
                continue
            }
            switch name {
            case "properties", "additionalProperties", "required": continue
            case "$ref", "anyOf", "oneOf":
                merged.append(member)
                later.append(.object([.init(name, other)]))
            case "allOf":
                merged.append(member)
                later += other.array ?? []
            case "format": merged.append(member)
            case "type": merged.append(.init(name, try commonTypes(first, second, place)))
            case "items" where member.value.array == nil && other.array == nil:
                merged.append(.init(name, .object([.init("allOf", .array([member.value, other]))])))
            case "enum":
                guard let list = member.value.array, let others = other.array else {
                    throw place.error(name, "is no list of values")
                }
                let both = list.filter { value in others.contains { $0.isSame(as: value) } }
                if both.isEmpty { return .bool(false) }
                merged.append(.init(name, .array(both)))
            case "const" where member.value.isSame(as: other): merged.append(member)
            case "const": return .bool(false)
            default:
                guard let value = member.value.double, let bound = other.double else {
                    throw place.error(name, "cannot be combined with another one")
                }
                let isLower = name.hasPrefix("min") || name == "exclusiveMinimum"
                merged.append(.init(name, (value < bound) == isLower ? other : member.value))
            }
        }
        for member in second.object ?? [] where first[member.name] == nil { merged.append(member) }
        if first["prefixItems"] != second["prefixItems"],
            Self.keywords[1].names.contains(where: { first[$0] != nil })
                && Self.keywords[1].names.contains(where: { second[$0] != nil })
        {
            throw place.error("prefixItems", "cannot be combined with another array's keywords")
        }
        if Self.keywords[0].names.contains(where: { first[$0] != nil && second[$0] != nil })
            || (first["properties"] != nil && second["additionalProperties"] != nil)
            || (second["properties"] != nil && first["additionalProperties"] != nil)
        {
            merged.removeAll { ["properties", "additionalProperties", "required"].contains($0.name) }
            merged += try mergedProperties(first, second, place)
        }
        guard !later.isEmpty else { return .object(merged) }
        let own = merged.last { $0.name == "allOf" }?.value.array ?? []
        return .object(merged.filter { $0.name != "allOf" } + [.init("allOf", .array(own + later))])
    }

    private func commonTypes(_ first: JSON, _ second: JSON, _ place: Place) throws(ConstraintError) -> JSON {
        let (one, other) = (try types(first, place) ?? [], try types(second, place) ?? [])
        var both = one.filter { other.contains($0) }
        let isInteger = { (names: [String], others: [String]) in
            names.contains("integer") && others.contains("number")
        }
        if isInteger(one, other) || isInteger(other, one) { both.append("integer") }
        // A list without types would be an error of the schema's author; this is a schema that nothing fits.
        return .array(both.map { .string($0) })
    }

    /// What both schemas say of members: each member fits what either says of it.
    private func mergedProperties(
        _ first: JSON, _ second: JSON, _ place: Place
    ) throws(ConstraintError) -> [JSON.Member] {
        func schema(of name: String, in schema: JSON) -> JSON {
            schema["properties"]?[name] ?? schema["additionalProperties"] ?? .bool(true)
        }
        func both(_ one: JSON, _ other: JSON) -> JSON {
            if one == .bool(true) || one == other { return other }
            if other == .bool(true) { return one }
            if one == .bool(false) || other == .bool(false) { return .bool(false) }
            return .object([.init("allOf", .array([one, other]))])
        }
        var names = (first["properties"]?.object ?? []).map(\.name)
        for member in second["properties"]?.object ?? [] where !names.contains(member.name) {
            names.append(member.name)
        }
        var result: [JSON.Member] = []
        if !names.isEmpty {
            let members = names.map {
                JSON.Member($0, both(schema(of: $0, in: first), schema(of: $0, in: second)))
            }
            result.append(.init("properties", .object(members)))
        }
        let required = (first["required"]?.array ?? []) + (second["required"]?.array ?? [])
        if !required.isEmpty { result.append(.init("required", .array(required))) }
        let (one, other) = (first["additionalProperties"], second["additionalProperties"])
        if one != nil || other != nil {
            result.append(.init("additionalProperties", both(one ?? .bool(true), other ?? .bool(true))))
        }
        return result
    }
}

extension SchemaCompiler {
    /// Checks that no value fits two alternatives of a `oneOf`, as far as that can be told at little cost.
    func checkDisjoint(_ list: [JSON], _ place: Place) throws(ConstraintError) {
        guard list.count <= 64 else { throw place.error("oneOf", "has more than 64 schemas") }
        for (index, one) in list.enumerated() {
            for other in list[(index + 1)...] {
                guard try isDisjoint(one, other, place, depth: 0) else {
                    throw place.error(
                        "oneOf", "has schemas that one value might fit together; 'anyOf' would do")
                }
            }
        }
    }

    private func isDisjoint(
        _ one: JSON, _ other: JSON, _ place: Place, depth: Int
    ) throws(ConstraintError) -> Bool {
        let (one, other) = (try resolved(one, place), try resolved(other, place))
        if one == .bool(false) || other == .bool(false) { return true }
        if let values = one.listedValues {
            if let others = other.listedValues {
                return !values.contains { value in others.contains { $0.isSame(as: value) } }
            }
            guard let types = try statedTypes(other, place) else { return false }
            return !values.contains { types.contains(where: $0.isOfType) }
        }
        if other.listedValues != nil { return try isDisjoint(other, one, place, depth: depth) }
        guard let types = try statedTypes(one, place), let others = try statedTypes(other, place) else {
            return false
        }
        let common = types.filter { type in
            others.contains(type) || (type == "integer" && others.contains("number"))
                || (type == "number" && others.contains("integer"))
        }
        if common.isEmpty { return true }
        guard common == ["object"], depth < 8 else { return false }
        // Objects differ if one needs a member that the other forbids, or gives other values.
        for (schema, second) in [(one, other), (other, one)] {
            for name in (schema["required"]?.array ?? []).compactMap(\.string) {
                let isListed = second["properties"]?[name] != nil
                if !isListed, second["additionalProperties"] == .bool(false) { return true }
                guard let member = schema["properties"]?[name], let rival = second["properties"]?[name] else {
                    continue
                }
                if try isDisjoint(member, rival, place, depth: depth + 1) { return true }
            }
        }
        return false
    }

    /// The types that a schema states itself: one without `type` may be fitted by any value.
    private func statedTypes(_ schema: JSON, _ place: Place) throws(ConstraintError) -> [String]? {
        schema["type"] == nil ? nil : try types(schema, place)
    }

    /// Follows references.
    private func resolved(_ schema: JSON, _ place: Place) throws(ConstraintError) -> JSON {
        var schema = schema
        for _ in 0..<16 {
            guard let reference = schema["$ref"]?.string else { break }
            schema = try target(reference, place)
        }
        return schema
    }
}

extension JSON {
    fileprivate var listedValues: [JSON]? { self["const"].map { [$0] } ?? self["enum"]?.array }
}
