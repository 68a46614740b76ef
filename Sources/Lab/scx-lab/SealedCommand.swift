import ArgumentParser
import Foundation
import SCXEncoding
import SCXEngine
import SCXInference
import SCXLink
import SCXOptions
import SCXProfiles
import SCXWorker

struct SealedCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sealed", abstract: "Measure what profile sealed costs beside plain.",
        discussion: """
            Prompts of random tokens are answered in turn by plain with bf16 weights, plain with int8 weights and sealed, \
            each through a worker process of its own on this machine; the best of the repeats counts. Pads are prepared \
            before each run, and the time of making them is told apart. 'link' is the time inside exchanges. With '--delay' \
            or '--speculate' sealed alone answers prompts of text, with and without them: tokens a second, and whether \
            all answers are the same.
            """)

    @OptionGroup var loaded: ModelFlags

    @Option(help: "Tokens of the prompt.")
    var prompt = 512

    @Option(help: "Tokens generated after it.")
    var generate = 32

    @Option(help: "Sessions at once, each with a prompt of its own.")
    var sessions = 1

    @Option(help: "Runs of each profile; the best counts.")
    var repeats = 2

    @OptionGroup var cache: CacheFlag

    @Option(help: "Profiles to run, separated by commas: bf16, int8, sealed.")
    var profiles = "bf16,int8,sealed"

    @Option(help: "Rows from which a step is computed as two micro-batches.")
    var two = RingOptions().fewestRowsOfTwo

    @Option(help: "Milliseconds that a round trip to the worker takes longer than it does.")
    var delay = 0.0

    @Option(help: "Draft tokens and compute them together: off, ngram:K or model:DIR[:K].")
    var speculate = SpeculateFlag.off

    @Option(help: "With these, what is answered: a question, repeats, or a file. (default: the first two)")
    var text: [String] = []

    func validate() throws {
        guard prompt > 0, generate > 0, sessions > 0, repeats > 0, two > 1 else {
            throw ValidationError(
                "'--prompt', '--generate', '--sessions' and '--repeats' are positive, '--two' is above 1.")
        }
        guard (0...10_000).contains(delay) else {
            throw ValidationError("'--delay \(delay)' is not from 0 to 10000 milliseconds.")
        }
    }

    private struct Run {
        var prefill = 0.0
        var token = 0.0
        /// Seconds by part, of the prompt and of a token.
        var prefillParts: [SealedCounts.Part: Double] = [:]
        var tokenParts: [SealedCounts.Part: Double] = [:]
        var pads = 0.0
        var bytes = 0
    }

    func run() throws {
        let checkpoint = try loaded.checkpoint()
        let configuration = checkpoint.configuration
        guard prompt + generate <= configuration.maximumLength else {
            throw ValidationError("'--prompt' and '--generate' exceed the model's context.")
        }
        guard delay == 0, speculate == .off, text.isEmpty else {
            var delayed = try SealedDelay(checkpoint, speculate)
            (delayed.delay, delayed.generate, delayed.repeats) = (delay, generate, repeats)
            return try delayed.run(text.isEmpty ? ["question", "repeats"] : text, prompt: prompt)
        }
        let pool = ThreadPool(threads: loaded.threads ?? ThreadPool.systemCores, idle: .sleep)
        let names = profiles.split(separator: ",").map(String.init)
        var best: [String: Run] = [:]
        var sealed: (forward: RingForwardPass, bank: PadBank, counts: SealedCounts)?
        var forwards: [(name: String, forward: any ForwardPass)] = []
        for name in names {
            let isSealed = name == "sealed"
            let link = try RemoteLink(
                ownWorkerFor: checkpoint, arguments: ["--weights", isSealed ? "int8" : name])
            try link.open()
            guard isSealed else {
                forwards.append(
                    (
                        name,
                        PlainForwardPass(
                            embedding: try TokenEmbedding(checkpoint), configuration: configuration,
                            link: link)
                    ))
                continue
            }
            let start = ContinuousClock.now
            let ring = try RingModel(checkpoint, pool: pool)
            print(
                "sealed: sites read and sketched in \(rounded((ContinuousClock.now - start) / .seconds(1))) s"
            )
            var limits = PadBank.Limits()
            (limits.bytes, limits.rows) = (8 << 30, sessions * (prompt + generate))
            let bank = PadBank(
                sites: ring.sites,
                sources: [DirectPads(try Decoder(checkpoint, format: .int8, pool: pool))], limits: limits)
            let counts = SealedCounts()
            var options = RingOptions()
            options.fewestRowsOfTwo = two
            options.cacheFormat = cache.kv
            let forward = RingForwardPass(
                sealed: ring, workers: RingWorkers([("own", [link])]), bank: bank, counts: counts,
                options: options)
            sealed = (forward, bank, counts)
            forwards.append((name, forward))
        }
        for round in 0..<repeats {
            for (name, forward) in round % 2 == 0 ? forwards : forwards.reversed() {
                var run = Run()
                if name == "sealed", let sealed {
                    let start = ContinuousClock.now
                    while try sealed.bank.prepareNext() {}
                    run.pads = (ContinuousClock.now - start) / .seconds(1)
                }
                try measure(
                    forward, configuration, sealed.flatMap { name == "sealed" ? $0.counts : nil }, &run)
                let old = best[name]
                run.prefill = min(run.prefill, old?.prefill ?? .infinity)
                run.token = min(run.token, old?.token ?? .infinity)
                run.pads = min(run.pads, old?.pads ?? .infinity)
                best[name] = run
            }
        }
        report(best, configuration, pool)
    }

    private func measure(
        _ forward: any ForwardPass, _ configuration: DecoderConfiguration, _ counts: SealedCounts?,
        _ run: inout Run
    ) throws {
        let engine = Engine(
            forward: forward, tokenizer: nil, vocabularySize: configuration.vocabularySize,
            maximumLength: configuration.maximumLength)
        var sampling = SamplingParameters()
        sampling.temperature = 0
        let submitted = try (0..<sessions).map { _ in
            let tokens = (0..<prompt).map { _ in Int32.random(in: 0..<Int32(configuration.vocabularySize)) }
            return try engine.submit(
                GenerationRequest(prompt: tokens, maximumTokens: generate + 1, sampling: sampling))
        }
        let parts = counts?.values.seconds ?? [:]
        let start = ContinuousClock.now
        var begun = Set<SessionID>()
        while begun.count < sessions { begun.formUnion(try engine.step().map(\.session)) }
        let between = ContinuousClock.now
        let later = counts?.values.seconds ?? [:]
        run.prefill = (between - start) / .seconds(1)
        let sent = forward.traffic
        while !engine.isIdle { _ = try engine.step() }
        run.token = (ContinuousClock.now - between) / .seconds(1) / Double(generate)
        run.bytes =
            (forward.traffic.bytesSent + forward.traffic.bytesReceived - sent.bytesSent - sent.bytesReceived)
            / generate
        let last = counts?.values.seconds ?? [:]
        for part in SealedCounts.Part.allCases {
            run.prefillParts[part] = (later[part] ?? 0) - (parts[part] ?? 0)
            run.tokenParts[part] = ((last[part] ?? 0) - (later[part] ?? 0)) / Double(generate)
        }
        for session in submitted { try engine.end(session) }
    }

    private func report(_ best: [String: Run], _ configuration: DecoderConfiguration, _ pool: ThreadPool) {
        for name in profiles.split(separator: ",").map(String.init) {
            guard let run = best[name] else { continue }
            print(
                "\(name): \(sessions == 1 ? "prompt" : "\(sessions) prompts") of \(prompt) in \(rounded(run.prefill)) s, "
                    + "a token of each in \(rounded(run.token * 1e3)) ms "
                    + "(\(rounded(Double(sessions) / run.token)) tokens/s), \(run.bytes >> 10) KiB")
        }
        guard let sealed = best["sealed"] else { return }
        if let int8 = best["int8"] {
            print("token: sealed \(rounded(sealed.token / int8.token)) x int8 plain")
        }
        if let bf16 = best["bf16"] {
            print("prompt: sealed \(rounded(sealed.prefill / bf16.prefill)) x bf16 plain")
            print(
                "prompt with making its pads: "
                    + "\(rounded((sealed.prefill + sealed.pads * Double(prompt) / Double(prompt + generate)) / bf16.prefill)) x bf16 plain"
            )
        }
        func line(_ parts: [SealedCounts.Part: Double], _ total: Double) -> String {
            let known = SealedCounts.Part.allCases.map {
                "\($0.rawValue) \(rounded((parts[$0] ?? 0) * 1e3))"
            }
            let rest = total - parts.values.reduce(0, +)
            return (known + ["rest \(rounded(rest * 1e3))"]).joined(separator: ", ")
        }
        print("ms of a prompt: " + line(sealed.prefillParts, sealed.prefillParts.values.reduce(0, +)))
        print("ms of a token: " + line(sealed.tokenParts, sealed.token))
        let work =
            Double(sessions * (prompt + generate))
            * Double(
                configuration.parameterCount - configuration.vocabularySize * configuration.hiddenSize)
        let peak = MachineProbe.peak(format: .f32, pool: pool)
        print(
            "pads of \(sessions * (prompt + generate)) tokens in \(rounded(sealed.pads)) s: "
                + "\(rounded(work / sealed.pads / 1e9)) G ring multiply-adds a second, "
                + "\(rounded(work / sealed.pads / peak)) of the float32 peak, "
                + "ring peak \(rounded(MachineProbe.ringPeak(pool: pool) / peak))")
    }

    private func rounded(_ value: Double) -> String { String(format: "%.3g", value) }
}
