import SCXInference

/// What a filter, test, function or macro is called with.
struct TemplateArguments {
    var positional: [TemplateValue] = []
    var named: [(name: String, value: TemplateValue)] = []
}

extension TemplateRun {
    func evaluate(_ node: TemplateNode) throws(TemplateError) -> TemplateValue {
        try enter()
        defer { leave() }
        switch node.kind {
        case .constant(let json): return constant(json)
        case .name(let name): return find(name)
        case .list(let nodes): return try list(try evaluate(all: nodes))
        case .tuple(let nodes): return try list(try evaluate(all: nodes), .tuple)
        case .dict(let pairs): return try dict(pairs)
        case .attribute(let base, let name): return try attribute(name, of: try evaluate(base))
        case .item(let base, let index): return try item(try evaluate(index), of: try evaluate(base))
        case .slice(let base, let start, let stop, let step): return try slice(base, start, stop, step)
        case .call(let callee, let call): return try self.call(callee, call)
        case .filter(let base, let call):
            let value = try evaluate(base)
            return try filter(value, call.name, try arguments(call))
        case .test(let base, let call):
            let value = try evaluate(base)
            return .bool(try test(value, call.name, try arguments(call)))
        case .not(let operand): return .bool(!(try evaluate(operand).isTrue))
        case .sign(let operand, let negative): return try signed(try evaluate(operand), negative)
        case .and(let left, let right):
            let value = try evaluate(left)
            return value.isTrue ? try evaluate(right) : value
        case .or(let left, let right):
            let value = try evaluate(left)
            return value.isTrue ? value : try evaluate(right)
        case .arithmetic(let operation, let left, let right):
            let value = try evaluate(left)
            let other = try evaluate(right)
            if operation == "+", Self.isSafe(left) != Self.isSafe(right) {
                let isLeft = Self.isSafe(left)
                return try arithmetic(
                    operation, isLeft ? value : escaped(value), isLeft ? escaped(other) : other)
            }
            return try arithmetic(operation, value, other)
        case .concatenation(let parts): return try concatenate(parts)
        case .comparison(let first, let rest): return try compare(first, rest)
        case .conditional(let test, let then, let otherwise):
            return try conditional(test, then, otherwise)
        }
    }

    /// Whether the expression gives a text that is safe for HTML: what is added to it is escaped.
    ///
    /// Seen from the expression alone; a variable that holds such a text counts as plain.
    private static func isSafe(_ node: TemplateNode) -> Bool {
        switch node.kind {
        case .filter(_, let call): ["safe", "e", "escape", "forceescape"].contains(call.name)
        case .arithmetic("+", let left, let right): isSafe(left) || isSafe(right)
        default: false
        }
    }

    private func escaped(_ value: TemplateValue) -> TemplateValue {
        if case .string(let text) = value { .string(text.escapedHTML) } else { value }
    }

    private func constant(_ json: JSON) -> TemplateValue {
        switch json {
        case .bool(let value): .bool(value)
        case .int(let value): .int(value)
        case .double(let value): .float(value)
        case .string(let value): .string(value)
        default: .none
        }
    }

    private func find(_ name: String) -> TemplateValue {
        if let value = scope.find(name) { return value }
        return Self.functionNames.contains(name) ? .function(name) : .undefined("'\(name)' is undefined")
    }

    private func evaluate(all nodes: [TemplateNode]) throws(TemplateError) -> [TemplateValue] {
        var values: [TemplateValue] = []
        for node in nodes { values.append(try evaluate(node)) }
        return values
    }

    private func dict(_ pairs: [(key: TemplateNode, value: TemplateNode)]) throws(TemplateError)
        -> TemplateValue
    {
        var members: [(key: TemplateValue, value: TemplateValue)] = []
        for pair in pairs {
            let key = try evaluate(pair.key)
            members.append((key, try evaluate(pair.value)))
        }
        return try dict(members)
    }

    private func conditional(
        _ test: TemplateNode, _ then: TemplateNode, _ otherwise: TemplateNode?
    ) throws(TemplateError) -> TemplateValue {
        if try evaluate(test).isTrue { return try evaluate(then) }
        guard let otherwise else {
            return .undefined("the inline if-expression was false and has no else")
        }
        return try evaluate(otherwise)
    }

    private func concatenate(_ parts: [TemplateNode]) throws(TemplateError) -> TemplateValue {
        var text = ""
        for part in parts {
            text += try string(try evaluate(part))
            guard text.utf8.count <= Self.mostOutput else { throw fault("a text is too long") }
        }
        return try made(text)
    }

    private func compare(
        _ first: TemplateNode, _ rest: [(operation: String, operand: TemplateNode)]
    ) throws(TemplateError) -> TemplateValue {
        var left = try evaluate(first)
        for (operation, operand) in rest {
            let right = try evaluate(operand)
            let holds =
                switch operation {
                case "==": try equal(left, right)
                case "!=": !(try equal(left, right))
                case "<": try precedes(left, right)
                case ">": try precedes(right, left)
                case "<=": try precedesOrEqual(left, right)
                case ">=": try precedesOrEqual(right, left)
                case "in": try contains(right, left)
                default: !(try contains(right, left))
                }
            guard holds else { return .bool(false) }
            left = right
        }
        return .bool(true)
    }

    func arguments(_ call: TemplateCall) throws(TemplateError) -> TemplateArguments {
        var arguments = TemplateArguments(positional: try evaluate(all: call.positional))
        for argument in call.named { arguments.named.append((argument.name, try evaluate(argument.value))) }
        if let spread = call.spread { arguments.positional += try items(of: try evaluate(spread)) }
        if let spread = call.namedSpread {
            guard case .dict(let dict) = try evaluate(spread) else { throw fault("'**' needs a dict") }
            for (key, value) in dict.members {
                guard case .string(let name) = key else { throw fault("'**' needs names that are strings") }
                arguments.named.append((name, value))
            }
        }
        try spend(steps: arguments.positional.count + arguments.named.count)
        return arguments
    }

    // MARK: Attributes and items

    func attribute(_ name: String, of value: TemplateValue) throws(TemplateError) -> TemplateValue {
        switch value {
        case .undefined(let reason): throw fault(reason)
        case .loop(let loop): return try attribute(name, of: loop)
        case .namespace(let namespace):
            return namespace[name] ?? .undefined("the namespace has no attribute '\(name)'")
        case .macro(let closure) where name == "name": return .string(closure.macro.name)
        case .turns(let turns) where turns.kind == .cycler && name == "current": return turns.current
        case .list(let list) where list.kind == .group && (name == "grouper" || name == "list"):
            return list.items[name == "grouper" ? 0 : 1]
        default: break
        }
        if Self.methodNames(of: value).contains(name) { return .method(TemplateMethod(value, name)) }
        if Self.isForbidden(name, of: value) {
            return .undefined("unsupported method '\(name)': a \(value.typeName) cannot be changed")
        }
        if case .dict(let dict) = value, let found = dict[name] { return found }
        return .undefined("\(value.typeName) has no attribute '\(name)'")
    }

    func item(_ index: TemplateValue, of value: TemplateValue) throws(TemplateError) -> TemplateValue {
        switch (value, index) {
        case (.undefined(let reason), _): throw fault(reason)
        case (.dict(let dict), .string(let name)):
            if let found = dict[name] { return found }
        case (.dict(let dict), _):
            for member in dict.members where try equal(member.key, index) { return member.value }
        case (.list(let list), _) where list.hasPositions:
            if let place = index.integer.flatMap({ position($0, in: list.items.count) }) {
                return list.items[place]
            }
        case (.string(let text), .int), (.string(let text), .bool):
            try spend(text: text.utf8.count)
            let view = text.unicodeScalars
            if let place = index.integer.flatMap({ position($0, in: view.count) }) {
                return .string(String(view[view.index(view.startIndex, offsetBy: place)]))
            }
        default: break
        }
        // What is no item may be an attribute, except that a dict's own names were looked up already.
        if case .string(let name) = index {
            if case .dict = value {
                if Self.methodNames(of: value).contains(name) { return .method(TemplateMethod(value, name)) }
            } else {
                // The name may be a value: what is missing is not named.
                let found = try attribute(name, of: value)
                if !found.isUndefined { return found }
            }
        }
        return .undefined("\(value.typeName) has no such item")
    }

    private func position(_ index: Int, in count: Int) -> Int? {
        let place = index < 0 ? index + count : index
        return (0..<count).contains(place) ? place : nil
    }

    private func slice(
        _ base: TemplateNode, _ start: TemplateNode?, _ stop: TemplateNode?, _ step: TemplateNode?
    ) throws(TemplateError) -> TemplateValue {
        let value = try evaluate(base)
        let (start, stop) = (try bound(start), try bound(stop))
        let step = min(max(try bound(step) ?? 1, -Self.mostOutput), Self.mostOutput)
        guard step != 0 else { throw fault("a slice's step is zero") }
        switch value {
        case .undefined(let reason): throw fault(reason)
        case .string(let text):
            try spend(text: text.utf8.count)
            let all = Array(text.unicodeScalars)
            return try made(String(scalars: places(start, stop, step, in: all.count).map { all[$0] }))
        case .list(let list) where list.hasPositions:
            let chosen = places(start, stop, step, in: list.items.count).map { list.items[$0] }
            return try self.list(chosen, list.kind == .tuple ? .tuple : .list)
        default: return .undefined("\(value.typeName) has no such item")
        }
    }

    private func bound(_ node: TemplateNode?) throws(TemplateError) -> Int? {
        guard let node else { return nil }
        let value = try evaluate(node)
        if case .none = value { return nil }
        guard let bound = value.integer else { throw fault("a slice's bound is no integer") }
        return bound
    }

    private func places(_ start: Int?, _ stop: Int?, _ step: Int, in count: Int) -> [Int] {
        func clamped(_ bound: Int, _ low: Int, _ high: Int) -> Int {
            min(max(bound < 0 ? bound + count : bound, low), high)
        }
        let (low, high) = step > 0 ? (0, count) : (-1, count - 1)
        let first = start.map { clamped($0, low, high) } ?? (step > 0 ? 0 : count - 1)
        let end = stop.map { clamped($0, low, high) } ?? (step > 0 ? count : -1)
        return Array(stride(from: first, to: end, by: step))
    }

    private func attribute(_ name: String, of loop: TemplateLoopState) throws(TemplateError) -> TemplateValue
    {
        switch name {
        case "index": return .int(loop.index0 + 1)
        case "index0": return .int(loop.index0)
        case "first": return .bool(loop.index0 == 0)
        case "last": return .bool(try loop.peek() == nil)
        case "length": return .int(try loop.count())
        case "revindex": return .int(try loop.count() - loop.index0)
        case "revindex0": return .int(try loop.count() - loop.index0 - 1)
        case "previtem": return loop.previous ?? .undefined("there is no previous item")
        case "nextitem": return try loop.peek() ?? .undefined("there is no next item")
        case "depth": return .int(loop.level + 1)
        case "depth0": return .int(loop.level)
        case "cycle", "changed": return .method(TemplateMethod(.loop(loop), name))
        default: return .undefined("loop has no attribute '\(name)'")
        }
    }
}
