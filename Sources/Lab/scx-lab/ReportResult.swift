package import SCXAttacks
package import SCXInference
package import SCXLink

/// What an attack recovered in the sessions of a case that it ran on.
package struct ReportRow: Sendable {
    package let attack: String
    /// Why it found nothing to work on; nil when it ran.
    package var refusal: String?
    package var sessions = 0
    /// Whether it says where tokens stand, or only which there are.
    package var hasPositions = false
    package var exact = Share(0, of: 0)
    package var set = Share(0, of: 0)
    package var distinct = Share(0, of: 0)
    /// Of `exact`, what are prompts and what are answers.
    package var prompts = Share(0, of: 0)
    package var answers = Share(0, of: 0)
    /// Means over the sessions.
    package var rougeL = 0.0
    package var editDistance = 0.0
    /// Of the right token, over all positions of all sessions.
    package var medianRank: Int?
    package var candidates = 0
    package var seconds = 0.0
    /// Of the first session.
    package var measures: [Measure] = []
    /// By session: its length, and what was recovered of it.
    package var bySession: [(length: Int, share: Double)] = []
    /// Lengths that it guessed, and what they are.
    package var guesses: [(guess: NumberGuess, truth: Int)] = []

    package init(_ attack: String) { self.attack = attack }

    /// What counts: tokens at their positions, or tokens at all where an attack gives no positions.
    package var recovered: Share { hasPositions ? exact : set }

    mutating func add(_ findings: Findings, truth: [Int32], prompt: Int, known: Set<Int>, ranks: inout [Int])
    {
        let score = AttackScore(findings, truth: truth, known: known)
        sessions += 1
        hasPositions = hasPositions || !findings.positions.isEmpty
        exact += score.exact
        set += score.set
        distinct += score.distinct
        let ends = (Set(0..<truth.count), Set(truth.indices.suffix(max(0, truth.count - prompt))))
        prompts += AttackScore(findings, truth: truth, known: known.union(ends.1)).exact
        answers += AttackScore(findings, truth: truth, known: known.union(ends.0.subtracting(ends.1))).exact
        rougeL += score.rougeL
        editDistance += score.editDistance
        ranks += score.ranks
        candidates += findings.candidatesTried
        seconds += findings.seconds
        if sessions == 1 { measures = findings.measures }
        bySession.append((prompt, findings.positions.isEmpty ? score.set.value : score.exact.value))
    }

    mutating func finish(ranks: [Int]) {
        guard sessions > 0 else { return }
        rougeL /= Double(sessions)
        editDistance /= Double(sessions)
        medianRank = ranks.isEmpty ? nil : ranks.sorted()[ranks.count / 2]
    }
}

extension Share {
    fileprivate static func += (a: inout Share, b: Share) {
        a = Share(a.successes + b.successes, of: a.trials + b.trials)
    }
}

/// What came of a case.
package struct ReportCaseResult: Sendable {
    package let name: String
    package let group: ReportCase.Group
    package let lengths: [Int]
    package let answer: Int
    package let points: [String: Double]
    package var rows: [ReportRow] = []
    /// What the worker received and sent, by kind.
    package var traffic: [(kind: MessageKind, messages: Int, bytes: Int)] = []
    /// The first numbers of the first rows that the worker received.
    package var picture: [[Float]] = []
    /// The first session's text, and what the best attack made of it.
    package var truth = ""
    package var recovered = ""
    /// Of the first block's values with the tokens' embeddings, in the first session.
    package var distanceCorrelation: Double?
    package var recordSeconds = 0.0

    /// What the model alone guesses, without a look at the transcript.
    package var chance: ReportRow? { rows.first { $0.attack == "guessing" } }

    /// The attack that recovered most.
    package var best: ReportRow? {
        let found = rows.filter {
            !["guessing", "commonest"].contains($0.attack) && $0.refusal == nil && $0.exact.trials > 0
        }
        let placed = found.filter(\.hasPositions)
        return (placed.isEmpty ? found : placed).max { $0.recovered.value < $1.recovered.value }
    }
}

/// A report on one model.
package struct ReportResult: Sendable {
    package let model: String
    package let text: String
    package let configuration: DecoderConfiguration
    package let weights: String
    package let seed: UInt64
    package let noiseScale: Float
    package var cases: [ReportCaseResult] = []
    /// By profile: how often two texts were told apart.
    package var games: [(name: String, share: Share)] = []
    package var seconds = 0.0

    package func cases(_ group: ReportCase.Group) -> [ReportCaseResult] { cases.filter { $0.group == group } }

    /// Lines of a curve: by attack its points, in order.
    package func curve(_ name: String) -> [(attack: String, points: [(x: Double, y: Double)])] {
        let points = cases.compactMap { one in one.points[name].map { ($0, one) } }.sorted { $0.0 < $1.0 }
        return Self.charted.compactMap { attack in
            let values = points.compactMap { x, one -> (x: Double, y: Double)? in
                guard let row = one.rows.first(where: { $0.attack == attack }), row.sessions > 0 else {
                    return nil
                }
                return (x, row.recovered.value)
            }
            return values.isEmpty ? nil : (attack, values)
        }
    }

    /// Recovery against the prompt's length, in the sessions of a profile.
    package func lengthCurve(_ profile: String) -> [(attack: String, points: [(x: Double, y: Double)])] {
        guard let one = cases.first(where: { $0.name == profile }) else { return [] }
        return Self.charted.compactMap { attack in
            guard let row = one.rows.first(where: { $0.attack == attack }), row.sessions > 0 else {
                return nil
            }
            return (attack, row.bySession.map { (Double($0.length), $0.share) })
        }
    }

    /// Attacks that curves show: the guess, and one of each kind.
    private static let charted = [
        "guessing", "nearest-input", "sorted-values", "known-token-key", "vocabulary-inputs",
        "vocabulary-shared-kv",
    ]
}
