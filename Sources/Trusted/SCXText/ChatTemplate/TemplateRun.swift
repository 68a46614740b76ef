import SCXInference

/// One rendering of a template.
///
/// Templates come from strangers, so a rendering has a budget: of steps, of text read and made, of nested calls.
final class TemplateRun {
    static let mostSteps = 2_000_000
    static let mostOutput = 64 << 20
    /// Bytes of text that all operations together may read or make.
    static let mostText = 1 << 30
    static let deepestCalls = 400
    static let deepestValue = 64
    static let longestRange = 100_000

    private let template: String
    let clock: () -> TemplateDate
    /// Of the statement that runs.
    var line = 0
    private var steps = 0
    private var text = 0
    private var calls = 0
    private var nextCheck = 0
    private let isInterrupted = Interruption.check
    var output = ""
    var scope = TemplateScope(inside: nil)
    // Whatever may be part of a cycle of references is emptied at the end.
    private var namespaces: [TemplateNamespace] = []
    private var keptScopes: [TemplateScope] = []

    init(template: String, clock: @escaping () -> TemplateDate) {
        self.template = template
        self.clock = clock
    }

    func render(_ body: [TemplateStatement], with variables: [JSON.Member]) throws(TemplateError) -> String {
        defer {
            for namespace in namespaces { namespace.attributes = [] }
            for scope in keptScopes { scope.variables = [:] }
            scope.variables = [:]
        }
        for variable in variables { scope.variables[variable.name] = try value(of: variable.value) }
        scope = TemplateScope(inside: scope)
        _ = try run(body)
        return output
    }

    // MARK: Budget

    func fault(_ reason: String) -> TemplateError {
        TemplateError(template: template, line: line, reason: reason)
    }

    func spend(steps count: Int) throws(TemplateError) {
        guard count <= Self.mostSteps - steps else {
            throw fault("too much work: over \(Self.mostSteps) steps")
        }
        steps += count
        try stopIfInterrupted()
    }

    /// Asks now and then whether the text is still wanted.
    private func stopIfInterrupted() throws(TemplateError) {
        guard steps + text / 1024 >= nextCheck else { return }
        nextCheck = steps + text / 1024 + 8192
        guard isInterrupted?() != true else { throw fault("nobody wants the text any more") }
    }

    func spend(text count: Int) throws(TemplateError) {
        guard count <= Self.mostText - text else { throw fault("too much text is read or made") }
        text += count
        try stopIfInterrupted()
    }

    func made(_ string: String) throws(TemplateError) -> TemplateValue {
        guard string.utf8.count <= Self.mostOutput else { throw fault("a text is too long") }
        try spend(text: string.utf8.count)
        return .string(string)
    }

    func list(
        _ items: [TemplateValue], _ kind: TemplateList.Kind = .list
    ) throws(TemplateError) -> TemplateValue {
        try spend(steps: items.count)
        let depth = (items.map(\.depth).max() ?? 0) + 1
        guard depth <= Self.deepestValue else { throw fault("a list is nested too deep") }
        return .list(TemplateList(kind, items, depth: depth))
    }

    /// A dict of these members; of equal names the first keeps its place and the last its value.
    func dict(_ members: [(key: TemplateValue, value: TemplateValue)]) throws(TemplateError) -> TemplateValue
    {
        try spend(steps: members.count)
        let depth = (members.map(\.value.depth).max() ?? 0) + 1
        guard depth <= Self.deepestValue else { throw fault("a dict is nested too deep") }
        var unique: [(key: TemplateValue, value: TemplateValue)] = []
        var places: [[UInt8]: Int] = [:]
        for member in members {
            switch member.key {
            case .list(let list) where list.kind == .list: throw fault("a list cannot be a key")
            case .dict, .namespace: throw fault("a dict cannot be a key")
            default: break
            }
            var place: Int?
            if case .string(let key) = member.key {
                place = places[Array(key.utf8)]
                if place == nil { places[Array(key.utf8)] = unique.count }
            } else {
                for (i, other) in unique.enumerated() where place == nil {
                    if try equal(other.key, member.key) { place = i }
                }
            }
            if let place { unique[place].value = member.value } else { unique.append(member) }
        }
        return .dict(TemplateDict(unique, depth: depth))
    }

    func value(of json: JSON, depth: Int = 0) throws(TemplateError) -> TemplateValue {
        guard depth < Self.deepestValue else { throw fault("a variable is nested too deep") }
        switch json {
        case .null: return .none
        case .bool(let value): return .bool(value)
        case .int(let value): return .int(value)
        case .double(let value): return .float(value)
        case .string(let value): return .string(value)
        case .array(let values):
            var items: [TemplateValue] = []
            for value in values { items.append(try self.value(of: value, depth: depth + 1)) }
            return try list(items)
        case .object(let members):
            var pairs: [(key: TemplateValue, value: TemplateValue)] = []
            for member in members {
                pairs.append((.string(member.name), try self.value(of: member.value, depth: depth + 1)))
            }
            return try dict(pairs)
        }
    }

    func namespace() -> TemplateNamespace {
        let namespace = TemplateNamespace()
        namespaces.append(namespace)
        return namespace
    }

    /// A macro that sees the variables of this place.
    private func closure(_ macro: TemplateMacro) -> TemplateValue {
        keptScopes.append(scope)
        return .macro(TemplateClosure(macro, scope))
    }

    /// Counts a level of nested work; the caller counts it back with `leave`.
    func enter() throws(TemplateError) {
        try spend(steps: 1)
        guard calls < Self.deepestCalls else { throw fault("nested too deep") }
        calls += 1
    }

    func leave() { calls -= 1 }

    // MARK: Statements

    private enum Flow { case onward, leave, next }

    private func write(_ string: String) throws(TemplateError) {
        guard string.utf8.count <= Self.mostOutput - output.utf8.count else {
            throw fault("the text is too long")
        }
        try spend(text: string.utf8.count)
        output += string
    }

    /// What the statements write, in a scope of their own.
    func captured(
        _ body: [TemplateStatement], in inner: TemplateScope
    ) throws(TemplateError) -> String {
        let (outerScope, outerOutput) = (scope, output)
        defer { (scope, output) = (outerScope, outerOutput) }
        scope = inner
        output = ""
        _ = try run(body)
        return output
    }

    private func run(_ body: [TemplateStatement]) throws(TemplateError) -> Flow {
        try enter()
        defer { leave() }
        for statement in body {
            try spend(steps: 1)
            line = statement.line
            let flow = try run(statement)
            guard flow == .onward else { return flow }
        }
        return .onward
    }

    private func run(_ statement: TemplateStatement) throws(TemplateError) -> Flow {
        switch statement.kind {
        case .text(let text): try write(text)
        case .output(let node): try write(try string(try evaluate(node)))
        case .branch(let branches, let otherwise):
            for branch in branches where try evaluate(branch.test).isTrue { return try run(branch.body) }
            return try run(otherwise)
        case .loop(let loop): try run(loop, over: try evaluate(loop.sequence), scope: scope, level: 0)
        case .set(let target, let node): try assign(try evaluate(node), to: target)
        case .setBlock(let target, let filters, let body):
            let text = try captured(body, in: TemplateScope(inside: scope))
            try assign(try apply(filters, to: text), to: target)
        case .macro(let macro): scope.variables[macro.name] = closure(macro)
        case .call(let node, let caller):
            guard case .call(let callee, let arguments) = node.kind else { break }
            try write(try string(try call(callee, arguments, caller: closure(caller))))
        case .filterBlock(let filters, let body):
            let text = try captured(body, in: TemplateScope(inside: scope))
            try write(try string(try apply(filters, to: text)))
        case .with(let values, let body): try with(values, body)
        case .leave: return .leave
        case .next: return .next
        }
        return .onward
    }

    private func apply(_ filters: [TemplateCall], to text: String) throws(TemplateError) -> TemplateValue {
        var value = TemplateValue.string(text)
        for filter in filters { value = try self.filter(value, filter.name, try arguments(filter)) }
        return value
    }

    private func with(
        _ values: [(target: TemplateTarget, value: TemplateNode)], _ body: [TemplateStatement]
    ) throws(TemplateError) {
        let outer = scope
        defer { scope = outer }
        var evaluated: [TemplateValue] = []
        for value in values { evaluated.append(try evaluate(value.value)) }
        scope = TemplateScope(inside: outer)
        for (value, evaluated) in zip(values, evaluated) { try assign(evaluated, to: value.target) }
        _ = try run(body)
    }

    private func assign(_ value: TemplateValue, to target: TemplateTarget) throws(TemplateError) {
        switch target {
        case .name(let name): scope.variables[name] = value
        case .attribute(let namespace, let name):
            guard case .namespace(let found) = scope.find(namespace) else {
                throw fault("'\(namespace)' is no namespace")
            }
            found[name] = value
        case .tuple(let targets):
            let items = try self.items(of: value)
            guard items.count == targets.count else {
                throw fault("\(items.count) values for \(targets.count) names")
            }
            for (item, target) in zip(items, targets) { try assign(item, to: target) }
        }
    }

    func run(
        _ statement: TemplateLoop, over sequence: TemplateValue, scope outer: TemplateScope, level: Int
    ) throws(TemplateError) {
        let restored = scope
        defer { scope = restored }
        let items = try self.items(of: sequence)
        try spend(steps: items.count)
        var accepts: ((TemplateValue) throws(TemplateError) -> Bool)?
        if let filter = statement.filter {
            accepts = { [unowned self] (item) throws(TemplateError) in
                let restored = scope
                defer { scope = restored }
                scope = TemplateScope(inside: outer)
                try assign(item, to: statement.target)
                return try evaluate(filter).isTrue
            }
        }
        let loop = TemplateLoopState(
            items, depth: sequence.depth + 1, statement: statement, scope: outer, level: level,
            accepts: accepts)
        guard loop.depth <= Self.deepestValue else { throw fault("a list is nested too deep") }
        defer { loop.clear() }
        while let item = try loop.next() {
            scope = TemplateScope(inside: outer)
            scope.variables["loop"] = .loop(loop)
            try assign(item, to: statement.target)
            if try run(statement.body) == .leave { break }
        }
        if loop.index0 < 0 {
            scope = TemplateScope(inside: outer)
            _ = try run(statement.otherwise)
        }
    }
}
