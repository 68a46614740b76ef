extension GrammarBuilder {
    /// Adds the parts of a list in order: a chain for when none was written yet, and one for later ones.
    mutating func emit(
        list parts: [Grammar.Part], _ separator: String, next: Int32, depth: Int
    ) throws(ConstraintError) -> Int32 {
        let firstRequired = parts.firstIndex(where: \.isRequired) ?? parts.count
        var (first, later) = (next, next)
        for (index, part) in parts.enumerated().reversed() {
            let alone = index <= firstRequired ? try emit(part.grammar, next: later, depth: depth) : nil
            if index > 0 {
                let one = try emit(part.grammar, next: later, depth: depth)
                let following = try emit(.literal(separator), next: one, depth: depth)
                later = part.isRequired ? following : try split([following, later])
            }
            if let alone { first = part.isRequired ? alone : try split([alone, first]) }
        }
        return first
    }

    /// Adds a grammar several times, from the last time to the first.
    mutating func emit(
        repeated body: Grammar, _ separator: String, _ least: Int, _ most: Int?, next: Int32, depth: Int
    ) throws(ConstraintError) -> Int32 {
        if let most, most < max(least, 1) {
            guard most >= least else { throw .impossible }
            return next
        }
        // Where as many were written as have to be told apart: after that many any number may follow, or none.
        let last = most ?? max(least, 1)
        var after = next
        if most == nil {
            after = try add(Node(kind: .split))
            let one = try emit(body, next: after, depth: depth)
            let following = try emit(.literal(separator), next: one, depth: depth)
            nodes[Int(after)] = try splitNode([following, next])
        }
        for count in (1..<last).reversed() {
            let one = try emit(body, next: after, depth: depth)
            let following = try emit(.literal(separator), next: one, depth: depth)
            after = count >= least ? try split([following, next]) : following
        }
        let first = try emit(body, next: after, depth: depth)
        return least == 0 ? try split([first, next]) : first
    }
}
