import SCXInference

/// The JSON values of a schema's document, each with a number by which everything else names it.
///
/// A value has a higher number than the one that holds it, and the values of one list or object follow each other.
final class SchemaDocument {
    struct Node {
        let json: JSON
        /// The value that holds it; -1 for the document.
        let parent: Int32
        /// Its place there.
        let place: Int32
        let depth: Int32
        var children: Range<Int32> = 0..<0
    }

    private(set) var nodes: [Node]
    private let budget: CompilationBudget
    /// For objects of many members, the last member of each name.
    private var members: [Int32: [String: Int32]] = [:]
    private var views: [Int32: SchemaView] = [:]
    private var targets: [String: Int32] = [:]
    private var valueOf: [Int32: Int32] = [:]
    private var valueNumbers: [ValueKey: Int32] = [:]

    /// Deepest nesting of values.
    static let deepest: Int32 = 128

    /// Numbers all values.
    ///
    /// - Throws: ``ConstraintError`` for a document that is too large or nested too deep.
    init(_ json: JSON, _ budget: CompilationBudget) throws(ConstraintError) {
        self.budget = budget
        nodes = [Node(json: json, parent: -1, place: 0, depth: 0)]
        var next = 0
        while next < nodes.count {
            let node = nodes[next]
            try budget.spend(valueOf: Self.bytes(of: node))
            guard node.depth < Self.deepest else {
                throw .schema(pointer: "#", keyword: "", reason: "is nested too deep")
            }
            let first = Int32(nodes.count)
            let children = node.json.array ?? node.json.object?.map(\.value) ?? []
            for (place, child) in children.enumerated() {
                nodes.append(
                    Node(json: child, parent: Int32(next), place: Int32(place), depth: node.depth + 1))
            }
            nodes[next].children = first..<Int32(nodes.count)
            next += 1
        }
    }

    private static func bytes(of node: Node) -> Int {
        switch node.json {
        case .null, .bool, .int, .double: 4
        case .string(let text): text.utf8.count + 2
        case .array: 2
        case .object(let members): members.reduce(2) { $0 + $1.name.utf8.count + 3 }
        }
    }

    func json(_ node: Int32) -> JSON { nodes[Int(node)].json }

    func children(of node: Int32) -> Range<Int32> { nodes[Int(node)].children }

    /// The name of a member.
    func name(of node: Int32) -> String {
        let own = nodes[Int(node)]
        guard own.parent >= 0, let members = nodes[Int(own.parent)].json.object else { return "" }
        return members[Int(own.place)].name
    }

    /// The member of an object; of equal names the last.
    func member(_ name: String, of node: Int32) -> Int32? {
        guard let list = json(node).object else { return nil }
        let children = children(of: node)
        guard list.count > 8 else {
            return list.lastIndex { $0.name == name }.map { children.lowerBound + Int32($0) }
        }
        if members[node] == nil {
            var index: [String: Int32] = [:]
            for (place, member) in list.enumerated() {
                index[member.name] = children.lowerBound + Int32(place)
            }
            members[node] = index
        }
        return members[node]?[name]
    }

    /// The JSON pointer of a value.
    func pointer(to node: Int32) -> String {
        var parts: [String] = []
        var node = node
        while nodes[Int(node)].parent >= 0 {
            let own = nodes[Int(node)]
            let isMember = nodes[Int(own.parent)].json.object != nil
            let name = isMember ? name(of: node) : "\(own.place)"
            parts.append(name.replacing("~", with: "~0").replacing("/", with: "~1"))
            node = own.parent
        }
        return (["#"] + parts.reversed()).joined(separator: "/")
    }

    func error(_ node: Int32, _ keyword: String, _ reason: String) -> ConstraintError {
        .schema(pointer: pointer(to: node), keyword: keyword, reason: reason)
    }

    /// The keywords of a schema.
    ///
    /// - Throws: ``ConstraintError`` for keywords that are refused or given twice.
    func view(_ node: Int32) throws(ConstraintError) -> SchemaView {
        if let known = views[node] { return known }
        let view = try SchemaView(node, in: self, budget)
        views[node] = view
        return view
    }

    /// The schema that the `$ref` of a schema names.
    func target(of reference: String, in schema: Int32) throws(ConstraintError) -> Int32 {
        if let known = targets[reference] { return known }
        try budget.spend(1 + reference.utf8.count)
        var target: Int32 = 0
        let parts = reference.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.first == "#" else {
            throw error(schema, "$ref", "is no pointer into this schema ('#/…')")
        }
        for part in parts.dropFirst() {
            try budget.spend()
            let name = part.replacing("~1", with: "/").replacing("~0", with: "~")
            let next: Int32?
            if json(target).array != nil {
                let children = children(of: target)
                let place = Int(name).flatMap { (0..<children.count).contains($0) ? Int32($0) : nil }
                next = place.map { children.lowerBound + $0 }
            } else {
                next = member(String(name), of: target)
            }
            guard let next else { throw error(schema, "$ref", "names nothing in this schema") }
            target = next
        }
        targets[reference] = target
        return target
    }
}

// MARK: Values that are the same

extension SchemaDocument {
    private enum ValueKey: Hashable {
        case null
        case bool(Bool)
        case int(Int)
        case double(Double)
        case string(String)
        case array([Int32])
        case object([Member])

        struct Member: Hashable {
            let name: String
            let value: Int32
        }
    }

    /// A number that two values share exactly when JSON Schema takes them for the same.
    ///
    /// Recurses as deep as the document nests.
    func value(_ node: Int32) throws(ConstraintError) -> Int32 {
        if let known = valueOf[node] { return known }
        try budget.spend()
        let key: ValueKey
        switch json(node) {
        case .null: key = .null
        case .bool(let flag): key = .bool(flag)
        case .int(let number):
            key = Int(exactly: Double(number)) == number ? .double(Double(number)) : .int(number)
        case .double(let number): key = .double(number == 0 ? 0 : number)
        case .string(let text): key = .string(text)
        case .array:
            var parts: [Int32] = []
            for child in children(of: node) { parts.append(try value(child)) }
            key = .array(parts)
        case .object:
            var parts: [ValueKey.Member] = []
            for child in children(of: node) {
                parts.append(.init(name: name(of: child), value: try value(child)))
            }
            key = .object(parts.sorted { ($0.name, $0.value) < ($1.name, $1.value) })
        }
        let number = valueNumbers[key] ?? Int32(valueNumbers.count)
        valueNumbers[key] = number
        valueOf[node] = number
        return number
    }
}
