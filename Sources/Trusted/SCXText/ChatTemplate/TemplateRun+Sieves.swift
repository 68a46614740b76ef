/// Filters that choose, change or order the items of a list.
extension TemplateRun {
    /// `map`, `select`, `reject` and their like, whose first argument names what is done, and `format`.
    func sieve(
        _ value: TemplateValue, _ name: String, _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        if name == "format" {
            guard arguments.named.isEmpty else { throw fault("unsupported: 'format' with names") }
            return try formatted(try string(value), arguments.positional)
        }
        var rest = arguments
        if name == "map" { return try list(try mapped(value, &rest), .generator) }
        var attribute: TemplateValue?
        if name.hasSuffix("attr") {
            guard !rest.positional.isEmpty else { throw fault("'\(name)' needs an attribute") }
            attribute = rest.positional.removeFirst()
        }
        var test: String?
        if !rest.positional.isEmpty { test = try text(rest.positional.removeFirst(), name) }
        if let test, !Self.testNames.contains(test) { throw fault("unsupported test in '\(name)'") }
        var chosen: [TemplateValue] = []
        // As in Jinja, what counts as false is not even walked over.
        for item in value.isTrue ? try items(of: value) : [] {
            let part = try part(attribute, of: item)
            let holds = if let test { try self.test(part, test, rest) } else { part.isTrue }
            if holds == name.hasPrefix("select") { chosen.append(item) }
        }
        return try list(chosen, .generator)
    }

    private func mapped(
        _ value: TemplateValue, _ arguments: inout TemplateArguments
    ) throws(TemplateError) -> [TemplateValue] {
        var results: [TemplateValue] = []
        let all = value.isTrue ? try items(of: value) : []
        if arguments.positional.isEmpty {
            let bound = try bind(arguments, ["attribute", "default"], required: 1, "map")
            for item in all {
                results.append(try part(bound[0], of: item, default: bound[1]))
            }
            return results
        }
        let filter = try text(arguments.positional.removeFirst(), "map")
        guard Self.filters[filter] != nil else { throw fault("unsupported filter in 'map'") }
        try enter()
        defer { leave() }
        for item in all { results.append(try self.filter(item, filter, arguments)) }
        return results
    }

    /// An item's attribute by a path such as `function.name`; the item itself without a path.
    ///
    /// The fallback stands for each part of the path that is missing.
    func part(
        _ path: TemplateValue?, of item: TemplateValue, default fallback: TemplateValue? = nil
    ) throws(TemplateError) -> TemplateValue {
        switch path {
        case nil, .some(.none): return item
        case .int: return try self.item(path ?? .none, of: item)
        case .string(let path):
            var value = item
            for name in path.split(separator: ".", omittingEmptySubsequences: false) {
                let index = name.allSatisfy(\.isNumber) ? Int(name) : nil
                value = try self.item(index.map { .int($0) } ?? .string(String(name)), of: value)
                if value.isUndefined, let fallback { value = fallback }
            }
            return value
        default: throw fault("an attribute's name is no str")
        }
    }

    func ordered(
        _ value: TemplateValue, _ name: String, _ bound: [TemplateValue?]
    ) throws(TemplateError) -> TemplateValue {
        if name == "dictsort" {
            guard case .dict(let dict) = value else { throw fault("'dictsort' needs a dict") }
            let by = try bound[1].map { value throws(TemplateError) in try text(value, name) } ?? "key"
            guard by == "key" || by == "value" else { throw fault("'dictsort' sorts by 'key' or 'value'") }
            let keys = try keys(try pairs(of: dict), .int(by == "key" ? 0 : 1), bound[0])
            return try list(try sorted(keys, isReversed: bound[2]?.isTrue == true))
        }
        if name == "sort" {
            let keys = try keys(try items(of: value), bound[2], bound[1])
            return try list(try sorted(keys, isReversed: bound[0]?.isTrue == true))
        }
        let keys = try keys(try items(of: value), bound[1], bound[0])
        if name == "unique" {
            var kept: [(key: TemplateValue, item: TemplateValue)] = []
            for pair in keys {
                var isNew = true
                for other in kept where isNew { isNew = !(try equal(other.key, pair.key)) }
                if isNew { kept.append(pair) }
            }
            return try list(kept.map(\.item), .generator)
        }
        guard var best = keys.first else { return .undefined("no \(name) item, sequence was empty") }
        for pair in keys.dropFirst() {
            if try name == "min" ? precedes(pair.key, best.key) : precedes(best.key, pair.key) { best = pair }
        }
        return best.item
    }

    /// Items with what they are compared by: strings without regard to case unless asked for.
    func keys(
        _ items: [TemplateValue], _ attribute: TemplateValue?, _ caseSensitive: TemplateValue?,
        default fallback: TemplateValue? = nil
    ) throws(TemplateError) -> [(key: TemplateValue, item: TemplateValue)] {
        var keys: [(key: TemplateValue, item: TemplateValue)] = []
        for item in items {
            var key = try part(attribute, of: item, default: fallback)
            if case .string(let text) = key, caseSensitive?.isTrue != true {
                key = .string(text.loweredPython())
            }
            keys.append((key, item))
        }
        return keys
    }

    /// A merge sort, since comparing may fail; equal items keep their order, reversed or not.
    private func sorted(
        _ pairs: [(key: TemplateValue, item: TemplateValue)], isReversed: Bool
    ) throws(TemplateError) -> [TemplateValue] {
        try sortedPairs(pairs, isReversed: isReversed).map(\.item)
    }

    func sortedPairs(
        _ pairs: [(key: TemplateValue, item: TemplateValue)], isReversed: Bool
    ) throws(TemplateError) -> [(key: TemplateValue, item: TemplateValue)] {
        var runs = pairs.map { [$0] }
        while runs.count > 1 {
            var merged: [[(key: TemplateValue, item: TemplateValue)]] = []
            for place in stride(from: 0, to: runs.count, by: 2) {
                guard place + 1 < runs.count else {
                    merged.append(runs[place])
                    break
                }
                merged.append(try merge(runs[place], runs[place + 1], isReversed))
            }
            runs = merged
        }
        return runs.first ?? []
    }

    private func merge(
        _ left: [(key: TemplateValue, item: TemplateValue)],
        _ right: [(key: TemplateValue, item: TemplateValue)],
        _ isReversed: Bool
    ) throws(TemplateError) -> [(key: TemplateValue, item: TemplateValue)] {
        var result: [(key: TemplateValue, item: TemplateValue)] = []
        var (left, right) = (left[...], right[...])
        while let first = left.first, let second = right.first {
            let takesRight =
                try isReversed ? precedes(first.key, second.key) : precedes(second.key, first.key)
            result.append(takesRight ? second : first)
            if takesRight { right.removeFirst() } else { left.removeFirst() }
        }
        return result + left + right
    }
}
