import Foundation
import SCXAttacks
package import SCXInference
import SCXLink
import SCXProfiles
import SCXText
import Synchronization

/// Records, attacks and scores the cases of a report, one after the other.
///
/// The attacks of a case get only its transcript; their findings are compared with the truth after all attacks have
/// ended.
package struct ReportRun {
    private let checkpoint: Checkpoint
    private let model: PublicModel
    private let recorder: ReportRecorder
    private let prompts: ReportPrompts
    private let folder: String
    private let keeps: Bool
    private let log: (String) -> Void
    /// The results of the cases that were run so far.
    package private(set) var result: ReportResult
    /// The cases that can be run.
    package let plan: ReportPlan

    /// Opens the model and the text.
    ///
    /// - Parameters:
    ///   - directory: The model's directory.
    ///   - text: A file from which prompts are taken.
    ///   - count: How many prompts each profile gets.
    ///   - longest: How many tokens the longest prompt has.
    ///   - isBrief: Whether hardened settings are left out.
    ///   - format: How the worker holds its weights.
    ///   - seed: Determines the prompts.
    ///   - pool: Threads that compute.
    ///   - folder: Where transcripts are recorded.
    ///   - keeps: Whether the transcripts are kept.
    ///   - log: Called with what is being done.
    /// - Throws: When a file cannot be read, or the model cannot take the prompts.
    package init(
        model directory: String, text: String, prompts count: Int, longest: Int = 128, isBrief: Bool = false,
        format: WeightFormat, seed: UInt64,
        pool: ThreadPool, folder: String, keeps: Bool, log: @escaping (String) -> Void
    ) throws {
        checkpoint = try Checkpoint(directory: directory)
        // The attacker's own sessions need room as well as the longest prompt.
        guard checkpoint.configuration.maximumLength >= 160 else {
            throw ReportError.model(directory, length: checkpoint.configuration.maximumLength)
        }
        prompts = try ReportPrompts(
            model: directory, checkpoint.configuration, text: text, seed: seed)
        model = try PublicModel(checkpoint, format: format, pool: pool)
        let profile = try ModelProfile.cached(
            checkpoint, encode: prompts.tokenizer.encoding, pool: pool, progress: ProgressLine("profiling")
        ) { log("warning: \($0)") }
        recorder = ReportRecorder(
            checkpoint: checkpoint, format: format, model: model, profile: profile, prompts: prompts,
            seed: seed, sealed: try SealedRecorder(checkpoint, pool: pool))
        (self.folder, self.keeps, self.log) = (folder, keeps, log)
        plan = ReportPlan(
            blocks: checkpoint.configuration.blockCount, prompts: count, noiseScale: profile.noiseScale,
            knownTokens: try prompts.known(length: 32).count, longest: longest, isBrief: isBrief)
        result = ReportResult(
            model: URL(filePath: directory).lastPathComponent, text: URL(filePath: text).lastPathComponent,
            configuration: checkpoint.configuration, weights: format.rawValue, seed: seed,
            noiseScale: profile.noiseScale)
    }

    /// Runs these cases, and for each profile and the pad the game of distinguishing two texts.
    package mutating func run(_ cases: [ReportCase], games: Bool = true) throws {
        let start = ContinuousClock.now
        for (index, one) in cases.enumerated() {
            log("[\(index + 1)/\(cases.count)] \(one.name)")
            let directory = "\(folder)/\(Self.fileName(one.name))"
            let sessions = try recorder.record(one, to: directory)
            var attacked = try attack(one, directory, own: sessions.own)
            attacked.outcome.recordSeconds = sessions.seconds
            let outcome = score(one, attacked, sessions)
            result.cases.append(outcome)
            if let best = outcome.best {
                let slowest = outcome.rows.sorted { $0.seconds > $1.seconds }.prefix(5).map {
                    "\($0.attack) \(String(format: "%.1f", $0.seconds))"
                }
                log(
                    "    \(best.attack): \(percent(best.recovered.value)) of the tokens; slowest, in seconds: "
                        + slowest.joined(separator: ", "))
            }
            guard keeps else {
                try FileManager.default.removeItem(atPath: directory)
                continue
            }
            let lines = (sessions.truths + sessions.own).map { $0.map { "\($0)" }.joined(separator: " ") }
            try (lines.joined(separator: "\n") + "\n").write(
                toFile: "\(directory)/truth.txt", atomically: true, encoding: .utf8)
        }
        for one in cases where games && (one.group == .profiles || one.group == .pad) {
            result.games.append((one.name, try play(one)))
        }
        result.seconds += (ContinuousClock.now - start) / .seconds(1)
    }

    /// Attacks an earlier recording, without knowing the truth.
    ///
    /// - Returns: For each attack on how many sessions it ran.
    /// - Throws: ``AttackError`` or ``ReportError``, one line each, when the transcript is incomplete.
    package func attackAgain(_ one: ReportCase, _ directory: String) throws -> [(
        attack: String, sessions: Int
    )] {
        try attack(one, directory, own: []).runs.map { ($0.attack, $0.findings.count) }
    }

    static func fileName(_ name: String) -> String {
        String(name.map { $0.isLetter || $0.isNumber ? $0 : "-" })
    }

    /// A case after its attacks, before it is compared with the truth.
    private struct Attacked {
        var outcome: ReportCaseResult
        var runs: [AttackRun] = []
        /// The first block's values of the first session's prompt, as the worker saw them.
        var values: Matrix?
    }

    /// An attack on some sessions, before it is compared with the truth.
    private struct AttackRun {
        let attack: String
        var refusal: String?
        var findings: [(session: Int, findings: Findings, known: Set<Int>)] = []
    }

    /// Runs all attacks of a case on its recording.
    private func attack(
        _ one: ReportCase, _ directory: String, own: [[Int32]]
    ) throws -> Attacked {
        let views = try Views(directory: directory, configuration: checkpoint.configuration)
        let victims = one.lengths.count * one.repeats
        guard views.sessions.count == victims + own.count, !views.transcript.endsEarly else {
            throw ReportError.transcript(
                directory, reason: "\(views.sessions.count) sessions of \(victims + own.count) are in it")
        }
        let targets = try views.sessions.prefix(victims).map { session in
            // The worker sees how long a prompt is, and everybody knows the template.
            let length = session.promptLength
            var target = Target(
                model: one.isRing ? recorder.sealed.model : model, views: views, session: session,
                known: try prompts.known(length: length))
            target.own = Array(zip(views.sessions.suffix(own.count), own).map { ($0, $1) })
            return target
        }
        let runs = try run(one.attacks.map { ($0, one.sessions(for: $0)) }, on: targets)
        var outcome = ReportCaseResult(
            name: one.name, group: one.group, lengths: one.lengths, answer: one.answer, points: one.points)
        look(at: views, &outcome)
        let attention = views.sessions.first?.steps.first?.first(.attention, layer: 0)
        let values = try attention.flatMap { exchange throws(AttackError) in
            try views.attention(of: exchange)?.values
        }
        return Attacked(outcome: outcome, runs: runs, values: values)
    }

    /// Runs attacks on sessions, several at a time; products within an attack then use one thread each.
    private func run(
        _ attacks: [(attack: any Attack, sessions: [Int])], on targets: [Target]
    ) throws(AttackError) -> [AttackRun] {
        // The longest begin first, so that no thread ends much later than the others.
        let jobs = attacks.indices.flatMap { i in attacks[i].sessions.map { (attack: i, session: $0) } }
            .sorted { targets[$0.session].session.length > targets[$1.session].session.length }
        let outcomes = Mutex([Result<Findings, AttackError>?](repeating: nil, count: jobs.count))
        model.pool.run(jobs.count) { i in
            let outcome = Result { () throws(AttackError) in
                try attacks[jobs[i].attack].attack.execute(on: targets[jobs[i].session])
            }
            outcomes.withLock { $0[i] = outcome }
        }
        var runs = attacks.map { AttackRun(attack: $0.attack.name) }
        for case (let job, let outcome?) in zip(jobs, outcomes.withLock { $0 }) {
            do throws(AttackError) {
                let findings = try outcome.get()
                let known = Set(targets[job.session].known.keys)
                runs[job.attack].findings.append((job.session, findings, known))
            } catch {
                guard case .nothingToAttack(let reason) = error else { throw error }
                runs[job.attack].refusal = reason
            }
        }
        for i in runs.indices {
            runs[i].findings.sort { $0.session < $1.session }
            if !runs[i].findings.isEmpty { runs[i].refusal = nil }
        }
        return runs
    }

    /// What the worker saw: how many messages of each kind, and the first numbers of the first ones.
    private func look(at views: Views, _ outcome: inout ReportCaseResult) {
        for kind in MessageKind.allCases {
            let entries = views.transcript.entries.filter { $0.kind == kind }
            guard !entries.isEmpty else { continue }
            outcome.traffic.append((kind, entries.count, entries.reduce(0) { $0 + $1.byteCount }))
        }
        guard outcome.group == .profiles || outcome.group == .pad else { return }
        let exchange = views.sessions.first?.steps.first?.exchanges.first
        guard let rows = exchange.flatMap({ try? views.rows(of: $0) }) else { return }
        outcome.picture = (0..<min(24, rows.rows)).map { Array(rows[$0].prefix(48)) }
    }

    /// Scores the findings by the truth.
    private func score(
        _ one: ReportCase, _ attacked: Attacked, _ sessions: ReportRecorder.Sessions
    ) -> ReportCaseResult {
        var outcome = attacked.outcome
        for run in attacked.runs {
            var row = ReportRow(run.attack)
            row.refusal = run.refusal
            var ranks: [Int] = []
            for (session, findings, known) in run.findings {
                let prompt = one.lengths[session / one.repeats]
                row.add(
                    findings, truth: sessions.truths[session], prompt: prompt, known: known, ranks: &ranks)
                for guess in findings.guesses {
                    let truth: Int? =
                        switch guess.name {
                        case .sessions: sessions.truths.count + sessions.own.count
                        case .promptTokens, .promptTokensByTime: prompt
                        case .answerTokens, .answerTokensByDrafts: sessions.truths[session].count - prompt
                        case .acceptedTokens:
                            sessions.accepted.indices.contains(session) ? sessions.accepted[session] : nil
                        }
                    if let truth { row.guesses.append((guess, truth)) }
                }
            }
            row.finish(ranks: ranks)
            outcome.rows.append(row)
        }
        guard let truth = sessions.truths.first else { return outcome }
        outcome.truth = prompts.tokenizer.oneLine(truth.map { $0 })
        if let best = outcome.best, let run = attacked.runs.first(where: { $0.attack == best.attack }),
            let found = run.findings.first(where: { $0.session == 0 })?.findings
        {
            outcome.recovered = prompts.tokenizer.oneLine(
                found.positions.isEmpty ? found.tokens.map { $0 } : found.text(length: truth.count))
        }
        if let values = attacked.values, values.rows > 1, values.rows <= truth.count {
            let plain = model.embedding.selecting(truth.prefix(values.rows).map { Int($0) })
            outcome.distanceCorrelation = distanceCorrelation(plain, values)
        }
        return outcome
    }

    private static let gameSessions = 24

    /// Records sessions with each of two texts, and has them distinguished.
    private func play(_ one: ReportCase) throws -> Share {
        log("telling two texts apart under \(one.name)")
        var game = one
        (game.lengths, game.repeats, game.ownSessions, game.answer) = ([16, 16], Self.gameSessions, 0, 0)
        let directory = "\(folder)/game"
        _ = try recorder.record(game, to: directory)
        let views = try Views(directory: directory, configuration: checkpoint.configuration)
        let distinguisher = Distinguisher()
        let features = try views.sessions.map { try distinguisher.features(of: $0, in: views) }
        try FileManager.default.removeItem(atPath: directory)
        return distinguisher.play(
            first: Array(features.prefix(Self.gameSessions)),
            second: Array(features.suffix(Self.gameSessions)))
    }
}

/// Why a report cannot be made.
package enum ReportError: Error, CustomStringConvertible {
    case transcript(String, reason: String)
    case model(String, length: Int)

    package var description: String {
        switch self {
        case .transcript(let directory, let reason): "the transcript in \(directory): \(reason)"
        case .model(let directory, let length): "\(directory): a context of \(length), a report needs 160"
        }
    }
}

/// A share in the format of the report.
func percent(_ share: Double) -> String { String(format: "%.1f %%", 100 * share) }
