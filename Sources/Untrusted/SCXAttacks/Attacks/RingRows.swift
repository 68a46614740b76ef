import SCXInference
import SCXLink

/// The rows of integers in a transcript, and which of them enter the first block at known positions of sessions.
///
/// For those rows an adversary knows all candidates; see ``FixedPointVocabulary``.
struct RingRows {
    /// The place of a row in the transcript.
    struct Place: Hashable {
        let run: Int
        let connection: UInt64
        /// The number of the request on its connection.
        let number: UInt64
        let row: Int

        init(_ entry: TranscriptEntry, row: Int) {
            (run, connection, number) = (entry.run, entry.connection, entry.number)
            self.row = row
        }
    }

    /// The rows of the session under attack that enter the first block, in the order of their positions.
    private(set) var own: [(position: Int, place: Place, words: [UInt32])] = []
    /// The tokens that are known for such rows: in this session, in the attacker's own, and at the beginning of all
    /// others, where everybody writes the same.
    private(set) var known: [Place: Int32] = [:]
    /// The rows of all sessions.
    private(set) var words: [Place: [UInt32]] = [:]

    init(_ target: Target) throws(AttackError) {
        var begin: [Int32] = []
        while let token = target.known[begin.count] { begin.append(token) }
        for session in target.views.sessions {
            for (position, place, words) in try Self.rows(of: session, target) {
                self.words[place] = words
                if begin.indices.contains(position) { known[place] = begin[position] }
            }
        }
        for (session, tokens) in target.own {
            for (position, place, _) in try Self.rows(of: session, target) {
                let isToken = tokens.indices.contains(position)
                if isToken, (0..<target.model.vocabularySize).contains(Int(tokens[position])) {
                    known[place] = tokens[position]
                }
            }
        }
        own = try Self.rows(of: target.session, target)
        for (position, place, words) in own {
            self.words[place] = words
            known[place] = target.known[position]
        }
    }

    private static func rows(
        of session: Session, _ target: Target
    ) throws(AttackError) -> [(position: Int, place: Place, words: [UInt32])] {
        var found: [(position: Int, place: Place, words: [UInt32])] = []
        for step in session.steps {
            let exchange = step.exchanges.first {
                $0.operation == .linearRing(layer: 0, site: .queryKeyValue)
            }
            guard let entry = exchange?.request, entry.channels == target.configuration.hiddenSize else {
                continue
            }
            let words = try target.views.words(of: entry)
            for (row, position) in zip(0..<entry.rows, step.positions) {
                let values = Array(words[row * entry.channels..<(row + 1) * entry.channels])
                found.append((position, Place(entry, row: row), values))
            }
        }
        return found
    }
}

/// `a − b` modulo 2³², element by element.
func difference(_ a: some Sequence<UInt32>, _ b: some Sequence<UInt32>) -> [UInt32] {
    zip(a, b).map { $0 &- $1 }
}
