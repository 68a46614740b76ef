import SCXInference

/// What can be told from a template's text without rendering it.
package struct TemplateFacts: Sendable {
    /// Variables that it reads, its own ones included.
    package private(set) var names: Set<String> = []
    /// Members that it reads of any value: `x.name`, `x['name']`, `x.get('name')`, `'name' in x`.
    package private(set) var members: Set<String> = []
    /// Whether a loop walks over a message's content: then content may be a list of parts.
    private(set) var walksOverContent = false

    // What decides the last one: names and parameters that content is given to, and what loops walk over.
    private var assignments: [(name: String, value: TemplateNode)] = []
    private var calls: [(macro: String, call: TemplateCall)] = []
    private var macros: [String: [String]] = [:]
    private var sequences: [TemplateNode] = []

    init(_ body: [TemplateStatement]) {
        survey(body)
        var contents: Set<String> = []
        // A name is given to few others in turn; a stranger's template could have any number.
        for _ in 0..<8 {
            let count = contents.count
            for (name, value) in assignments where Self.isContent(value, contents) { contents.insert(name) }
            for (macro, call) in calls {
                for (parameter, value) in zip(macros[macro] ?? [], call.positional)
                where Self.isContent(value, contents) {
                    contents.insert(parameter)
                }
                for (name, value) in call.named where Self.isContent(value, contents) {
                    contents.insert(name)
                }
            }
            if count == contents.count { break }
        }
        walksOverContent = sequences.contains { Self.isContent($0, contents) }
        (assignments, calls, macros, sequences) = ([], [], [:], [])
    }

    /// Whether the expression is a message's content, or items of it.
    private static func isContent(_ node: TemplateNode, _ contents: Set<String>) -> Bool {
        switch node.kind {
        case .name(let name): contents.contains(name)
        case .attribute(_, "content"): true
        case .item(_, let index): if case .constant(.string("content")) = index.kind { true } else { false }
        case .call(let callee, let call):
            if case .attribute(_, "get") = callee.kind, let first = call.positional.first,
                case .constant(.string("content")) = first.kind
            {
                true
            } else {
                false
            }
        case .filter(let base, let call):
            ["select", "reject", "selectattr", "rejectattr", "list", "default", "d", "reverse"].contains(
                call.name) && isContent(base, contents)
        case .slice(let base, _, _, _): isContent(base, contents)
        case .conditional(_, let then, let otherwise):
            isContent(then, contents) || otherwise.map { isContent($0, contents) } ?? false
        case .or(let left, let right): isContent(left, contents) || isContent(right, contents)
        default: false
        }
    }

    // MARK: Walking over the tree, whose depth the parser bounds

    private mutating func survey(_ body: [TemplateStatement]) {
        for statement in body { survey(statement) }
    }

    private mutating func survey(_ statement: TemplateStatement) {
        switch statement.kind {
        case .text, .leave, .next: break
        case .output(let node): survey(node)
        case .branch(let branches, let otherwise):
            for branch in branches {
                survey(branch.test)
                survey(branch.body)
            }
            survey(otherwise)
        case .loop(let loop):
            survey(loop.sequence)
            sequences.append(loop.sequence)
            if let filter = loop.filter { survey(filter) }
            survey(loop.body)
            survey(loop.otherwise)
        case .set(let target, let node):
            survey(node)
            if case .name(let name) = target { assignments.append((name, node)) }
        case .setBlock(_, let filters, let body), .filterBlock(let filters, let body):
            for filter in filters { survey(filter) }
            survey(body)
        case .macro(let macro): survey(macro)
        case .call(let node, let caller):
            survey(node)
            survey(caller)
        case .with(let values, let body):
            for value in values {
                survey(value.value)
                if case .name(let name) = value.target { assignments.append((name, value.value)) }
            }
            survey(body)
        }
    }

    private mutating func survey(_ macro: TemplateMacro) {
        macros[macro.name] = macro.parameters.map(\.name)
        for parameter in macro.parameters { if let fallback = parameter.fallback { survey(fallback) } }
        survey(macro.body)
    }

    private mutating func survey(_ call: TemplateCall) {
        for node in call.positional { survey(node) }
        for argument in call.named { survey(argument.value) }
        for node in [call.spread, call.namedSpread].compactMap(\.self) { survey(node) }
    }

    private mutating func survey(_ node: TemplateNode) {
        switch node.kind {
        case .constant: break
        case .name(let name): names.insert(name)
        case .list(let nodes), .tuple(let nodes), .concatenation(let nodes):
            for node in nodes { survey(node) }
        case .dict(let pairs):
            for pair in pairs {
                survey(pair.key)
                survey(pair.value)
            }
        case .attribute(let base, let name):
            members.insert(name)
            survey(base)
        case .item(let base, let index):
            note(index)
            survey(base)
            survey(index)
        case .slice(let base, let start, let stop, let step):
            for node in [base, start, stop, step].compactMap(\.self) { survey(node) }
        case .call(let callee, let call):
            if case .attribute(_, "get") = callee.kind, let first = call.positional.first { note(first) }
            if case .name(let macro) = callee.kind { calls.append((macro, call)) }
            survey(callee)
            survey(call)
        case .filter(let base, let call), .test(let base, let call):
            survey(base)
            survey(call)
        case .not(let operand), .sign(let operand, _): survey(operand)
        case .and(let left, let right), .or(let left, let right), .arithmetic(_, let left, let right):
            survey(left)
            survey(right)
        case .comparison(let first, let rest):
            if rest.contains(where: { $0.operation.hasSuffix("in") }) { note(first) }
            survey(first)
            for part in rest { survey(part.operand) }
        case .conditional(let test, let then, let otherwise):
            for node in [test, then, otherwise].compactMap(\.self) { survey(node) }
        }
    }

    /// Notes a member that is named by a string.
    private mutating func note(_ node: TemplateNode) {
        if case .constant(.string(let name)) = node.kind { members.insert(name) }
    }
}
