import SCXInference

/// Reads the statements of a template.
///
/// Nesting is bounded, in the text and in the trees that come out, so that neither reading nor rendering a
/// stranger's template can exhaust the stack.
struct TemplateParser {
    static let deepestNesting = 48
    static let deepestTree = 96

    let template: String
    private let tokens: [(token: TemplateToken, line: Int)]
    private var at = 0
    private var nesting = 0
    private var loops = 0
    /// Branches around this place: what they use has to exist only when they run.
    var branches = 0
    /// Names read since the innermost macro began.
    var mentioned: Set<String> = []

    static func statements(of source: String, template: String) throws(TemplateError) -> [TemplateStatement] {
        var parser = try TemplateParser(source, template)
        let body = try parser.body(until: [])
        return body
    }

    private init(_ source: String, _ template: String) throws(TemplateError) {
        self.template = template
        tokens = try TemplateLexer.tokens(of: source, template: template)
    }

    // MARK: Walking over the tokens

    var token: TemplateToken { tokens[at].token }
    var following: TemplateToken { tokens[min(at + 1, tokens.count - 1)].token }
    var line: Int { tokens[at].line }

    func fault(_ reason: String) -> TemplateError {
        TemplateError(template: template, line: line, reason: reason)
    }

    mutating func advance() { if at < tokens.count - 1 { at += 1 } }

    mutating func take(_ wanted: TemplateToken) -> Bool {
        guard token == wanted else { return false }
        advance()
        return true
    }

    mutating func take(mark: String) -> Bool { take(.mark(mark)) }

    mutating func expect(_ wanted: TemplateToken) throws(TemplateError) {
        guard take(wanted) else { throw fault("expected \(wanted.named), found \(token.named)") }
    }

    mutating func name() throws(TemplateError) -> String {
        guard case .name(let name) = token else { throw fault("expected a name, found \(token.named)") }
        advance()
        return name
    }

    mutating func enter() throws(TemplateError) {
        guard nesting < Self.deepestNesting else { throw fault("nested too deep") }
        nesting += 1
    }

    mutating func leave() { nesting -= 1 }

    func node(_ kind: TemplateNode.Kind, over depth: Int) throws(TemplateError) -> TemplateNode {
        guard depth < Self.deepestTree else { throw fault("an expression is too long") }
        return TemplateNode(kind: kind, depth: depth + 1)
    }

    // MARK: Statements

    /// Reads up to a tag of one of these names, whose `{%` and name are then read too; to the end if there are none.
    private mutating func body(until ends: [String]) throws(TemplateError) -> [TemplateStatement] {
        try enter()
        defer { leave() }
        var statements: [TemplateStatement] = []
        while true {
            let line = line
            switch token {
            case .text(let text):
                advance()
                statements.append(.init(kind: .text(text), line: line))
            case .outputBegin:
                advance()
                let value = try tuple()
                try expect(.outputEnd)
                statements.append(.init(kind: .output(value), line: line))
            case .tagBegin:
                advance()
                let tag = try name()
                if ends.contains(tag) { return statements }
                statements.append(.init(kind: try statement(tag), line: line))
                try expect(.tagEnd)
            default:
                guard ends.isEmpty else { throw fault("'\(ends[ends.count - 1])' is missing") }
                return statements
            }
        }
    }

    /// The name of the tag that ended the last body.
    private var ended: String { if case .name(let name) = tokens[at - 1].token { name } else { "" } }

    private mutating func statement(_ tag: String) throws(TemplateError) -> TemplateStatement.Kind {
        switch tag {
        case "if": return try branch()
        case "for": return try loop()
        case "set": return try set()
        case "macro": return try macro()
        case "filter": return try filterBlock()
        case "with": return try with()
        case "call": return try callBlock()
        case "generation":
            return .with([], body: try closed(by: "endgeneration"))
        case "break", "continue":
            guard loops > 0 else { throw fault("'\(tag)' outside a loop") }
            return tag == "break" ? .leave : .next
        default:
            let known = tag.hasPrefix("end") || tag == "else" || tag == "elif"
            let needsFiles = ["include", "import", "from", "extends"].contains(tag)
            throw TemplateError(
                template: template, line: tokens[at - 1].line,
                reason: known
                    ? "'\(tag)' without a beginning"
                    : "unsupported tag '\(tag)'" + (needsFiles ? ": a chat template is one text" : ""))
        }
    }

    /// A body after the end of this tag; `break` cannot leave it.
    private mutating func closed(by end: String) throws(TemplateError) -> [TemplateStatement] {
        try expect(.tagEnd)
        let outer = loops
        loops = 0
        defer { loops = outer }
        return try body(until: [end])
    }

    private mutating func branch() throws(TemplateError) -> TemplateStatement.Kind {
        var found: [(test: TemplateNode, body: [TemplateStatement])] = []
        var otherwise: [TemplateStatement] = []
        branches += 1
        defer { branches -= 1 }
        repeat {
            let test = try tuple()
            try expect(.tagEnd)
            found.append((test, try body(until: ["elif", "else", "endif"])))
        } while ended == "elif"
        if ended == "else" {
            try expect(.tagEnd)
            otherwise = try body(until: ["endif"])
        }
        return .branch(found, otherwise: otherwise)
    }

    private mutating func loop() throws(TemplateError) -> TemplateStatement.Kind {
        let target = try target(untilIn: true)
        try expect(.name("in"))
        let sequence = try tuple(conditional: false, ends: ["recursive"])
        let filter = take(.name("if")) ? try expression() : nil
        let isRecursive = take(.name("recursive"))
        try expect(.tagEnd)
        loops += 1
        let body = try body(until: ["endfor", "else"])
        loops -= 1
        var otherwise: [TemplateStatement] = []
        if ended == "else" {
            try expect(.tagEnd)
            otherwise = try self.body(until: ["endfor"])
        }
        return .loop(
            TemplateLoop(
                target: target, sequence: sequence, filter: filter, isRecursive: isRecursive, body: body,
                otherwise: otherwise))
    }

    private mutating func set() throws(TemplateError) -> TemplateStatement.Kind {
        let target = try target(untilIn: false)
        if take(mark: "=") { return .set(target, try tuple()) }
        let filters = try filterNames()
        return .setBlock(target, filters: filters, body: try closed(by: "endset"))
    }

    /// `| name(…) | name`, possibly none.
    private mutating func filterNames() throws(TemplateError) -> [TemplateCall] {
        var filters: [TemplateCall] = []
        while take(mark: "|") { filters.append(try filterCall()) }
        return filters
    }

    private mutating func filterBlock() throws(TemplateError) -> TemplateStatement.Kind {
        let filters = [try filterCall()] + (try filterNames())
        return .filterBlock(filters, body: try closed(by: "endfilter"))
    }

    private mutating func with() throws(TemplateError) -> TemplateStatement.Kind {
        var values: [(target: TemplateTarget, value: TemplateNode)] = []
        while token != .tagEnd {
            if !values.isEmpty { try expect(.mark(",")) }
            let target = try target(untilIn: false, single: true)
            try expect(.mark("="))
            values.append((target, try expression()))
        }
        try expect(.tagEnd)
        return .with(values, body: try body(until: ["endwith"]))
    }

    private mutating func macro() throws(TemplateError) -> TemplateStatement.Kind {
        let macroName = try name()
        return .macro(try macro(macroName, try signature(), until: "endmacro"))
    }

    /// Reads `(parameters) macro(…)` and the body that the macro may call.
    private mutating func callBlock() throws(TemplateError) -> TemplateStatement.Kind {
        let parameters = token == .mark("(") ? try signature() : []
        let callee = try expression()
        guard case .call = callee.kind else { throw fault("'call' needs a call of a macro") }
        return .call(callee, caller: try macro("caller", parameters, until: "endcall"))
    }

    private mutating func signature() throws(TemplateError) -> [(name: String, fallback: TemplateNode?)] {
        var parameters: [(name: String, fallback: TemplateNode?)] = []
        try expect(.mark("("))
        while !take(mark: ")") {
            if !parameters.isEmpty { try expect(.mark(",")) }
            let parameter = try name()
            if take(mark: "=") {
                parameters.append((parameter, try expression()))
            } else {
                guard parameters.last?.fallback == nil else {
                    throw fault("a parameter without a default follows one with a default")
                }
                parameters.append((parameter, nil))
            }
        }
        return parameters
    }

    /// Reads the body of a macro whose parameters are read.
    private mutating func macro(
        _ name: String, _ parameters: [(name: String, fallback: TemplateNode?)], until end: String
    ) throws(TemplateError) -> TemplateMacro {
        let outer = mentioned
        mentioned = []
        let body = try closed(by: end)
        let inner = mentioned
        mentioned = outer.union(inner)
        return TemplateMacro(
            name: name, parameters: parameters, takesMore: inner.contains("varargs"),
            takesMoreNamed: inner.contains("kwargs"), takesCaller: inner.contains("caller"), body: body)
    }

    /// One or several names, or attributes of namespaces where a `set` may write to them.
    private mutating func target(untilIn: Bool, single: Bool = false) throws(TemplateError) -> TemplateTarget
    {
        try enter()
        defer { leave() }
        var targets: [TemplateTarget] = []
        while true {
            if take(mark: "(") {
                targets.append(try target(untilIn: untilIn))
                try expect(.mark(")"))
            } else {
                let name = try name()
                let reserved = ["true", "false", "none", "True", "False", "None"]
                guard !reserved.contains(name) else { throw fault("'\(name)' cannot be assigned to") }
                if !untilIn, take(mark: ".") {
                    targets.append(.attribute(namespace: name, name: try self.name()))
                } else {
                    targets.append(.name(name))
                }
            }
            guard !single, take(mark: ",") else { return targets.count == 1 ? targets[0] : .tuple(targets) }
            if untilIn ? token == .name("in") : (token == .mark("=") || token == .mark(")")) {
                return .tuple(targets)
            }
        }
    }
}
