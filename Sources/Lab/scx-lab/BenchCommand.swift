import ArgumentParser
import SCXEngine
import SCXInference
import SCXOptions
import SCXProfiles
import SCXWorker

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure a model's speed against what the machine can do.",
        discussion: """
            Prefill is measured against the multiply-adds of the kernels' innermost instructions, generation against \
            the bandwidth of reading memory; both are probed right before and after each run, since shared hosts \
            change from one second to the next. 'of_floor' is the least time possible over the time taken.
            """)

    @OptionGroup var loaded: WeightsFlags

    @Option(help: "Lengths of prompts, separated by commas.")
    var prompt = "8,128,512"

    @Option(help: "Tokens to generate after each prompt, 0 for none.")
    var generate = 32

    @Option(help: "Runs of each length; the best counts.")
    var repeats = 3

    @Flag(help: "Print one JSON object.")
    var json = false

    func validate() throws {
        guard lengths.allSatisfy({ $0 ?? 0 > 0 }), !lengths.isEmpty else {
            throw ValidationError("'--prompt \(prompt)' is not a list of lengths.")
        }
        guard generate >= 0, repeats > 0 else {
            throw ValidationError("'--generate' and '--repeats' take positive numbers.")
        }
    }

    private var lengths: [Int?] { prompt.split(separator: ",").map { Int($0) } }

    func run() throws {
        let checkpoint = try loaded.checkpoint()
        let pool = loaded.pool
        let clock = ContinuousClock()
        let start = clock.now
        var progress = ProgressLine("loading")
        let decoder = try Decoder(checkpoint, format: loaded.weights, pool: pool) { progress.show($0) }
        progress.finish()
        let loadSeconds = (clock.now - start) / .seconds(1)
        let bench = Bench(
            decoder: decoder, embedding: try TokenEmbedding(checkpoint), format: loaded.weights,
            pool: pool)

        var rows: [JSON] = []
        for length in lengths.compactMap({ $0 }) {
            guard length + generate <= checkpoint.configuration.maximumLength else {
                throw ValidationError(
                    "'--prompt \(length)' and '--generate \(generate)' exceed the model's context of "
                        + "\(checkpoint.configuration.maximumLength).")
            }
            let runs = try (0..<repeats).map { _ in try bench.run(prompt: length, generate: generate) }
            guard let prefill = runs.map(\.prefill).max(by: { $0.tokensPerSecond < $1.tokensPerSecond })
            else {
                break
            }
            let decode = runs.compactMap(\.decode).max { $0.tokensPerSecond < $1.tokensPerSecond }
            if !json { print(line(length, prefill, decode)) }
            rows.append(["prompt": .int(length), "prefill": prefill.json, "decode": decode?.json ?? .null])
        }
        guard json else {
            return print("load \(rounded(loadSeconds)) s, peak memory \(peakMemory() >> 20) MiB")
        }
        let report: JSON = [
            "model": .string(checkpoint.directory), "weights": .string(loaded.weights.rawValue),
            "threads": .int(pool.threads),
            "instructions": .string("\(InstructionSet.detected)"), "load_s": .double(loadSeconds),
            "weight_bytes": .int(decoder.byteCount), "peak_memory_bytes": .int(peakMemory()),
            "runs": .array(rows),
        ]
        print(report.text)
    }

    private func line(_ length: Int, _ prefill: Bench.Figure, _ decode: Bench.Figure?) -> String {
        var line = "prompt \(length): prefill \(rounded(prefill.tokensPerSecond)) tokens/s "
        line += "(\(rounded(100 * prefill.ofFloor)) % of floor)"
        if let decode {
            line += ", generate \(rounded(decode.tokensPerSecond)) tokens/s "
            line +=
                "(\(rounded(100 * decode.ofFloor)) % of floor, reads at \(rounded(decode.roof / 1e9)) GB/s)"
        }
        return line
    }

    private func rounded(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }

    /// The process's largest resident memory, in bytes.
    private func peakMemory() -> Int {
        var usage = rusage()
        #if canImport(Glibc)
            unsafe _ = getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
            return usage.ru_maxrss << 10
        #else
            unsafe _ = getrusage(RUSAGE_SELF, &usage)
            return usage.ru_maxrss
        #endif
    }
}

/// Runs a model as `scx generate` does, and computes the least time that each part could take on this machine.
struct Bench {
    let decoder: Decoder
    let embedding: TokenEmbedding
    let format: WeightFormat
    let pool: ThreadPool

    /// The measurement of one part.
    struct Figure {
        let tokensPerSecond: Double
        /// The least possible time, by the machine's peak measured around the run, over the time taken.
        let ofFloor: Double
        /// The machine's peak: multiply-adds or bytes a second.
        let roof: Double

        var json: JSON {
            [
                "tokens_per_s": .double(tokensPerSecond), "of_floor": .double(ofFloor), "roof": .double(roof),
            ]
        }
    }

    /// Computes a prompt of random tokens and an answer.
    func run(prompt: Int, generate: Int) throws -> (prefill: Figure, decode: Figure?) {
        let configuration = decoder.configuration
        let forward = PlainForwardPass(
            embedding: embedding, configuration: configuration, link: InProcessLink(Worker(model: decoder)))
        let engine = Engine(
            forward: forward, tokenizer: nil, vocabularySize: configuration.vocabularySize,
            maximumLength: configuration.maximumLength)
        var sampling = SamplingParameters()
        sampling.temperature = 0
        let tokens = (0..<prompt).map { _ in Int32.random(in: 0..<Int32(configuration.vocabularySize)) }
        let session = try engine.submit(
            GenerationRequest(prompt: tokens, maximumTokens: generate + 1, sampling: sampling))

        let before = Roofs(format, pool)
        let prefillSeconds = try seconds { while try engine.step().isEmpty {} }
        let between = Roofs(format, pool)
        let decodeSeconds = try seconds { while !engine.isIdle { _ = try engine.step() } }
        let after = Roofs(format, pool)
        try engine.end(session)

        // A short prompt is limited by reading the weights, a long one by arithmetic.
        let prefillFloor = max(
            decodeBytes(context: prompt) / max(before.bandwidth, between.bandwidth),
            linearOperations(tokens: prompt) / max(before.linear, between.linear)
                + attentionOperations(tokens: prompt) / max(before.attention, between.attention))
        let prefill = Figure(
            tokensPerSecond: Double(prompt) / prefillSeconds, ofFloor: prefillFloor / prefillSeconds,
            roof: max(before.linear, between.linear))
        guard generate > 0 else { return (prefill, nil) }
        let bandwidth = max(between.bandwidth, after.bandwidth)
        let decode = Figure(
            tokensPerSecond: Double(generate) / decodeSeconds,
            ofFloor: Double(generate) * decodeBytes(context: prompt + generate / 2) / bandwidth
                / decodeSeconds,
            roof: bandwidth)
        return (prefill, decode)
    }

    /// The most that the machine can do at a moment.
    private struct Roofs {
        let linear: Double
        let attention: Double
        let bandwidth: Double

        init(_ format: WeightFormat, _ pool: ThreadPool) {
            linear = MachineProbe.peak(format: format, pool: pool)
            attention = MachineProbe.peak(format: .f32, pool: pool)
            // Without memory for the probe there is no least time.
            bandwidth = (try? MachineProbe.readBandwidth(pool: pool)) ?? .infinity
        }
    }

    private func seconds(_ body: () throws -> Void) rethrows -> Double {
        let start = ContinuousClock.now
        try body()
        return (ContinuousClock.now - start) / .seconds(1)
    }

    /// Multiply-adds of all products with weights; the head is computed for the last token only.
    private func linearOperations(tokens: Int) -> Double {
        let configuration = decoder.configuration
        return Double(tokens * configuration.weightsPerToken)
            + Double(configuration.vocabularySize * configuration.hiddenSize)
    }

    /// Multiply-adds of scores and weighted values over all pairs of tokens of a causal prompt.
    private func attentionOperations(tokens: Int) -> Double {
        let configuration = decoder.configuration
        return Double(configuration.blockCount * configuration.headCount * configuration.headSize)
            * Double(tokens) * Double(tokens + 1)
    }

    /// How many bytes one token must read: all weights but those of the experts that it does not take, and the KV cache.
    private func decodeBytes(context: Int) -> Double {
        let configuration = decoder.configuration
        let weights = configuration.sites.reduce(0) {
            $0 + configuration.inputs(of: $1) * configuration.outputs(of: $1) / configuration.groups(of: $1)
        }
        let head = configuration.vocabularySize * configuration.hiddenSize
        let read = Double(configuration.weightsPerToken + head) / Double(weights)
        let perToken = 2 * configuration.blockCount * configuration.keyValueHeadCount * configuration.headSize
        return read * Double(decoder.byteCount) + Double(context * perToken * (format == .f32 ? 4 : 2))
    }
}
