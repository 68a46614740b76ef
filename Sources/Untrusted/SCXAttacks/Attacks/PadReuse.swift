import SCXInference
import SCXLink

/// Searches all messages for rows under one pad, and reads tokens by their differences.
///
/// The oldest break of a one-time pad, and that of a scheme with one pad for all rows of a request: two rows under one pad
/// differ by the difference of what was rounded, which is small in every channel. All rows of the transcript are
/// compared, of any site, connection and run: each is put into a bucket by the high bits of four channels and looked for in
/// the buckets that a small difference can lead to, so that the work grows with the rows and not with their square.
/// Sixteen channels settle it.
///
/// Rows of the first product then tell tokens. Where one of a group is known, so is the pad, and all others are in clear;
/// else the difference of two is looked for among the differences of all tokens.
public struct PadReuse: Attack {
    public let name = "pad-reuse"
    /// What encoded values stay below, and so half of what their differences do: a power of two.
    public let bound: UInt32

    private static let compared = 16
    private static let keyed = 4

    public init(bound: UInt32 = 1 << 24) {
        precondition(bound > 0 && bound & (bound - 1) == 0 && bound <= 1 << 28, "PadReuse: bound")
        self.bound = bound
    }

    public func run(on target: Target) throws(AttackError) -> Findings {
        let search = try Search(target.views, bound: bound)
        guard search.count > 1 else { throw .nothingToAttack("fewer than two rows of integers") }
        var findings = Findings()
        findings.candidatesTried = search.compared
        let groups = search.groups
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

    /// Rows in buckets.
    private struct Search {
        private(set) var count = 0
        /// Pairs of rows that were compared in full.
        private(set) var compared = 0
        private let reach: UInt32
        /// Bits of a channel below those that choose the bucket.
        private let shift: UInt32
        /// The channels compared of each group's first row.
        private var firsts: [UInt32] = []
        private var members: [[RingRows.Place]] = []
        /// The last group of a bucket, and for each group the one before it in its bucket.
        private var heads: [UInt32: Int32] = [:]
        private var previous: [Int32] = []

        var groups: [[RingRows.Place]] { members.filter { $0.count > 1 } }

        init(_ views: Views, bound: UInt32) throws(AttackError) {
            reach = 2 * bound
            // A bucket is twice as wide as the largest difference: that reaches one neighbour at most.
            shift = UInt32(reach.trailingZeroBitCount) + 1
            for entry in views.words where entry.channels >= PadReuse.compared {
                let words = try views.words(of: entry)
                for row in 0..<entry.rows {
                    take(words[row * entry.channels..<row * entry.channels + PadReuse.compared], entry, row)
                }
            }
        }

        private mutating func take(_ words: ArraySlice<UInt32>, _ entry: TranscriptEntry, _ row: Int) {
            count += 1
            let place = RingRows.Place(entry, row: row)
            var buckets: [UInt32] = [0]
            var own: UInt32 = 0
            let width: UInt32 = 32 - shift
            for word in words.prefix(PadReuse.keyed) {
                let bucket = word >> shift
                let isLow = word & (1 << shift - 1) < reach
                let neighbour = (isLow ? bucket &- 1 : bucket &+ 1) & (1 << width - 1)
                buckets = buckets.map { $0 << width | bucket } + buckets.map { $0 << width | neighbour }
                own = own << width | bucket
            }
            for bucket in Set(buckets) {
                var group = heads[bucket] ?? -1
                while group >= 0 {
                    compared += 1
                    let start = Int(group) * PadReuse.compared
                    if isNear(words, firsts[start..<start + PadReuse.compared]) {
                        members[Int(group)].append(place)
                        return
                    }
                    group = previous[Int(group)]
                }
            }
            previous.append(heads[own] ?? -1)
            heads[own] = Int32(members.count)
            members.append([place])
            firsts += words
        }

        private func isNear(_ a: ArraySlice<UInt32>, _ b: ArraySlice<UInt32>) -> Bool {
            zip(a, b).allSatisfy { Int32(bitPattern: $0 &- $1).magnitude <= reach }
        }
    }
}
