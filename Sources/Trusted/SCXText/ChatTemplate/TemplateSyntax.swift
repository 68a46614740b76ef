import SCXInference

/// An expression of a template.
struct TemplateNode: Sendable {
    indirect enum Kind: Sendable {
        /// A literal: none, a truth value, a number or a string.
        case constant(JSON)
        case name(String)
        case list([TemplateNode])
        case tuple([TemplateNode])
        case dict([(key: TemplateNode, value: TemplateNode)])
        case attribute(TemplateNode, String)
        case item(TemplateNode, TemplateNode)
        case slice(TemplateNode, start: TemplateNode?, stop: TemplateNode?, step: TemplateNode?)
        case call(TemplateNode, TemplateCall)
        case filter(TemplateNode, TemplateCall)
        case test(TemplateNode, TemplateCall)
        case not(TemplateNode)
        case sign(TemplateNode, negative: Bool)
        case and(TemplateNode, TemplateNode)
        case or(TemplateNode, TemplateNode)
        case arithmetic(String, TemplateNode, TemplateNode)
        case concatenation([TemplateNode])
        case comparison(TemplateNode, [(operation: String, operand: TemplateNode)])
        case conditional(TemplateNode, then: TemplateNode, otherwise: TemplateNode?)
    }

    let kind: Kind
    /// Levels of nodes, this one included: bounds the recursion of whoever walks over it.
    let depth: Int
}

/// A name that is called and what it is called with.
struct TemplateCall: Sendable {
    /// Of the filter or test; empty for a call of a value.
    var name = ""
    var positional: [TemplateNode] = []
    var named: [(name: String, value: TemplateNode)] = []
    /// `*list` and `**dict`.
    var spread: TemplateNode?
    var namedSpread: TemplateNode?

    var depth: Int {
        let all = positional + named.map(\.value) + [spread, namedSpread].compactMap(\.self)
        return all.map(\.depth).max() ?? 0
    }
}

/// What an assignment or a loop writes to.
enum TemplateTarget: Sendable {
    case name(String)
    case attribute(namespace: String, name: String)
    case tuple([TemplateTarget])
}

/// A piece of a template that writes text or changes variables.
struct TemplateStatement: Sendable {
    indirect enum Kind: Sendable {
        case text(String)
        case output(TemplateNode)
        case branch([(test: TemplateNode, body: [TemplateStatement])], otherwise: [TemplateStatement])
        case loop(TemplateLoop)
        case set(TemplateTarget, TemplateNode)
        case setBlock(TemplateTarget, filters: [TemplateCall], body: [TemplateStatement])
        case macro(TemplateMacro)
        /// Calls a macro, which can call the block's body by the name `caller`.
        case call(TemplateNode, caller: TemplateMacro)
        case filterBlock([TemplateCall], body: [TemplateStatement])
        /// Assignments seen by the body alone; none for `generation`.
        case with([(target: TemplateTarget, value: TemplateNode)], body: [TemplateStatement])
        case leave
        case next
    }

    let kind: Kind
    let line: Int
}

/// A `for` statement.
struct TemplateLoop: Sendable {
    let target: TemplateTarget
    let sequence: TemplateNode
    let filter: TemplateNode?
    let isRecursive: Bool
    let body: [TemplateStatement]
    let otherwise: [TemplateStatement]
}

/// A `macro` statement, or the body of a `call` block.
struct TemplateMacro: Sendable {
    let name: String
    let parameters: [(name: String, fallback: TemplateNode?)]
    /// The body uses `varargs` or `kwargs`, so the macro takes any number of arguments.
    let takesMore: Bool
    let takesMoreNamed: Bool
    /// The body uses `caller`, so that a `call` block can call the macro.
    let takesCaller: Bool
    let body: [TemplateStatement]
}
