import SCXInference

/// Which pairs of schemas are known to have no value in common.
struct SchemaDisjointness {
    struct Pair: Hashable {
        let one: Int32
        let other: Int32

        init(_ one: Int32, _ other: Int32) { (self.one, self.other) = (min(one, other), max(one, other)) }
    }

    var known: [Pair: Bool] = [:]
}

extension SchemaCompiler {
    /// Alternatives of a `oneOf` that are not listed values: each is compared with each.
    private static let mostAlternatives = 64

    /// Checks that no value fits two alternatives of a `oneOf`, as far as that can be told at little cost.
    mutating func checkDisjoint(_ alternatives: Range<Int32>, of schema: Int32) throws(ConstraintError) {
        let refused = document.error(
            schema, "oneOf", "has schemas that one value might fit together; 'anyOf' would do")
        // Listed values are looked up, not compared with each other.
        var seen: [Int32: Int32] = [:]
        var others: [Int32] = []
        var listing: [Int32] = []
        for alternative in alternatives {
            let resolved = try resolved(alternative)
            guard let values = try listed(resolved) else {
                others.append(resolved)
                continue
            }
            listing.append(resolved)
            for value in values {
                try budget.spend()
                let before = seen.updateValue(alternative, forKey: try document.value(value))
                guard before ?? alternative == alternative else { throw refused }
            }
        }
        guard others.count <= Self.mostAlternatives else {
            throw document.error(schema, "oneOf", "has more than \(Self.mostAlternatives) schemas")
        }
        for (place, one) in others.enumerated() {
            for other in others[(place + 1)...] + listing {
                guard try isDisjoint(.init(one, other)) else { throw refused }
            }
        }
    }

    /// What can be told of a pair without a look at members.
    private enum Verdict {
        case disjoint, unknown
        /// Objects, which differ where the values of one of these members do.
        case members([SchemaDisjointness.Pair])
    }

    /// Whether no value fits both schemas.
    ///
    /// Each pair of members is looked at once, whichever way leads to it; pairs that lead back to themselves prove nothing.
    private mutating func isDisjoint(_ pair: SchemaDisjointness.Pair) throws(ConstraintError) -> Bool {
        var users: [SchemaDisjointness.Pair: [SchemaDisjointness.Pair]] = [pair: []]
        var order = [pair]
        var next = 0
        while next < order.count, disjointness.known[pair] == nil {
            let current = order[next]
            next += 1
            let verdict = try verdict(current)
            if case .members(let pairs) = verdict {
                for inner in pairs where disjointness.known[inner] != true {
                    try budget.spend()
                    if disjointness.known[inner] == false { continue }
                    if users[inner] == nil { order.append(inner) }
                    users[inner, default: []].append(current)
                }
                guard pairs.contains(where: { disjointness.known[$0] == true }) else { continue }
            } else if case .unknown = verdict {
                continue
            }
            // Whatever has this pair of members is disjoint too.
            var proven = [current]
            while let one = proven.popLast() {
                guard disjointness.known.updateValue(true, forKey: one) == nil else { continue }
                try budget.spend()
                proven += users[one] ?? []
            }
        }
        if let result = disjointness.known[pair] { return result }
        // All that was reached is no proof.
        for one in order where disjointness.known[one] == nil { disjointness.known[one] = false }
        return false
    }

    private func verdict(_ pair: SchemaDisjointness.Pair) throws(ConstraintError) -> Verdict {
        let (one, other) = (try resolved(pair.one), try resolved(pair.other))
        try budget.spend(4)
        if document.json(one).bool == false || document.json(other).bool == false { return .disjoint }
        guard document.json(one).object != nil, document.json(other).object != nil, one != other else {
            return .unknown
        }
        let (values, others) = (try listed(one), try listed(other))
        if let values, let others {
            var set: Set<Int32> = []
            for value in values { set.insert(try document.value(value)) }
            try budget.spend(values.count + others.count)
            for value in others where set.contains(try document.value(value)) { return .unknown }
            return .disjoint
        }
        guard values == nil, others == nil else {
            guard let types = try statedTypes(values == nil ? one : other) else { return .unknown }
            let listed = values ?? others ?? []
            try budget.spend(listed.count)
            let fits = listed.contains { types.contains(where: document.json($0).isOfType) }
            return fits ? .unknown : .disjoint
        }
        guard let types = try statedTypes(one), let stated = try statedTypes(other) else { return .unknown }
        let common = Self.common(types, stated)
        if common.isEmpty { return .disjoint }
        return common == ["object"] ? try members(one, other) : .unknown
    }

    /// Objects differ if one needs a member that the other forbids, or gives other values.
    private func members(_ one: Int32, _ other: Int32) throws(ConstraintError) -> Verdict {
        var pairs: [SchemaDisjointness.Pair] = []
        for (schema, second) in [(one, other), (other, one)] {
            let (view, rivals) = (try document.view(schema), try document.view(second))
            guard let list = view[.required], let names = document.json(list).array else { continue }
            try budget.spend(names.count)
            let isClosed = rivals[.additionalProperties].map { document.json($0).bool == false } ?? false
            for name in names.compactMap(\.string) {
                let rival = rivals[.properties].flatMap { document.member(name, of: $0) }
                if rival == nil, isClosed { return .disjoint }
                guard let rival, let own = view[.properties].flatMap({ document.member(name, of: $0) })
                else { continue }
                pairs.append(.init(try resolved(own), try resolved(rival)))
            }
        }
        return .members(pairs)
    }

    private func listed(_ schema: Int32) throws(ConstraintError) -> [Int32]? {
        guard document.json(schema).object != nil else { return nil }
        return try listedValues(schema, try document.view(schema))
    }

    /// The types that a schema states itself: one without `type` may be fitted by any value.
    private func statedTypes(_ schema: Int32) throws(ConstraintError) -> [String]? {
        guard let value = try document.view(schema)[.type] else { return nil }
        return try statedTypes(schema, value)
    }

    /// Follows references.
    private func resolved(_ schema: Int32) throws(ConstraintError) -> Int32 {
        var schema = schema
        for _ in 0..<16 {
            guard document.json(schema).object != nil,
                let target = try target(of: schema, try document.view(schema))
            else { break }
            schema = target
        }
        return schema
    }
}
