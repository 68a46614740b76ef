import ArgumentParser
import Foundation
import SCXEncoding
import SCXInference
import SCXLink
import SCXOptions
import SCXProfiles

struct LongContextCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "long-context", abstract: "Measure a token of sealed and of plain at long contexts.",
        discussion: """
            Caches are filled with random keys and values, since a prompt of that length takes long to compute. 'sealed' \
            computes through a worker process of its own on this machine, with pads prepared before; 'plain' computes in \
            this process, with int8 weights. The floor is the time of reading the weights and the cache once.
            """)

    @OptionGroup var loaded: ModelFlags

    @Option(help: "Tokens in the cache, separated by commas.")
    var context = "1024,8192,65536"

    @Option(help: "How sealed holds keys and values: f32, bf16, f16 or int8.")
    var kv = LayerCache.Format.int8

    @Option(help: "Tokens at each length; their mean counts.")
    var tokens = 8

    @Option(help: "Profiles, separated by commas: sealed, plain.")
    var profiles = "sealed,plain"

    private var contexts: [Int?] { context.split(separator: ",").map { Int($0) } }

    func validate() throws {
        guard !contexts.isEmpty, contexts.allSatisfy({ (1...1 << 22).contains($0 ?? 0) }) else {
            throw ValidationError("'--context \(context)' is not a list of lengths (1 to 4194304).")
        }
        guard (1...1_024).contains(tokens) else {
            throw ValidationError("'--tokens \(tokens)' is not a number from 1 to 1024.")
        }
        guard profiles.split(separator: ",").allSatisfy({ ["sealed", "plain"].contains($0) }) else {
            throw ValidationError("'--profiles \(profiles)' is not a list of sealed and plain.")
        }
    }

    func run() throws {
        let checkpoint = try loaded.checkpoint()
        let names = profiles.split(separator: ",")
        if names.contains("sealed") { try runSealed(checkpoint) }
        if names.contains("plain") { try runPlain(checkpoint) }
    }

    private func runSealed(_ checkpoint: Checkpoint) throws {
        let configuration = checkpoint.configuration
        let pool = ThreadPool(threads: ThreadPool.systemCores, idle: .sleep)
        let link = try RemoteLink(ownWorkerFor: checkpoint, arguments: ["--weights", "int8"])
        try link.open()
        let ring = try RingModel(checkpoint, pool: pool)
        var limits = PadBank.Limits()
        (limits.bytes, limits.rows, limits.batchRows) = (8 << 30, tokens + 1, tokens + 1)
        let weights = try Decoder(checkpoint, format: .int8, pool: pool)
        let bank = PadBank(sites: ring.sites, sources: [DirectPads(weights)], limits: limits)
        var options = RingOptions()
        options.cacheFormat = kv
        let counts = SealedCounts()
        let forward = RingForwardPass(
            sealed: ring, workers: RingWorkers([("own", [link])]), bank: bank, counts: counts,
            options: options)
        for (number, context) in contexts.compactMap({ $0 }).enumerated() {
            let slot = Slot(number: UInt32(number))
            let bytes = try forward.fill(slot, tokens: context, rows: Self.randomRows(configuration))
            while try bank.prepareNext() {}
            var before = counts.values.seconds
            let seconds = try mean { index throws(LinkError) in
                if index == 0 { before = counts.values.seconds }
                _ = try forward.compute([
                    BatchSegment(slot: slot, position: context + index, tokens: [1], output: .lastLogits)
                ])
            }
            let after = counts.values.seconds
            let attention = ((after[.attention] ?? 0) - (before[.attention] ?? 0)) / Double(tokens)
            try forward.end(slot)
            try report(
                "sealed, \(kv.rawValue)", context, seconds, weights: weights.byteCount, cache: bytes, pool,
                note: ", attention \(rounded(attention * 1e3)) ms")
        }
    }

    private func runPlain(_ checkpoint: Checkpoint) throws {
        let configuration = checkpoint.configuration
        let pool = ThreadPool(threads: ThreadPool.systemCores)
        let decoder = try Decoder(checkpoint, format: .int8, pool: pool)
        let embedding = try TokenEmbedding(checkpoint)
        for context in contexts.compactMap({ $0 }) {
            let cache = decoder.makeCache()
            try cache.fill(context, rows: Self.randomRows(configuration))
            let bytes = cache.byteCount
            var workspace = Workspace()
            let seconds = try mean { index throws(KVCacheError) in
                var hidden = [Float](repeating: 0, count: configuration.hiddenSize)
                let row = embedding.rows(of: [1])
                for i in hidden.indices { hidden[i] = row.span[i] }
                var span = hidden.mutableSpan
                try decoder.run(
                    blocks: 0..<configuration.blockCount, on: &span,
                    segments: [CacheSegment(cache: cache, position: context + index, rows: 1)],
                    workspace: &workspace)
                _ = decoder.logits(hidden.span, workspace: &workspace)
            }
            try report(
                "plain, \(cache.layers.first?.format.rawValue ?? "none")", context, seconds,
                weights: decoder.byteCount,
                cache: bytes, pool, note: "")
        }
    }

    /// Seconds of one call: the mean of all calls except the first, in which memory is used for the first time.
    private func mean<Failure: Error>(_ body: (Int) throws(Failure) -> Void) throws(Failure) -> Double {
        try body(0)
        let start = ContinuousClock.now
        for index in 1...tokens { try body(index) }
        return (ContinuousClock.now - start) / .seconds(1) / Double(tokens)
    }

    private func report(
        _ name: String, _ context: Int, _ seconds: Double, weights: Int, cache: Int, _ pool: ThreadPool,
        note: String
    ) throws {
        let bandwidth = try MachineProbe.readBandwidth(pool: pool)
        let floor = Double(weights + cache) / bandwidth
        print(
            "\(name), \(context) tokens: \(rounded(seconds * 1e3)) ms a token\(note), "
                + "\(rounded(seconds / floor)) of the floor at \(rounded(bandwidth / 1e9)) GB/s, "
                + "cache \(cache >> 20) MiB")
    }

    /// Random keys and values of 256 tokens; each token has its keys and then its values.
    private static func randomRows(_ configuration: DecoderConfiguration) -> [Float] {
        let width = 2 * configuration.keyValueHeadCount * configuration.headSize
        return (0..<256 * width).map { _ in Float.random(in: -1...1) }
    }

    private func rounded(_ value: Double) -> String { String(format: "%.3g", value) }
}
