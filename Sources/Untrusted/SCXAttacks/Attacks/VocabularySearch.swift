import SCXInference

/// The search of ``VocabularyMatching``: it extends a prefix token by token so that the model gives the observed rows
/// for it.
struct VocabularySearch {
    private let model: PublicModel
    private let known: [Int: Int32]
    private let prefix: Prefix
    private(set) var findings = Findings()
    private let ranks = 16
    /// The model's logits for the next token; empty before the first.
    private var logits: [Float] = []
    /// The space of the rows of the tokens found so far, used when only the space of all rows was observed.
    private var found = Basis()
    /// A candidate is taken at once when its distance is below this share of the median candidate's distance.
    private var tolerance: Float = 0.01
    /// For each stage, roughly what each token would give there without any token before it.
    private var tables: [Stage: RowIndex] = [:]

    init(_ model: PublicModel, known: [Int: Int32]) {
        self.model = model
        self.known = known
        prefix = Prefix(model)
    }

    /// Finds the tokens of an observation's positions.
    ///
    /// - Returns: False when its positions do not follow those found before, so that nothing later can be found
    ///   either.
    mutating func run(_ observation: Observation) throws(AttackError) -> Bool {
        guard observation.positions.lowerBound == prefix.tokens.count else {
            // Positions that were found before, as when a worker was replaced, bring nothing new.
            return observation.positions.upperBound <= prefix.tokens.count
        }
        let index = try RowIndex(observation.rows, pool: model.pool)
        var unused = Set(0..<observation.rows.rows)
        for (i, position) in observation.positions.enumerated() {
            let candidates = order(position)
            let row = observation.outside != nil ? 0 : observation.isOrdered ? i : nil
            let match = try best(candidates, observation, index, row: row, unused)
            // If only a space was observed, the length of the text is not known; it has ended when no new token fits
            // any more.
            if observation.outside != nil, known[position] == nil, match.ratio > 0.3 { return false }
            if !observation.isOrdered { unused.remove(match.row) }
            var ranked = match.ranked
            if let known = known[position], ranked[0] != known, match.ratio > tolerance {
                // A known token is preferred to one that fits badly, but not to one that fits well, because a prompt
                // need not be written with the template.
                ranked = [known]
            } else if ranked[0] == known[position] {
                // The distance of the right token shows how much rounding and noise there is.
                tolerance = min(0.3, max(tolerance, 4 * match.ratio))
            }
            findings.positions[position] = ranked
            let token = ranked[0]
            if observation.outside != nil {
                found.add(try prefix.rows(of: [token], at: observation.stage)[0])
            }
            logits = try prefix.append(token)
        }
        return true
    }

    /// All tokens, the known one first, then by the model's probability.
    private func order(_ position: Int) -> [Int32] {
        var tokens: [Int32]
        if logits.isEmpty {
            tokens = (0..<model.vocabularySize).map { Int32($0) }
        } else {
            tokens = topK(logits.span, model.vocabularySize).map { Int32($0.index) }
            if tokens.count < model.vocabularySize { tokens = (0..<model.vocabularySize).map { Int32($0) } }
        }
        if let token = known[position] {
            tokens.removeAll { $0 == token }
            tokens.insert(token, at: 0)
        }
        return tokens
    }

    /// Tokens whose rows, without any context, are among the nearest to these observed rows.
    private mutating func hints(_ observation: Observation, _ rows: [Int]) throws(AttackError) -> Set<Int32> {
        guard observation.sortedBy == nil, observation.outside == nil else { return [] }
        let table: RowIndex
        if let ready = tables[observation.stage] {
            table = ready
        } else if let rows = model.withoutContext(observation.stage) {
            table = try RowIndex(rows, pool: model.pool)
            tables[observation.stage] = table
        } else {
            return []
        }
        let near = table.nearest(to: observation.rows.selecting(rows), count: rows.count == 1 ? 256 : 8)
        return Set(near.joined().map { Int32($0.row) })
    }

    private struct Best {
        var ranked: [Int32]
        var row: Int
        /// Its distance as a share of the median candidate's distance.
        var ratio: Float
    }

    /// The candidates whose rows are nearest to the observed row, or to any unused row.
    private mutating func best(
        _ order: [Int32], _ observation: Observation, _ index: RowIndex, row: Int?, _ unused: Set<Int>
    ) throws(AttackError) -> Best {
        var candidates = order
        var all: [(token: Int32, row: Int, distance: Float, ratio: Float)] = []
        var medians: [Int: Float] = [:]
        var start = 0
        var size = 64
        // The order does not matter, but every run should find the same.
        let rows = row.map { [$0] } ?? unused.sorted()
        guard !rows.isEmpty else { return Best(ranked: [candidates[0]], row: 0, ratio: 1) }
        while start < candidates.count {
            let batch = Array(candidates[start..<min(start + size, candidates.count)])
            start += batch.count
            size = min(4 * size, 1024)
            findings.candidatesTried += batch.count
            var made = try prefix.rows(of: batch, at: observation.stage)
            if let group = observation.sortedBy { made = made.sortingGroups(of: group) }
            if let space = observation.outside {
                // A text that begins again gives the rows of its beginning again, which are in the space too. What
                // counts is a row's part outside the space, compared with its part that is new in it.
                let new =
                    try found.matrix.map { basis throws(AttackError) in try made.outside(basis, model.pool) }
                    ?? made
                made = try made.outside(space, model.pool).dividing(by: new.squares)
            }
            let distances = index.distances(to: made)
            for row in rows {
                let column = (0..<batch.count).map { distances.values[$0 * index.rows.rows + row] }
                guard let nearest = column.indices.min(by: { column[$0] < column[$1] }) else { continue }
                // The median of the first batch is used for all, since all but at most one of its candidates are
                // wrong.
                let median = medians[row] ?? column.sorted()[column.count / 2]
                medians[row] = median
                // Approximate distances select the few candidates whose exact distance is computed.
                let few =
                    row == rows.first && rows.count == 1
                    ? column.indices.sorted { column[$0] < column[$1] }.prefix(ranks) : [nearest]
                for i in few {
                    let exact = index.distance(of: made[i], to: row)
                    all.append((batch[i], row, exact, exact / max(median, .leastNormalMagnitude)))
                }
            }
            if all.contains(where: { $0.ratio < tolerance }) { break }
            if start == batch.count {
                // First come the tokens that the model expects, then those whose rows are similar, then all others.
                let near = try hints(observation, rows).subtracting(batch)
                let first = candidates.prefix(batch.count)
                candidates = first + near.sorted() + candidates[batch.count...].filter { !near.contains($0) }
            }
        }
        all.sort { $0.ratio < $1.ratio }
        var ranked: [Int32] = []
        for entry in all where ranked.count < ranks && !ranked.contains(entry.token) {
            ranked.append(entry.token)
        }
        guard let first = all.first else {
            return Best(ranked: [candidates[0]], row: rows.first ?? 0, ratio: 1)
        }
        return Best(ranked: ranked, row: first.row, ratio: first.ratio)
    }
}

extension Matrix {
    /// The part of each row outside the space of an orthonormal basis.
    func outside(_ basis: Matrix, _ pool: ThreadPool) throws(AttackError) -> Matrix {
        let inside = try multiplied(by: basis, pool).multiplied(by: basis.transposed, pool)
        return Matrix(rows: rows, columns: columns, values: zip(values, inside.values).map { $0 - $1 })
    }

    /// Each row divided by the square root of the number that belongs to it.
    fileprivate func dividing(by squares: [Float]) -> Matrix {
        var out = values
        for i in out.indices { out[i] /= max(squares[i / columns], .leastNormalMagnitude).squareRoot() }
        return Matrix(rows: rows, columns: columns, values: out)
    }
}
