import SCXInference

/// A value while a template is rendered, with Python's meaning.
///
/// Lists and dicts never change once made, as in the environment that templates are written for; a namespace does.
enum TemplateValue {
    /// What nothing has: prints as nothing, and using it says why it is missing.
    case undefined(String)
    case none
    case bool(Bool)
    case int(Int)
    case float(Double)
    case string(String)
    case list(TemplateList)
    case dict(TemplateDict)
    case namespace(TemplateNamespace)
    case loop(TemplateLoopState)
    case macro(TemplateClosure)
    /// A function that every template sees, by its name.
    case function(String)
    case method(TemplateMethod)
    case turns(TemplateTurns)

    /// Levels of values inside values; bounded, so that walking over a value cannot exhaust the stack.
    var depth: Int {
        switch self {
        case .list(let list): list.depth
        case .dict(let dict): dict.depth
        case .loop(let loop): loop.depth
        case .method(let method): method.receiver.depth + 1
        case .turns(let turns): (turns.items.map(\.depth).max() ?? 0) + 1
        default: 0
        }
    }

    /// The Python type, as errors name it.
    var typeName: String {
        switch self {
        case .undefined: "undefined"
        case .none: "None"
        case .bool: "bool"
        case .int: "int"
        case .float: "float"
        case .string: "str"
        case .list(let list): list.isTuple ? "tuple" : list.kind.rawValue
        case .dict: "dict"
        case .namespace: "namespace"
        case .loop: "loop"
        case .macro: "macro"
        case .function: "function"
        case .method: "method"
        case .turns(let turns): turns.kind.rawValue
        }
    }

    var isUndefined: Bool { if case .undefined = self { true } else { false } }

    /// The number that arithmetic sees: truth values count as 0 and 1.
    var integer: Int? {
        switch self {
        case .int(let value): value
        case .bool(let value): value ? 1 : 0
        default: nil
        }
    }

    var number: Double? {
        if case .float(let value) = self { value } else { integer.map(Double.init) }
    }

    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .bool(let value): value
        case .int(let value): value != 0
        case .float(let value): value != 0
        case .string(let value): !value.isEmpty
        case .list(let list): list.kind == .generator || !list.items.isEmpty
        case .dict(let dict): !dict.members.isEmpty
        case .namespace, .loop, .macro, .function, .method, .turns: true
        }
    }
}

/// Values in a row.
final class TemplateList {
    enum Kind: String {
        case list
        case tuple
        case range
        /// What `groupby` gives: a tuple whose parts have the names `grouper` and `list`.
        case group
        /// What `dict.items()` and its like give: has a length and no positions.
        case view
        /// What filters like `map` give: can be walked over once, has no length and no positions.
        case generator
    }

    let kind: Kind
    private(set) var items: [TemplateValue]
    let depth: Int

    /// Only `TemplateRun.list` makes lists, which bounds their depth.
    init(_ kind: Kind, _ items: [TemplateValue], depth: Int) {
        self.kind = kind
        self.items = items
        self.depth = depth
    }

    var hasPositions: Bool { kind == .list || isTuple || kind == .range }
    var isTuple: Bool { kind == .tuple || kind == .group }

    /// The items; a generator has none left afterwards.
    func walk() -> [TemplateValue] {
        defer { if kind == .generator { items = [] } }
        return items
    }
}

/// Names and values in the order in which they were first written.
final class TemplateDict {
    let members: [(key: TemplateValue, value: TemplateValue)]
    let depth: Int
    /// Places of the members whose name is a string, by its bytes: Swift's strings compare by meaning, Python's by
    /// code point.
    private let places: [[UInt8]: Int]

    init(_ members: [(key: TemplateValue, value: TemplateValue)], depth: Int) {
        self.members = members
        self.depth = depth
        guard members.count > 8 else {
            places = [:]
            return
        }
        var places: [[UInt8]: Int] = [:]
        for (place, member) in members.enumerated() {
            if case .string(let key) = member.key { places[Array(key.utf8)] = place }
        }
        self.places = places
    }

    subscript(_ name: String) -> TemplateValue? {
        if members.count > 8 { return places[Array(name.utf8)].map { members[$0].value } }
        for member in members {
            if case .string(let key) = member.key, key.equalsBytes(of: name) { return member.value }
        }
        return nil
    }
}

/// Attributes that a template may write to, from any loop or macro.
final class TemplateNamespace {
    var attributes: [(name: String, value: TemplateValue)] = []

    subscript(_ name: String) -> TemplateValue? {
        get { attributes.first { $0.name == name }?.value }
        set {
            let place = attributes.firstIndex { $0.name == name }
            if let place, let newValue {
                attributes[place].value = newValue
            } else if let newValue {
                attributes.append((name, newValue))
            }
        }
    }
}

/// Variables of a loop, macro or block, inside those around it.
final class TemplateScope {
    var variables: [String: TemplateValue] = [:]
    let parent: TemplateScope?

    init(inside parent: TemplateScope?) { self.parent = parent }

    func find(_ name: String) -> TemplateValue? {
        var scope: TemplateScope? = self
        while let current = scope {
            if let value = current.variables[name] { return value }
            scope = current.parent
        }
        return nil
    }
}

/// A macro and the variables around its definition.
final class TemplateClosure {
    let macro: TemplateMacro
    let scope: TemplateScope

    init(_ macro: TemplateMacro, _ scope: TemplateScope) {
        self.macro = macro
        self.scope = scope
    }
}

/// A method of a value, not called yet.
final class TemplateMethod {
    let receiver: TemplateValue
    let name: String

    init(_ receiver: TemplateValue, _ name: String) {
        self.receiver = receiver
        self.name = name
    }
}

/// What `cycler` and `joiner` give: values that take turns.
final class TemplateTurns {
    enum Kind: String {
        /// Gives one value after the other, round and round.
        case cycler
        /// Gives nothing the first time, then its value.
        case joiner
    }

    let kind: Kind
    let items: [TemplateValue]
    var place = 0

    init(_ items: [TemplateValue], _ kind: Kind) { (self.items, self.kind) = (items, kind) }

    var current: TemplateValue { items[place % items.count] }
}

/// Where a `for` stands.
///
/// Items are tested by the loop's filter as they are reached, since the body may change what
/// the filter reads.
final class TemplateLoopState {
    private var items: [TemplateValue]
    private var place = 0
    private var accepts: ((TemplateValue) throws(TemplateError) -> Bool)?
    let depth: Int
    /// For a recursive loop: what calling `loop` does.
    let statement: TemplateLoop
    let scope: TemplateScope
    let level: Int

    private(set) var index0 = -1
    private(set) var current: TemplateValue?
    private(set) var previous: TemplateValue?
    private var peeked: TemplateValue?
    var lastChanged: [TemplateValue]?

    init(
        _ items: [TemplateValue], depth: Int, statement: TemplateLoop, scope: TemplateScope, level: Int,
        accepts: ((TemplateValue) throws(TemplateError) -> Bool)?
    ) {
        self.items = items
        self.depth = depth
        self.statement = statement
        self.scope = scope
        self.level = level
        self.accepts = accepts
    }

    func next() throws(TemplateError) -> TemplateValue? {
        let following = try peek()
        peeked = nil
        if index0 >= 0 { previous = current }
        current = following
        if following != nil { index0 += 1 }
        return following
    }

    func peek() throws(TemplateError) -> TemplateValue? {
        while peeked == nil, place < items.count {
            let item = items[place]
            place += 1
            if let accepts, !(try accepts(item)) { continue }
            peeked = item
        }
        return peeked
    }

    /// The number of items, which tests all that are left.
    func count() throws(TemplateError) -> Int {
        let following = try peek()
        if let accepts {
            var rest: [TemplateValue] = []
            for item in items[place...] where try accepts(item) { rest.append(item) }
            items = rest
            place = 0
            self.accepts = nil
        }
        return index0 + 1 + (following == nil ? 0 : 1) + items.count - place
    }

    /// Lets go of everything, so that no value holds the loop that holds the value.
    func clear() {
        items = []
        place = 0
        accepts = nil
        (current, previous, peeked, lastChanged) = (nil, nil, nil, nil)
    }
}
