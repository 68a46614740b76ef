import ArgumentParser
import Foundation
import SCXAttacks
import SCXInference
import SCXLink
import SCXOptions
import SCXText

struct AttackCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "attack", abstract: "Tries to read prompts and answers from what a worker recorded.",
        discussion: """
            The attacks have the transcript, the model directory, and the marks of its chat template; nothing else. \
            With '--truth' the laboratory scores what they found.
            """)

    @Option(help: "Directory of scx-worker's --record.")
    var transcript: String

    @OptionGroup var loaded: ModelFlags

    @Option(help: "One attack by its name. (default: all)")
    var attack: String?

    @Option(help: "The session to attack, counted from 1. (default: all)")
    var session: Int?

    @Option(
        help: "File with the true tokens: one line of token numbers for each session, in their order.")
    var truth: String?

    @Flag(help: "Do not take the prompt to be written with the model's chat template.")
    var noTemplate = false

    func validate() throws {
        guard session ?? 1 > 0 else {
            throw ValidationError("'--session' takes a positive number.")
        }
    }

    func run() throws {
        let checkpoint = try loaded.checkpoint()
        let views = try Views(directory: transcript, configuration: checkpoint.configuration)
        guard !views.sessions.isEmpty else { throw ValidationError("\(transcript) has no session.") }
        guard checkpoint.configuration.latent == nil, checkpoint.configuration.hasHead else {
            throw ValidationError("No attack is written for models with latent attention or without a head.")
        }
        let truths = try readTruths()
        let all = Attacks.all(
            blocks: checkpoint.configuration.blockCount, hasExperts: checkpoint.configuration.experts != nil)
        var attacks = all
        if let attack {
            attacks = attacks.filter { $0.name == attack }
            guard !attacks.isEmpty else {
                let names = all.map(\.name)
                throw ValidationError("'--attack \(attack)' is none of \(names.joined(separator: ", ")).")
            }
        }
        // Attackers must hold the weights as the attacked worker does; otherwise rounding would make right candidates
        // differ.
        let format = views.weights.flatMap { WeightFormat(rawValue: $0) } ?? .f32
        let pool = loaded.pool
        let known = try PublicModel(checkpoint, format: format, pool: pool)
        let tokenizer = try? Tokenizer(directory: checkpoint.directory)
        for (index, one) in views.sessions.enumerated() where session == nil || session == index + 1 {
            print("session \(index + 1): \(one.steps.count) steps, \(one.length) positions")
            var target = Target(model: known, views: views, session: one)
            if !noTemplate, let first = one.steps.first {
                let marks = try KnownText.template(
                    directory: checkpoint.directory, promptLength: first.positions.count)
                if !marks.isEmpty { target.known = marks }
            }
            for attack in attacks {
                show(attack, target, tokenizer, truth: truths.indices.contains(index) ? truths[index] : nil)
            }
        }
        if views.transcript.endsEarly {
            print("The transcript's last line is incomplete: the worker was writing it, or died.")
        }
    }

    private func show(_ attack: any Attack, _ target: Target, _ tokenizer: Tokenizer?, truth: [Int32]?) {
        let name = attack.name.padding(toLength: 26, withPad: " ", startingAt: 0)
        let findings: Findings
        do throws(AttackError) {
            findings = try attack.execute(on: target)
        } catch {
            print("  \(name) \(error)")
            return
        }
        var line = "\(findings.positions.count) positions, \(findings.bag.count) rows without one"
        line += String(format: ", %d candidates, %.2f s", findings.candidatesTried, findings.seconds)
        if let truth {
            let score = AttackScore(findings, truth: truth, known: Set(target.known.keys))
            let interval = score.exact.interval
            line += String(
                format: ": exact %.1f %% (95 %%: %.1f to %.1f), set %.1f %%, ROUGE-L %.3f, edit %.3f",
                100 * score.exact.value, 100 * interval.lowerBound, 100 * interval.upperBound,
                100 * score.set.value, score.rougeL, score.editDistance)
            if let rank = score.medianRank { line += ", median rank \(rank)" }
        }
        print("  \(name) \(line)")
        for measure in findings.measures {
            let chance = measure.chance.map {
                String(format: " (by chance %.3g to %.3g)", $0.lowerBound, $0.upperBound)
            }
            print("      \(measure.name): \(String(format: "%.6g", measure.value))\(chance ?? "")")
        }
        // Positions for which no token was found are shown as a gap, which is not a token.
        if !findings.positions.isEmpty {
            print("      text: \(text(findings.text(length: target.session.length + 1), tokenizer))")
        } else if !findings.bag.isEmpty {
            print("      tokens: \(text(Array(findings.tokens.prefix(200)), tokenizer))")
        }
    }

    /// Tokens as text, or as numbers when there is no tokenizer.
    private func text(_ tokens: [Int32?], _ tokenizer: Tokenizer?) -> String {
        tokenizer?.oneLine(tokens) ?? tokens.map { $0.map { "\($0)" } ?? "·" }.joined(separator: " ")
    }

    private func readTruths() throws -> [[Int32]] {
        guard let truth else { return [] }
        let text = try String(contentsOf: URL(filePath: truth), encoding: .utf8)
        return try text.split(separator: "\n").map { line in
            try line.split(whereSeparator: { " ,\t[]".contains($0) }).map { word in
                guard let token = Int32(word) else {
                    throw ValidationError("\(truth): '\(word.prefix(40))' is no token number.")
                }
                return token
            }
        }
    }
}
