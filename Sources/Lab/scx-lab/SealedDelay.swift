import ArgumentParser
import Foundation
import SCXEncoding
import SCXEngine
import SCXInference
import SCXLink
import SCXOptions
import SCXProfiles
import SCXText

/// Measures what a distant worker costs profile `sealed`, and what drafts gain there.
struct SealedDelay {
    /// By how many milliseconds a round trip is longer.
    var delay = 0.0
    /// How many tokens an answer has.
    var generate = 64
    /// How many runs there are; the best counts.
    var repeats = 1

    private let checkpoint: Checkpoint
    private let tokenizer: Tokenizer
    private let sites: RingModel
    private let weights: Decoder
    private let speculate: SpeculateFlag
    private let drafts: OpenDrafts

    /// Loads a model with a tokenizer.
    init(_ checkpoint: Checkpoint, _ speculate: SpeculateFlag) throws {
        self.checkpoint = checkpoint
        self.speculate = speculate
        tokenizer = try Tokenizer(directory: checkpoint.directory)
        let pool = ThreadPool(threads: ThreadPool.systemCores)
        drafts = try OpenDrafts(
            speculate, checkpoint, tokenizer, name: checkpoint.directory, weights: .int8, threads: nil)
        sites = try RingModel(checkpoint, pool: pool)
        weights = try Decoder(checkpoint, format: .int8, pool: pool)
    }

    /// The measurement of one answer.
    private struct Answer {
        var tokens: [Int32] = []
        /// The time of a token after the first.
        var seconds = Double.infinity
        var speculation = SpeculationUse()
    }

    /// Answers prompts with and without drafts, with a near and a distant worker, and prints the times.
    ///
    /// - Parameters:
    ///   - texts: `question`, `repeats`, or names of files.
    ///   - prompt: How many tokens of a file's text are used.
    /// - Throws: When a file or the worker is at fault.
    func run(_ texts: [String], prompt: Int) throws {
        let worker = try WorkerProcess(servingFrom: checkpoint, arguments: ["--weights", "int8"])
        let delays = delay > 0 ? [0, delay] : [0]
        let drafters: [OpenDrafts] = speculate == .off ? [.off] : [.off, drafts]
        print("text         prompt  delay ms  drafts  tokens/s  drafted  accepted  exchanges a token")
        for text in texts {
            let tokens = try self.tokens(of: text, count: prompt)
            guard tokens.count + generate < checkpoint.configuration.maximumLength else {
                throw ValidationError("'--generate' exceeds the model's context.")
            }
            var answers: [Answer] = []
            for delay in delays {
                for drafter in drafters {
                    var best = Answer()
                    var exchanges = 0
                    for _ in 0..<repeats {
                        let (answer, count) = try self.answer(
                            tokens, worker, delay, drafter, longestDraft: speculate.longest)
                        if answer.seconds < best.seconds { (best, exchanges) = (answer, count) }
                    }
                    answers.append(best)
                    let isOff = if case .off = drafter { true } else { false }
                    let name = text.split(separator: "/").last.map(String.init) ?? text
                    print(
                        name.padding(toLength: 12, withPad: " ", startingAt: 0)
                            + String(format: "%7d %9.1f  ", tokens.count, delay)
                            + (isOff ? "off   " : "on    ")
                            + String(
                                format: "%10.1f %8d %9d %18.1f", 1 / best.seconds, best.speculation.proposed,
                                best.speculation.accepted, Double(exchanges) / Double(generate)))
                }
            }
            guard answers.allSatisfy({ $0.tokens == answers[0].tokens }) else {
                throw ValidationError("answers to '\(text)' differ: that is a fault of this program.")
            }
        }
    }

    private func answer(
        _ prompt: [Int32], _ worker: WorkerProcess, _ delay: Double, _ drafts: OpenDrafts, longestDraft: Int
    ) throws -> (Answer, exchanges: Int) {
        let link = RemoteLink(
            digest: checkpoint.digest(), model: checkpoint.configuration, patience: .ownProcess
        ) { deadline throws(LinkError) in
            let stream = try worker.connect(before: deadline)
            return delay > 0 ? DelayedStream(stream, by: .seconds(delay / 1e3)) : stream
        }
        defer { link.close() }
        try link.open()
        var limits = PadBank.Limits()
        // Drafts that are rejected use up pads, too.
        (limits.bytes, limits.rows) = (4 << 30, prompt.count + (longestDraft + 1) * generate)
        let bank = PadBank(sites: sites.sites, sources: [DirectPads(weights)], limits: limits)
        while try bank.prepareNext() {}
        let forward = RingForwardPass(sealed: sites, workers: RingWorkers([("own", [link])]), bank: bank)
        let engine = Engine(
            forward: forward, tokenizer: nil, vocabularySize: checkpoint.configuration.vocabularySize,
            maximumLength: checkpoint.configuration.maximumLength, drafter: drafts.makeDrafter())
        var sampling = SamplingParameters()
        sampling.temperature = 0
        let session = try engine.submit(
            GenerationRequest(prompt: prompt, maximumTokens: generate + 1, sampling: sampling))
        var answer = Answer()
        func take(_ events: [SessionEvent]) { answer.tokens += events.compactMap { $0.token?.id } }
        while answer.tokens.isEmpty { take(try engine.step()) }
        let before = link.traffic.exchanges
        let (start, first) = (ContinuousClock.now, answer.tokens.count)
        while !engine.isIdle { take(try engine.step()) }
        answer.seconds =
            (ContinuousClock.now - start) / .seconds(1) / Double(max(1, answer.tokens.count - first))
        answer.speculation = engine.speculation
        let exchanges = link.traffic.exchanges - before
        try engine.end(session)
        return (answer, exchanges)
    }

    // MARK: Texts

    private static let question = "What are the symptoms of asthma, and what does the doctor do about them?"
    /// A text that an answer can continue in the same way: a list whose lines are alike.
    private static let list = [
        "Monday: 500 milligrams of metformin in the morning, 500 milligrams in the evening, with food.",
        "Tuesday: 500 milligrams of metformin in the morning, 500 milligrams in the evening, with food.",
        "Wednesday: 500 milligrams of metformin in the morning, 500 milligrams in the evening, with food.",
        "Thursday: 500 milligrams of metformin in the morning, 500 milligrams in the evening, with food.",
    ]

    private func tokens(of text: String, count: Int) throws -> [Int32] {
        switch text {
        case "question":
            guard let format = try ChatFormat.load(directory: URL(filePath: checkpoint.directory)) else {
                return tokenizer.encode(Self.question, addSpecialTokens: true)
            }
            let prompt = try format.prompt([ChatMessage(role: "user", content: Self.question)])
            return tokenizer.encode(prompt, addSpecialTokens: false)
        case "repeats":
            return tokenizer.encode(
                (Self.list + Self.list + [""]).joined(separator: "\n"), addSpecialTokens: true)
        default:
            let file = try String(contentsOfFile: text, encoding: .utf8)
            return Array(tokenizer.encode(file, addSpecialTokens: true).prefix(count))
        }
    }
}
