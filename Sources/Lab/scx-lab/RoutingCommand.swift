import ArgumentParser
import Foundation
import SCXAttacks
import SCXInference
import SCXOptions

struct RoutingCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "routing", abstract: "Measure what a worker learns of which experts the tokens take.",
        discussion: """
            Sessions of random tokens are recorded by a worker in profile plain, in sealed, and in sealed with a cover of \
            fewer experts. The attack 'routing' then names the tokens by nothing but the experts: the share of tokens that \
            it names first, and how often the right one is among the first 10. After that the attacker has to tell which of \
            some prompts, all of which it knows, was sent, by the number of slots of each block alone.
            """)

    @OptionGroup var loaded: ModelFlags

    @Option(help: "Sessions, each with a prompt and an answer of its own.")
    var sessions = 6

    @Option(help: "Tokens of a session, sent one by one.")
    var tokens = 32

    @Option(help: "Covers to try, separated by commas.")
    var covers = "6,8,16"

    @Option(help: "Prompts from which the attacker has to choose.")
    var candidates = 32

    @Option(help: "Tokens of each of these prompts.")
    var prompt = 96

    func validate() throws {
        guard sessions > 0, tokens > 1, candidates > 1, prompt > 1 else {
            throw ValidationError("'--sessions' is positive, the other numbers are above 1.")
        }
        guard covers.split(separator: ",").allSatisfy({ Int($0) ?? 0 > 0 }) else {
            throw ValidationError("'--covers \(covers)' are not positive numbers.")
        }
    }

    func run() throws {
        let checkpoint = try loaded.checkpoint()
        guard let experts = checkpoint.configuration.experts else {
            throw ValidationError("\(checkpoint.directory) has no experts.")
        }
        let lab = RoutingLab(
            recorder: try SealedRecorder(checkpoint, pool: loaded.pool), sessions: sessions, tokens: tokens)
        print(
            "\(experts.count) experts in \(experts.blocks.count { $0 }) blocks, \(experts.perToken) of them for a token; "
                + "\(sessions * tokens) tokens of \(checkpoint.configuration.vocabularySize)")
        show("plain", try lab.plain(), checkpoint.configuration)
        show("sealed, all experts", try lab.sealed(cover: nil), checkpoint.configuration)
        for cover in covers.split(separator: ",").compactMap({ Int($0) })
        where cover > experts.perToken && cover < experts.count {
            show("sealed, cover \(cover)", try lab.sealed(cover: cover), checkpoint.configuration)
        }
        let prompts = try lab.prompts(candidates, length: prompt)
        print(
            String(
                format:
                    "prompts of %d tokens by their numbers of slots: %d different of %d, named %.1f %% (by chance %.1f)",
                prompt, prompts.different, candidates, 100 * prompts.named, 100 / Double(candidates)))
    }

    private func show(_ name: String, _ score: RoutingScore, _ configuration: DecoderConfiguration) {
        let interval = score.first.interval
        let chance = 100 / Double(configuration.vocabularySize)
        print(
            String(
                format:
                    "%@: %d tokens attacked, named %.1f %% (95 %%: %.1f to %.1f; by chance %.1f), among ten %.1f %% "
                    + "(by chance %.1f), %.1f bits told for each token and block",
                name, score.attacked, 100 * score.first.value, 100 * interval.lowerBound,
                100 * interval.upperBound,
                chance, 100 * score.ten.value, 10 * chance, score.bits))
    }
}
