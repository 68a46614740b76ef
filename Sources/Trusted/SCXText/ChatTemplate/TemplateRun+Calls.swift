import SCXInference

/// Calls of what the template itself defines, and of the functions that every template sees.
extension TemplateRun {
    /// Calls what an expression gives.
    ///
    /// - Parameters:
    ///   - callee: The expression.
    ///   - call: With what it is called.
    ///   - caller: The macro of a `call` block.
    /// - Returns: What the call gives.
    /// - Throws: Why there is nothing to call, and what the call throws.
    func call(
        _ callee: TemplateNode, _ call: TemplateCall, caller: TemplateValue? = nil
    ) throws(TemplateError) -> TemplateValue {
        let function = try evaluate(callee)
        if case .function("raise_exception") = function {
            // The text may hold a message's content unless it stands in the template as it is.
            if call.positional.count == 1, case .constant(.string(let text)) = call.positional[0].kind {
                throw fault(text)
            }
            throw fault("the template rejects these messages")
        }
        var arguments = try arguments(call)
        if let caller { arguments.named.append(("caller", caller)) }
        switch function {
        case .function(let name): return try self.function(name, arguments)
        case .method(let method): return try self.call(method, arguments)
        case .macro(let closure): return try made(try self.call(closure, arguments))
        case .loop(let loop):
            guard arguments.positional.count == 1, arguments.named.isEmpty else {
                throw fault("'loop' takes one argument")
            }
            return try made(try recurse(loop, over: arguments.positional[0]))
        case .turns(let turns) where turns.kind == .joiner:
            guard arguments.positional.isEmpty, arguments.named.isEmpty else {
                throw fault("a joiner takes no argument")
            }
            defer { turns.place += 1 }
            return turns.place == 0 ? .string("") : turns.items[0]
        case .undefined(let reason):
            if case .name("lipsum") = callee.kind { throw fault("unsupported function 'lipsum'") }
            throw fault(reason)
        default: throw fault("\(function.typeName) cannot be called")
        }
    }

    /// What calling `loop` in a recursive loop writes.
    func recurse(_ loop: TemplateLoopState, over sequence: TemplateValue) throws(TemplateError) -> String {
        guard loop.statement.isRecursive else { throw fault("the loop is not marked 'recursive'") }
        try enter()
        defer { leave() }
        let outer = output
        defer { output = outer }
        output = ""
        try run(loop.statement, over: sequence, scope: loop.scope, level: loop.level + 1)
        return output
    }

    func call(_ closure: TemplateClosure, _ arguments: TemplateArguments) throws(TemplateError) -> String {
        let macro = closure.macro
        try enter()
        defer { leave() }
        let outer = scope
        defer { scope = outer }
        let inner = TemplateScope(inside: closure.scope)
        scope = inner
        guard macro.takesMore || arguments.positional.count <= macro.parameters.count else {
            throw fault("macro '\(macro.name)' takes at most \(macro.parameters.count) arguments")
        }
        var named = arguments.named
        for (place, parameter) in macro.parameters.enumerated() {
            let given = named.firstIndex { $0.name == parameter.name }
            if place < arguments.positional.count {
                guard given == nil else { throw fault("two values for '\(parameter.name)'") }
                inner.variables[parameter.name] = arguments.positional[place]
            } else if let given {
                inner.variables[parameter.name] = named.remove(at: given).value
            } else if let fallback = parameter.fallback {
                inner.variables[parameter.name] = try evaluate(fallback)
            } else {
                inner.variables[parameter.name] = .undefined("parameter '\(parameter.name)' was not provided")
            }
        }
        if macro.takesCaller, !macro.parameters.contains(where: { $0.name == "caller" }) {
            let given = named.firstIndex { $0.name == "caller" }
            inner.variables["caller"] =
                given.map { named.remove(at: $0).value } ?? .undefined("No caller defined")
        }
        if macro.takesMore {
            let rest = arguments.positional.dropFirst(macro.parameters.count)
            inner.variables["varargs"] = try list(Array(rest), .tuple)
        }
        if macro.takesMoreNamed {
            inner.variables["kwargs"] = try dict(named.map { (key: .string($0.name), value: $0.value) })
        } else if !named.isEmpty {
            throw fault("macro '\(macro.name)' has no such parameter")
        }
        return try captured(macro.body, in: inner)
    }

    // MARK: Functions

    static let functionNames: Set<String> = [
        "range", "dict", "namespace", "raise_exception", "strftime_now", "cycler", "joiner",
    ]

    private func function(_ name: String, _ arguments: TemplateArguments) throws(TemplateError)
        -> TemplateValue
    {
        switch name {
        case "range": return try range(arguments)
        case "strftime_now":
            let bound = try bind(arguments, ["format"], required: 1, name)
            return try made(try clock().formatted(try text(bound[0], name), fault: fault))
        case "cycler":
            guard !arguments.positional.isEmpty, arguments.named.isEmpty else {
                throw fault("'cycler' needs values")
            }
            return .turns(TemplateTurns(arguments.positional, .cycler))
        case "joiner":
            let separator = try bind(arguments, ["sep"], name)[0] ?? .string(", ")
            return .turns(TemplateTurns([separator], .joiner))
        default:
            guard arguments.positional.count <= 1 else { throw fault("'\(name)' takes at most one dict") }
            var members: [(key: TemplateValue, value: TemplateValue)] = []
            switch arguments.positional.first {
            case nil: break
            case .dict(let dict): members = dict.members
            case .some(let pairs):
                for pair in try items(of: pairs) {
                    let parts = try items(of: pair)
                    guard parts.count == 2 else { throw fault("'\(name)' needs pairs") }
                    members.append((parts[0], parts[1]))
                }
            }
            members += arguments.named.map { (key: .string($0.name), value: $0.value) }
            guard name == "namespace" else { return try dict(members) }
            let namespace = namespace()
            for member in members {
                guard case .string(let attribute) = member.key else { throw fault("a namespace needs names") }
                namespace[attribute] = member.value
            }
            return .namespace(namespace)
        }
    }

    private func range(_ arguments: TemplateArguments) throws(TemplateError) -> TemplateValue {
        var numbers: [Int] = []
        for argument in arguments.positional {
            guard let number = argument.integer else { throw fault("'range' needs integers") }
            numbers.append(number)
        }
        guard (1...3).contains(numbers.count), arguments.named.isEmpty else {
            throw fault("'range' takes one to three integers")
        }
        let (start, stop) = numbers.count == 1 ? (0, numbers[0]) : (numbers[0], numbers[1])
        let step = numbers.count == 3 ? numbers[2] : 1
        guard step != 0 else { throw fault("a range's step is zero") }
        let span =
            step > 0 ? stop.subtractingReportingOverflow(start) : start.subtractingReportingOverflow(stop)
        guard !span.overflow,
            span.partialValue <= 0
                || (span.partialValue - 1) / Int(clamping: step.magnitude) < Self.longestRange
        else { throw fault("a range of more than \(Self.longestRange) numbers") }
        return try list(stride(from: start, to: stop, by: step).map { .int($0) }, .range)
    }
}
