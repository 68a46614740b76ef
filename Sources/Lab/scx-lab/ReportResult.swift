package import SCXAttacks
package import SCXInference
package import SCXLink

/// What an attack recovered in those sessions of a case on which it ran.
package struct ReportRow: Sendable {
    package let attack: String
    /// Why the attack found nothing that it could use; nil when it ran.
    package var refusal: String?
    /// On how many sessions the attack ran.
    package var sessions = 0
    /// Whether it gives the positions of tokens, or only which tokens there are.
    package var hasPositions = false
    /// Tokens that were found at their positions.
    package var exact = Share(0, of: 0)
    /// Tokens that were found at all, each as often as it occurs.
    package var set = Share(0, of: 0)
    /// Different tokens that were found at all.
    package var distinct = Share(0, of: 0)
    /// The part of `exact` in prompts.
    package var prompts = Share(0, of: 0)
    /// The part of `exact` in answers.
    package var answers = Share(0, of: 0)
    /// ROUGE-L of the tokens found, the mean over the sessions.
    package var rougeL = 0.0
    /// Edit distance of the tokens found, the mean over the sessions.
    package var editDistance = 0.0
    /// The median rank of the right token, over all positions of all sessions.
    package var medianRank: Int?
    /// How many candidates the attack tried.
    package var candidates = 0
    package var seconds = 0.0
    /// The measures of the first session.
    package var measures: [Measure] = []
    /// For each session its length, and the share that was recovered.
    package var bySession: [(length: Int, share: Double)] = []
    /// The lengths that it guessed, and the true ones.
    package var guesses: [(guess: NumberGuess, truth: Int)] = []

    package init(_ attack: String) { self.attack = attack }

    /// The share that counts: tokens at their positions, or tokens at all if the attack gives no positions.
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

/// The results of a case.
package struct ReportCaseResult: Sendable {
    package let name: String
    package let group: ReportCase.Group
    package let lengths: [Int]
    /// How many tokens were generated after each prompt.
    package let answer: Int
    /// The curves on which the case is a point, and where on each.
    package let points: [String: Double]
    /// One result for each attack.
    package var rows: [ReportRow] = []
    /// What the worker received and sent, by kind of message.
    package var traffic: [(kind: MessageKind, messages: Int, bytes: Int)] = []
    /// The first numbers of the first rows that the worker received.
    package var picture: [[Float]] = []
    /// The text of the first session.
    package var truth = ""
    /// What the best attack recovered of that text.
    package var recovered = ""
    /// The distance correlation of the first block's values with the tokens' embeddings, in the first session.
    package var distanceCorrelation: Double?
    /// How long it took to record the sessions.
    package var recordSeconds = 0.0

    /// What the model alone guesses, without using the transcript.
    package var chance: ReportRow? { rows.first { $0.attack == "guessing" } }

    /// The attack that recovered the most.
    package var best: ReportRow? {
        let found = rows.filter {
            !["guessing", "commonest"].contains($0.attack) && $0.refusal == nil && $0.exact.trials > 0
        }
        let placed = found.filter(\.hasPositions)
        return (placed.isEmpty ? found : placed).max { $0.recovered.value < $1.recovered.value }
    }
}

/// The report on one model.
package struct ReportResult: Sendable {
    package let model: String
    /// The name of the text from which prompts were taken.
    package let text: String
    package let configuration: DecoderConfiguration
    /// How the worker held its weights.
    package let weights: String
    /// The seed that determines the prompts.
    package let seed: UInt64
    /// The scale of the noise in the model's profile.
    package let noiseScale: Float
    package var cases: [ReportCaseResult] = []
    /// For each profile how often two texts were distinguished.
    package var games: [(name: String, share: Share)] = []
    package var seconds = 0.0

    package func cases(_ group: ReportCase.Group) -> [ReportCaseResult] { cases.filter { $0.group == group } }

    /// The lines of a curve: for each attack its points, in order.
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

    /// What is recovered against the prompt's length, in the sessions of a profile.
    package func lengthCurve(_ profile: String) -> [(attack: String, points: [(x: Double, y: Double)])] {
        guard let one = cases.first(where: { $0.name == profile }) else { return [] }
        return Self.charted.compactMap { attack in
            guard let row = one.rows.first(where: { $0.attack == attack }), row.sessions > 0 else {
                return nil
            }
            return (attack, row.bySession.map { (Double($0.length), $0.share) })
        }
    }

    /// The attacks that curves show: guessing, and one of each kind.
    private static let charted = [
        "guessing", "nearest-input", "sorted-values", "known-token-key", "vocabulary-inputs",
        "vocabulary-shared-kv",
    ]
}
