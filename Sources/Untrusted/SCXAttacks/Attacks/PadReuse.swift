import SCXInference
import SCXLink

/// Searches all messages for rows that have the same pad, and finds tokens by their differences.
///
/// This is the oldest attack on a one-time pad, and breaks a scheme with one pad for all rows of a request. Two rows
/// with the same pad differ by the difference of the rounded values, which is small in every channel. All rows of the
/// transcript are compared, whatever their site, connection and run (``NearRows``).
///
/// Such rows of the first product identify tokens. If the token of one row of a group is known, so is the pad, and
/// all other rows are in clear. Otherwise the difference of two rows is looked for among the differences of all
/// tokens.
public struct PadReuse: Attack {
    public let name = "pad-reuse"
    /// The bound on encoded values, a power of two; their differences are below twice as much.
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
        // With the usual bound, independent rows pass with a probability of 2⁻⁶ in each of sixteen channels.
        findings.measures = [
            Measure("rows", Double(search.count)),
            Measure("rows under a pad that was used before", Double(groups.reduce(0) { $0 + $1.count - 1 })),
            Measure("pairs of rows under one pad", Double(pairs), chance: 0...0),
        ]
        return findings
    }

    /// Finds the tokens of rows that have the same pad as others.
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

    /// The pad of a group of rows of the first product; nil when it cannot be found.
    private func pad(
        of places: [RingRows.Place], _ rows: RingRows, _ vocabulary: FixedPointVocabulary
    ) -> [UInt32]? {
        for place in places {
            guard let token = rows.known[place], let words = rows.words[place] else { continue }
            let pad = difference(words, vocabulary.row(token))
            // A token that is taken for known need not be right, so the pad must give a valid token for a second row,
            // too.
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
