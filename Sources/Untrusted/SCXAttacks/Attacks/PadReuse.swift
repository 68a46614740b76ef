import SCXInference
import SCXLink

/// Searches all messages for rows under one pad, and reads tokens by their differences.
///
/// The oldest break of a one-time pad, and that of a scheme with one pad for all rows of a request: two rows under one pad
/// differ by the difference of what was rounded, which is small in every channel. All rows of the transcript are
/// compared, of any site, connection and run (``NearRows``).
///
/// Rows of the first product then tell tokens. Where one of a group is known, so is the pad, and all others are in clear;
/// else the difference of two is looked for among the differences of all tokens.
public struct PadReuse: Attack {
    public let name = "pad-reuse"
    /// What encoded values stay below, and so half of what their differences do: a power of two.
    public let bound: UInt32

    public init(bound: UInt32 = 1 << 24) {
        precondition(NearRows.isValid(bound: bound), "PadReuse: bound")
        self.bound = bound
    }

    public func run(on target: Target) throws(AttackError) -> Findings {
        var search = NearRows(bound: bound)
        var places: [RingRows.Place] = []
        for entry in target.views.words where try search.add(entry, of: target.views.transcript) {
            for row in 0..<entry.rows { places.append(RingRows.Place(entry, row: row)) }
        }
        guard search.count > 1 else { throw .nothingToAttack("fewer than two rows of integers") }
        var findings = Findings()
        findings.candidatesTried = search.compared
        let groups = search.groups.map { $0.map { places[$0] } }
        try read(groups, target, &findings)
        let pairs = groups.reduce(0) { $0 + $1.count * ($1.count - 1) / 2 }
        // Independent rows pass with a chance of 2⁻⁶ in each of sixteen channels, at the usual bound.
        findings.measures = [
            Measure("rows", Double(search.count)),
            Measure("rows under a pad that was used before", Double(groups.reduce(0) { $0 + $1.count - 1 })),
            Measure("pairs of rows under one pad", Double(pairs), chance: 0...0),
        ]
        return findings
    }

    /// Finds tokens of rows that share their pad with others.
    private func read(
        _ groups: [[RingRows.Place]], _ target: Target, _ findings: inout Findings
    ) throws(AttackError) {
        guard !groups.isEmpty else { return }
        let rows = try RingRows(target)
        let vocabulary = try target.model.fixedPointVocabulary()
        for group in groups {
            let places = group.filter { rows.words[$0] != nil }
            guard let pad = pad(of: places, rows, vocabulary) else { continue }
            let members = Set(places)
            for row in rows.own where members.contains(row.place) {
                guard let token = vocabulary.token(difference(row.words, pad)) else { continue }
                findings.positions[row.position] = [token]
            }
        }
    }

    /// The pad of a group of rows of the first product, or nil.
    private func pad(
        of places: [RingRows.Place], _ rows: RingRows, _ vocabulary: FixedPointVocabulary
    ) -> [UInt32]? {
        for place in places {
            guard let token = rows.known[place], let words = rows.words[place] else { continue }
            let pad = difference(words, vocabulary.row(token))
            // What is taken for known need not be true: a second row must fit.
            let fits = places.contains { other in
                other != place && vocabulary.token(difference(rows.words[other] ?? [], pad)) != nil
            }
            if fits { return pad }
        }
        guard let place = places.first, let first = rows.words[place] else { return nil }
        for other in places.dropFirst() {
            guard let second = rows.words[other],
                let pair = vocabulary.pair(difference: difference(first, second))
            else { continue }
            return difference(first, vocabulary.row(pair.first))
        }
        return nil
    }
}
