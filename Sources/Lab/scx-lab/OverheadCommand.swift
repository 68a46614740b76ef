import ArgumentParser
import Foundation
import SCXEngine
import SCXInference
import SCXLink
import SCXOptions
import SCXProfiles
import SCXWorker

struct OverheadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "overhead", abstract: "Measure what profile scx costs beside plain.",
        discussion: """
            Both profiles answer the same random prompts in turn, through one worker process on this machine, and the \
            best of the repeats counts. A case PROMPT:TOKENS is a prompt's length and how many tokens are generated \
            after it; the time of a token is the mean of the last 16. 'link and worker' is the time inside exchanges, \
            'trusted' what this side does between them: encoding, opening, its own products, sampling. With \
            '--inprocess' there is no link, so the difference of both runs is what the link costs.

            With '--sessions N' no cases are run: N prompts of 16 to 32 tokens are there at once, and the time is that \
            until each has its first token.
            """)

    @OptionGroup var loaded: WeightsFlags

    @Option(help: "Cases, separated by commas.")
    var cases = "8:24,128:24,512:24"

    @Option(help: "Redundant rows of a prompt or of prompts that share exchanges: a number, or auto.")
    var redundancy = "0"

    @Option(help: "Measure prompts of 16 to 32 tokens that are there at once, so many; 0 measures the cases.")
    var sessions = 0

    @Option(help: "How long a permutation of channels lives: oneTime or session.")
    var reuse = "oneTime"

    @Option(help: "What keys and values that travel are rounded to: 32, 8 or 4 bits.")
    var bits = 32

    @Option(help: "Runs of each case and profile; the best counts.")
    var repeats = 3

    @Flag(help: "Compute in this process.")
    var inprocess = false

    @Flag(help: "Show the exchanges of the best run of scx by kind.")
    var kinds = false

    func validate() throws {
        guard ScxOptions.Reuse(rawValue: reuse) != nil else {
            throw ValidationError("'--reuse \(reuse)' is neither oneTime nor session.")
        }
        guard [32, 8, 4].contains(bits) else {
            throw ValidationError("'--bits \(bits)' is none of 32, 8 and 4.")
        }
        guard !parsed.isEmpty, parsed.allSatisfy({ $0 != nil }), repeats > 0, sessions >= 0 else {
            throw ValidationError(
                "'--cases \(cases)' is not a list of PROMPT:TOKENS, or a number is negative.")
        }
        guard policy != nil else {
            throw ValidationError("'--redundancy \(redundancy)' is neither auto nor a number of rows.")
        }
    }

    private var policy: ScxOptions.Redundancy? {
        if redundancy == "auto" { return .auto }
        guard let rows = Int(redundancy), rows >= 0 else { return nil }
        return rows == 0 ? ScxOptions.Redundancy.none : .fixed(rows)
    }

    private var parsed: [(prompt: Int, tokens: Int)?] {
        cases.split(separator: ",").map { part in
            let numbers = part.split(separator: ":").map { Int($0) ?? 0 }
            guard numbers.count == 2, numbers[0] > 0, numbers[1] > 1 else { return nil }
            return (numbers[0], numbers[1])
        }
    }

    func run() throws {
        let checkpoint = try loaded.checkpoint()
        for case (let prompt, let tokens)? in parsed
        where prompt + tokens > checkpoint.configuration.maximumLength {
            throw ValidationError("'\(prompt):\(tokens)' exceeds the model's context.")
        }
        var options = ScxOptions()
        options.redundancy = policy ?? .auto
        options.reuse = ScxOptions.Reuse(rawValue: reuse) ?? .oneTime
        options.compression = bits == 32 ? .float32 : bits == 8 ? .int8 : .int4
        let pool = loaded.pool
        let profile = try ModelProfile.cached(
            checkpoint, encode: nil, pool: pool, progress: ProgressLine("profiling")
        ) { standardError("warning: \($0)") }
        let link = TimedLink(try makeLink(checkpoint, pool))
        let forwards: [any ForwardPass] = [
            PlainForwardPass(
                embedding: try TokenEmbedding(checkpoint), configuration: checkpoint.configuration,
                link: link),
            try ScxForwardPass(
                checkpoint, format: loaded.weights, pool: pool, profile: profile, options: options, link: link
            ),
        ]
        if sessions > 0 { return try measureTogether(forwards, link, checkpoint) }
        print("prompt tokens  profile  first token s  (trusted)   a token ms  (trusted)   KiB a token")
        for case (let prompt, let tokens)? in parsed {
            var best: [Run?] = [nil, nil]
            for round in 0..<repeats {
                for index in round % 2 == 0 ? [0, 1] : [1, 0] {
                    let run = try measure(forwards[index], link, checkpoint, prompt: prompt, tokens: tokens)
                    best[index] = best[index]?.best(with: run) ?? run
                }
            }
            guard let plain = best[0], let scx = best[1] else { continue }
            print(line(prompt, tokens, "plain", plain))
            print(line(prompt, tokens, "scx", scx))
            print(
                String(
                    format: "%6d %6d  ratio    %13.3f              %10.3f", prompt, tokens,
                    scx.first.seconds / plain.first.seconds, scx.token.seconds / plain.token.seconds))
            if kinds { print("prompt\n\(scx.first.kinds)\nlast tokens\n\(scx.token.kinds)") }
        }
    }

    private func makeLink(
        _ checkpoint: Checkpoint, _ pool: ThreadPool
    ) throws -> any WorkerLink {
        if inprocess {
            return InProcessLink(Worker(model: try Decoder(checkpoint, format: loaded.weights, pool: pool)))
        }
        let link = try RemoteLink(
            ownWorkerFor: checkpoint, arguments: ["--weights", loaded.weights.rawValue])
        try link.open()
        return link
    }

    /// The times of one answer.
    private struct Run {
        var first: TimedLink.Interval
        var token: TimedLink.Interval

        func best(with other: Run) -> Run {
            Run(
                first: other.first.seconds < first.seconds ? other.first : first,
                token: other.token.seconds < token.seconds ? other.token : token)
        }
    }

    private func measure(
        _ forward: any ForwardPass, _ link: TimedLink, _ checkpoint: Checkpoint, prompt: Int, tokens: Int
    ) throws -> Run {
        let vocabulary = Int32(checkpoint.configuration.vocabularySize)
        let engine = Engine(
            forward: forward, tokenizer: nil, vocabularySize: Int(vocabulary),
            maximumLength: checkpoint.configuration.maximumLength)
        var sampling = SamplingParameters()
        sampling.temperature = 0
        let ids = (0..<prompt).map { _ in Int32.random(in: 0..<vocabulary) }
        let id = try engine.submit(
            GenerationRequest(prompt: ids, maximumTokens: tokens, sampling: sampling))
        let counted = min(16, tokens - 1)
        var first: TimedLink.Interval?
        var done = 0
        link.restart()
        try engine.run(id) { _ in
            done += 1
            if done == 1 { first = link.interval() }
            if done == 1 || done == tokens - counted { link.restart() }
            return true
        }
        var token = link.interval()
        token.seconds /= Double(counted)
        token.exchangeSeconds /= Double(counted)
        token.bytes /= Double(counted)
        try engine.end(id)
        return Run(first: first ?? token, token: token)
    }

    private func line(_ prompt: Int, _ tokens: Int, _ name: String, _ run: Run) -> String {
        String(
            format: "%6d %6d  %@ %13.3f  (%7.3f)   %10.2f  (%7.2f)   %11.1f", prompt, tokens,
            name.padding(toLength: 8, withPad: " ", startingAt: 0), run.first.seconds,
            run.first.seconds - run.first.exchangeSeconds, run.token.seconds * 1e3,
            (run.token.seconds - run.token.exchangeSeconds) * 1e3, run.token.bytes / 1024)
    }
}

/// A link that measures how long exchanges take, and how long the trusted side computes between them.
final class TimedLink: WorkerLink, @unchecked Sendable {
    // Only one thread exchanges.
    private let inner: any WorkerLink
    private var start = ContinuousClock.now
    private var last = ContinuousClock.now
    private var exchangeSeconds = 0.0
    private var bytes = 0.0
    private var kinds: [String: (count: Int, before: Double, inside: Double, bytes: Int)] = [:]

    struct Interval {
        var seconds: Double
        /// The seconds inside exchanges, which are a part of these.
        var exchangeSeconds: Double
        var bytes: Double
        /// A table of the exchanges by their kind.
        var kinds: String
    }

    init(_ inner: any WorkerLink) { self.inner = inner }

    var traffic: Traffic { inner.traffic }

    func exchange(_ request: Request) throws(LinkError) -> Answer {
        let begin = ContinuousClock.now
        let answer = try inner.exchange(request)
        let end = ContinuousClock.now
        let inside = (end - begin) / .seconds(1)
        exchangeSeconds += inside
        let moved = request.byteCount + answer.byteCount
        bytes += Double(moved)
        var name = "\(request.kind)"
        if case .linear(_, let site, _, _) = request.operation { name += " \(site)" }
        var kind = kinds[name] ?? (0, 0, 0, 0)
        kind = (
            kind.count + 1, kind.before + (begin - last) / .seconds(1), kind.inside + inside,
            kind.bytes + moved
        )
        kinds[name] = kind
        last = end
        return answer
    }

    /// Begins to count again.
    func restart() {
        start = .now
        last = start
        exchangeSeconds = 0
        bytes = 0
        kinds = [:]
    }

    /// What has passed since ``restart()``.
    func interval() -> Interval {
        Interval(
            seconds: (ContinuousClock.now - start) / .seconds(1), exchangeSeconds: exchangeSeconds,
            bytes: bytes,
            kinds: table)
    }

    /// For each kind of exchange since then: how many, milliseconds before and inside, mebibytes.
    private var table: String {
        kinds.sorted { $0.value.inside > $1.value.inside }.map { name, kind in
            String(
                format: "              %@ %5d x  before %8.2f ms  inside %8.2f ms  %8.2f MiB",
                name.padding(toLength: 22, withPad: " ", startingAt: 0), kind.count, kind.before * 1e3,
                kind.inside * 1e3, Double(kind.bytes) / 1_048_576)
        }.joined(separator: "\n")
    }
}
