import SCXInference

extension TemplateParser {
    /// One expression, or several with commas, which make a tuple.
    ///
    /// `a if b else c` is read where `conditional` says so; `ends` are names that end the tuple after a comma.
    mutating func tuple(
        conditional: Bool = true, ends: [String] = [], isEmptyAllowed: Bool = false
    ) throws(TemplateError) -> TemplateNode {
        var items: [TemplateNode] = []
        var isTuple = false
        while !isTupleEnd(ends) {
            items.append(conditional ? try expression() : try binary(0))
            guard take(mark: ",") else { break }
            isTuple = true
        }
        if !isTuple, items.count == 1 { return items[0] }
        guard isTuple || isEmptyAllowed else { throw fault("expected an expression, found \(token.named)") }
        return try node(.tuple(items), over: deepest(items))
    }

    private func isTupleEnd(_ ends: [String]) -> Bool {
        switch token {
        case .outputEnd, .tagEnd, .mark(")"): true
        case .name(let name): ends.contains(name)
        default: false
        }
    }

    private func deepest(_ nodes: [TemplateNode]) -> Int { nodes.map(\.depth).max() ?? 0 }

    mutating func expression() throws(TemplateError) -> TemplateNode {
        try enter()
        defer { leave() }
        // What stands before 'if' runs only then, but that is known too late: Jinja treats it alike.
        var value = try binary(0)
        while take(.name("if")) {
            let test = try binary(0)
            branches += 1
            defer { branches -= 1 }
            let otherwise = take(.name("else")) ? try expression() : nil
            let depth = max(value.depth, test.depth, otherwise?.depth ?? 0)
            value = try node(.conditional(test, then: value, otherwise: otherwise), over: depth)
        }
        return value
    }

    /// Levels of binary operators, the loosest first: or, and, not, comparisons, sums, `~`, products, powers.
    private mutating func binary(_ level: Int) throws(TemplateError) -> TemplateNode {
        switch level {
        case 0:
            var left = try binary(1)
            while take(.name("or")) {
                let right = try binary(1)
                left = try node(.or(left, right), over: max(left.depth, right.depth))
            }
            return left
        case 1:
            var left = try negation()
            while take(.name("and")) {
                let right = try negation()
                left = try node(.and(left, right), over: max(left.depth, right.depth))
            }
            return left
        case 2: return try comparison()
        case 3: return try arithmetic(["+", "-"], level)
        case 4: return try concatenation()
        case 5: return try arithmetic(["*", "/", "//", "%"], level)
        case 6: return try arithmetic(["**"], level)
        default: return try unary(takesFilters: true)
        }
    }

    private mutating func negation() throws(TemplateError) -> TemplateNode {
        var count = 0
        while take(.name("not")) { count += 1 }
        var value = try binary(2)
        for _ in 0..<count { value = try node(.not(value), over: value.depth) }
        return value
    }

    private mutating func arithmetic(_ operations: [String], _ level: Int) throws(TemplateError)
        -> TemplateNode
    {
        var left = try binary(level + 1)
        while case .mark(let mark) = token, operations.contains(mark) {
            advance()
            let right = try binary(level + 1)
            left = try node(.arithmetic(mark, left, right), over: max(left.depth, right.depth))
        }
        return left
    }

    private mutating func concatenation() throws(TemplateError) -> TemplateNode {
        var parts = [try binary(5)]
        while take(mark: "~") { parts.append(try binary(5)) }
        return parts.count == 1 ? parts[0] : try node(.concatenation(parts), over: deepest(parts))
    }

    private mutating func comparison() throws(TemplateError) -> TemplateNode {
        let first = try binary(3)
        var rest: [(operation: String, operand: TemplateNode)] = []
        while let operation = comparisonOperator() { rest.append((operation, try binary(3))) }
        guard !rest.isEmpty else { return first }
        return try node(.comparison(first, rest), over: max(first.depth, deepest(rest.map(\.operand))))
    }

    private mutating func comparisonOperator() -> String? {
        switch token {
        case .mark(let mark) where ["==", "!=", "<", "<=", ">", ">="].contains(mark):
            advance()
            return mark
        case .name("in"):
            advance()
            return "in"
        case .name("not") where following == .name("in"):
            advance()
            advance()
            return "not in"
        default: return nil
        }
    }

    private mutating func unary(takesFilters: Bool) throws(TemplateError) -> TemplateNode {
        var signs: [Bool] = []
        while token == .mark("-") || token == .mark("+") {
            signs.append(token == .mark("-"))
            advance()
        }
        var value = try postfix(try primary())
        for negative in signs.reversed() {
            value = try postfix(try node(.sign(value, negative: negative), over: value.depth))
        }
        guard takesFilters else { return value }
        while true {
            if take(mark: "|") {
                let call = try filterCall()
                value = try node(.filter(value, call), over: max(value.depth, call.depth))
            } else if take(.name("is")) {
                value = try test(of: value)
            } else if token == .mark("(") {
                value = try call(value)
            } else {
                return value
            }
        }
    }

    private mutating func primary() throws(TemplateError) -> TemplateNode {
        switch token {
        case .name(let name):
            advance()
            switch name {
            case "true", "True": return try node(.constant(.bool(true)), over: 0)
            case "false", "False": return try node(.constant(.bool(false)), over: 0)
            case "none", "None": return try node(.constant(.null), over: 0)
            default:
                mentioned.insert(name)
                return try node(.name(name), over: 0)
            }
        case .string(var text):
            advance()
            while case .string(let more) = token {
                text += more
                advance()
            }
            return try node(.constant(.string(text)), over: 0)
        case .integer(let value):
            advance()
            return try node(.constant(.int(value)), over: 0)
        case .float(let value):
            advance()
            return try node(.constant(.double(value)), over: 0)
        case .mark("("):
            advance()
            let value = try tuple(isEmptyAllowed: true)
            try expect(.mark(")"))
            return value
        case .mark("["):
            advance()
            let items = try list(until: "]")
            return try node(.list(items), over: deepest(items))
        case .mark("{"):
            advance()
            return try dict()
        default: throw fault("unexpected \(token.named)")
        }
    }

    private mutating func list(until end: String) throws(TemplateError) -> [TemplateNode] {
        var items: [TemplateNode] = []
        while !take(mark: end) {
            if !items.isEmpty {
                try expect(.mark(","))
                if take(mark: end) { break }
            }
            items.append(try expression())
        }
        return items
    }

    private mutating func dict() throws(TemplateError) -> TemplateNode {
        var pairs: [(key: TemplateNode, value: TemplateNode)] = []
        while !take(mark: "}") {
            if !pairs.isEmpty {
                try expect(.mark(","))
                if take(mark: "}") { break }
            }
            let key = try expression()
            try expect(.mark(":"))
            pairs.append((key, try expression()))
        }
        return try node(.dict(pairs), over: deepest(pairs.flatMap { [$0.key, $0.value] }))
    }

    private mutating func postfix(_ base: TemplateNode) throws(TemplateError) -> TemplateNode {
        var value = base
        while true {
            if take(mark: ".") {
                switch token {
                case .name(let name): value = try node(.attribute(value, name), over: value.depth)
                case .integer(let index):
                    let position = try node(.constant(.int(index)), over: 0)
                    value = try node(.item(value, position), over: value.depth)
                default: throw fault("expected a name or number, found \(token.named)")
                }
                advance()
            } else if take(mark: "[") {
                value = try subscripted(value)
            } else if token == .mark("(") {
                value = try call(value)
            } else {
                return value
            }
        }
    }

    /// Reads `index]` or `start:stop:step]`.
    private mutating func subscripted(_ value: TemplateNode) throws(TemplateError) -> TemplateNode {
        func isBoundary(_ token: TemplateToken) -> Bool { token == .mark(":") || token == .mark("]") }
        let start = isBoundary(token) ? nil : try expression()
        guard take(mark: ":") else {
            guard let start else { throw fault("expected an index, found \(token.named)") }
            guard token != .mark(",") else { throw fault("unsupported index of several parts") }
            try expect(.mark("]"))
            return try node(.item(value, start), over: max(value.depth, start.depth))
        }
        let stop = isBoundary(token) ? nil : try expression()
        let step = take(mark: ":") && !isBoundary(token) ? try expression() : nil
        try expect(.mark("]"))
        let depth = deepest([value] + [start, stop, step].compactMap(\.self))
        return try node(.slice(value, start: start, stop: stop, step: step), over: depth)
    }

    private mutating func call(_ value: TemplateNode) throws(TemplateError) -> TemplateNode {
        let call = try arguments(of: "")
        return try node(.call(value, call), over: max(value.depth, call.depth))
    }

    private mutating func arguments(of name: String) throws(TemplateError) -> TemplateCall {
        var call = TemplateCall(name: name)
        var isFirst = true
        try expect(.mark("("))
        while !take(mark: ")") {
            if !isFirst {
                try expect(.mark(","))
                if take(mark: ")") { break }
            }
            isFirst = false
            guard call.namedSpread == nil else { throw fault("an argument after '**'") }
            if take(mark: "*") {
                guard call.spread == nil else { throw fault("a second '*' argument") }
                call.spread = try expression()
            } else if take(mark: "**") {
                call.namedSpread = try expression()
            } else if case .name(let parameter) = token, following == .mark("=") {
                advance()
                advance()
                call.named.append((parameter, try expression()))
            } else {
                guard call.named.isEmpty, call.spread == nil else {
                    throw fault("an argument without a name after one with a name")
                }
                call.positional.append(try expression())
            }
        }
        return call
    }

    mutating func filterCall() throws(TemplateError) -> TemplateCall {
        let line = line
        let name = try name()
        guard branches > 0 || TemplateRun.filters[name] != nil else {
            throw TemplateError(template: template, line: line, reason: "unsupported filter '\(name)'")
        }
        return token == .mark("(") ? try arguments(of: name) : TemplateCall(name: name)
    }

    private mutating func test(of value: TemplateNode) throws(TemplateError) -> TemplateNode {
        let isNegated = take(.name("not"))
        let line = line
        let name = try name()
        guard branches > 0 || TemplateRun.testNames.contains(name) else {
            throw TemplateError(template: template, line: line, reason: "unsupported test '\(name)'")
        }
        var call = TemplateCall(name: name)
        switch token {
        case .mark("("): call = try arguments(of: name)
        case .name("else"), .name("or"), .name("and"): break
        case .name("is"): throw fault("tests cannot be chained")
        case .name, .string, .integer, .float, .mark("["), .mark("{"):
            call.positional = [try postfix(try primary())]
        default: break
        }
        let result = try node(.test(value, call), over: max(value.depth, call.depth))
        return isNegated ? try node(.not(result), over: result.depth) : result
    }
}
