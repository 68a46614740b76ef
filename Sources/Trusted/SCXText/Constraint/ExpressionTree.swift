/// A regular expression as read: nodes that name others by their places.
struct ExpressionTree {
    enum Node {
        case nothing
        /// A place in `sets`.
        case set(Int)
        case sequence([Int])
        case choice([Int])
        case repeated(Int, atLeast: Int, atMost: Int?)
        /// Any characters up to the end of the text.
        case rest
    }

    private(set) var nodes: [Node] = []
    private(set) var sets: [ScalarSet] = []
    private var setOf: [ScalarSet: Int] = [:]
    /// Characters that each node's text is made of when repetitions are written out.
    private(set) var sizes: [Int] = []
    /// Levels of nodes: bounds the recursion of whoever walks over them.
    private(set) var depths: [Int] = []

    /// More characters than any expression may become.
    static let mostCharacters = 20_000

    mutating func add(_ node: Node) -> Int {
        nodes.append(node)
        let inside: [Int]
        var size = 1
        switch node {
        case .nothing, .set, .rest: inside = []
        case .sequence(let parts), .choice(let parts):
            inside = parts
            size = parts.reduce(1) { min($0 + sizes[$1], Self.mostCharacters + 1) }
        case .repeated(let body, let least, let most):
            inside = [body]
            let rounds = max(most ?? least + 1, 1)
            let (product, overflow) = sizes[body].multipliedReportingOverflow(by: rounds)
            size = overflow ? Self.mostCharacters + 1 : min(product + 1, Self.mostCharacters + 1)
        }
        sizes.append(size)
        depths.append(1 + (inside.map { depths[$0] }.max() ?? 0))
        return nodes.count - 1
    }

    mutating func add(_ set: ScalarSet) -> Int {
        let set = set.intersection(.all)
        if let known = setOf[set] { return add(.set(known)) }
        sets.append(set)
        setOf[set] = sets.count - 1
        return add(.set(sets.count - 1))
    }
}
