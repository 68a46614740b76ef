package import SCXAttacks

/// How much of a text an attack recovered; tokens that everybody knows are not counted.
package struct AttackScore: Equatable, Sendable {
    /// The share of positions whose most likely token is right.
    package let exact: Share
    /// The share of tokens that were found at all, each as often as it occurs, whether or not their positions were
    /// found.
    package let set: Share
    /// The share of different tokens that were found at all; it is for attacks that cannot tell how often each
    /// occurs.
    package let distinct: Share
    /// The ROUGE-L of the tokens found in order, as F1.
    package let rougeL: Double
    /// The Levenshtein distance between the tokens found in order and the text, over the length of the longer one.
    package let editDistance: Double
    /// For each right token that is among the candidates its rank, 1 for the most likely.
    package let ranks: [Int]
    /// How many positions could be recovered.
    package let positions: Int

    /// Scores findings.
    ///
    /// - Parameters:
    ///   - findings: What an attack found in a session.
    ///   - truth: The session's tokens, from its first position on.
    ///   - known: Positions that everybody knows, which are not counted.
    package init(_ findings: Findings, truth: [Int32], known: Set<Int>) {
        let wanted = truth.indices.filter { !known.contains($0) }
        let tokens = wanted.map { truth[$0] }
        let guesses = wanted.map { findings.positions[$0]?.first }
        positions = wanted.count
        exact = Share(zip(tokens, guesses).count { $0 == $1 }, of: wanted.count)
        ranks = wanted.compactMap { position in
            findings.positions[position]?.firstIndex(of: truth[position]).map { $0 + 1 }
        }
        // Of tokens without a position, at most as many as the text has are counted, the most certain first;
        // otherwise naming all tokens would count as success.
        let found = guesses.compactMap { $0 } + findings.tokens.prefix(truth.count)
        set = Share(commonTokens(tokens, found), of: wanted.count)
        let different = Set(tokens)
        distinct = Share(different.intersection(found).count, of: different.count)
        let text = guesses.compactMap { $0 }
        let common = longestCommonSubsequence(tokens, text)
        rougeL = common == 0 ? 0 : 2 * Double(common) / Double(tokens.count + text.count)
        let longer = max(tokens.count, text.count)
        editDistance = longer == 0 ? 0 : Double(levenshtein(tokens, text)) / Double(longer)
    }

    /// The median of the right tokens' ranks; nil when none was among the candidates.
    package var medianRank: Int? { ranks.isEmpty ? nil : ranks.sorted()[ranks.count / 2] }
}

/// How many tokens two collections have in common, each counted as often as both have it.
package func commonTokens(_ a: [Int32], _ b: [Int32]) -> Int {
    var left: [Int32: Int] = [:]
    for token in b { left[token, default: 0] += 1 }
    return a.count { token in
        guard let count = left[token], count > 0 else { return false }
        left[token] = count - 1
        return true
    }
}

/// The length of the longest common subsequence, which ROUGE-L counts (Lin 2004).
package func longestCommonSubsequence<Element: Equatable>(_ a: [Element], _ b: [Element]) -> Int {
    var row = [Int](repeating: 0, count: b.count + 1)
    for x in a {
        var diagonal = 0
        for (j, y) in b.enumerated() {
            let above = row[j + 1]
            row[j + 1] = x == y ? diagonal + 1 : max(above, row[j])
            diagonal = above
        }
    }
    return row[b.count]
}

/// The fewest insertions, deletions and replacements that turn one sequence into the other.
package func levenshtein<Element: Equatable>(_ a: [Element], _ b: [Element]) -> Int {
    var row = Array(0...b.count)
    for (i, x) in a.enumerated() {
        var diagonal = row[0]
        row[0] = i + 1
        for (j, y) in b.enumerated() {
            let above = row[j + 1]
            row[j + 1] = min(min(above, row[j]) + 1, diagonal + (x == y ? 0 : 1))
            diagonal = above
        }
    }
    return row[b.count]
}
