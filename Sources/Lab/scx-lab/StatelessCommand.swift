import ArgumentParser
import Foundation
import SCXEncoding
import SCXInference
import SCXLink
import SCXOptions
import SCXProfiles
import SCXText
import SCXWorker

struct StatelessCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stateless",
        abstract: "Measure what the caches that a worker holds are worth without the others.",
        discussion: """
            Profile scx computes the beginning of each window of the text; from then on the worker is on its own. It \
            goes on with the window's other tokens, given in clear, over the caches that it holds: valid ones of the \
            middle blocks, and for the protected blocks zeros, what it saw of them encoded, or the cache of the nearest \
            block. The table has the perplexity of those tokens and the mean cosine of the last hidden states with the \
            right ones, as in the paper's section 6. It says how well a worker guesses that only goes on computing; \
            what it recovers by attacks is another question.
            """)

    @OptionGroup var loaded: WeightsFlags

    @Option(help: "The text file.")
    var text: String

    @Option(help: "Tokens of a window that profile scx computes.")
    var prompt = 192

    @Option(help: "Tokens of a window that follow.")
    var rest = 64

    @Option(help: "Windows, from the text's beginning.")
    var windows = 8

    @Option(help: "Protected blocks at the beginning.")
    var first = 1

    @Option(help: "Protected blocks at the end.")
    var last = 1

    @Flag(help: "Print one JSON object.")
    var json = false

    func validate() throws {
        guard prompt > 1, rest > 1, windows > 0 else {
            throw ValidationError("'--prompt' and '--rest' need two tokens at least, '--windows' one.")
        }
    }

    func run() throws {
        let checkpoint = try loaded.checkpoint()
        var options = ScxOptions()
        (options.firstBlocks, options.lastBlocks) = (first, last)
        if let problem = options.problem(blockCount: checkpoint.configuration.blockCount) {
            throw ValidationError("'--first \(first) --last \(last)': \(problem).")
        }
        guard prompt + rest <= checkpoint.configuration.maximumLength else {
            throw ValidationError(
                "'--prompt \(prompt) --rest \(rest)' exceed the model's context of "
                    + "\(checkpoint.configuration.maximumLength).")
        }
        let tokens = try Tokenizer(directory: checkpoint.directory).encode(
            String(contentsOfFile: text, encoding: .utf8), addSpecialTokens: false)
        guard tokens.count >= prompt + rest else {
            throw ValidationError("'\(text)' has \(tokens.count) tokens, a window has \(prompt + rest).")
        }
        let pool = loaded.pool
        let study = try CacheStudy(
            checkpoint, format: loaded.weights, options: options, pool: pool)
        var progress = ProgressLine("windows")
        let count = min(windows, tokens.count / (prompt + rest))
        for window in 0..<count {
            let start = window * (prompt + rest)
            try study.add(
                prompt: Array(tokens[start..<start + prompt]),
                rest: Array(tokens[start + prompt..<start + prompt + rest]))
            progress.show(Double(window + 1) / Double(count))
        }
        progress.finish()
        let rows = study.rows
        guard !json else {
            let report = rows.map { row -> JSON in
                [
                    "cache": .string(row.name), "perplexity": .double(row.perplexity),
                    "similarity": .double(row.similarity),
                ]
            }
            return print(JSON.array(report).text)
        }
        print(
            "protected blocks: \(first) + \(last) of \(checkpoint.configuration.blockCount); "
                + "\(count) windows of \(prompt) + \(rest) tokens\n")
        print("cache of the protected blocks            perplexity   similarity")
        for row in rows {
            print(
                row.name.padding(toLength: 40, withPad: " ", startingAt: 0)
                    + String(format: "%11.2f  %11.4f", row.perplexity, row.similarity))
        }
    }
}

/// Runs windows of a text through profile `scx`, and then continues with the KV cache that the worker has.
final class CacheStudy {
    /// What replaces the caches of the protected blocks, which the worker does not have.
    private enum Substitute: String, CaseIterable {
        case right = "right"
        case zeros = "zeros"
        case encoded = "as the worker saw them, encoded"
        case allEncoded = "encoded, in the middle too"
        case nearest = "those of the nearest block"
    }

    struct Row {
        let name: String
        let perplexity: Double
        let similarity: Double
    }

    private let checkpoint: Checkpoint
    private let decoder: Decoder
    private let embedding: TokenEmbedding
    private let profile: ModelProfile
    private let options: ScxOptions
    private var workspace = Workspace()
    private var sums: [(likelihood: Double, similarity: Double)]
    private var predicted = 0

    init(_ checkpoint: Checkpoint, format: WeightFormat, options: ScxOptions, pool: ThreadPool) throws {
        self.checkpoint = checkpoint
        self.options = options
        decoder = try Decoder(checkpoint, format: format, pool: pool)
        embedding = try TokenEmbedding(checkpoint)
        profile = try ModelProfile.cached(
            checkpoint, encode: Tokenizer(directory: checkpoint.directory).encoding, pool: pool,
            progress: ProgressLine("profiling")
        ) { standardError("warning: \($0)") }
        sums = Substitute.allCases.map { _ in (0, 0) }
    }

    var rows: [Row] {
        zip(Substitute.allCases, sums).map { kind, sum in
            Row(
                name: kind.rawValue, perplexity: exp(-sum.likelihood / Double(predicted)),
                similarity: sum.similarity / Double(predicted))
        }
    }

    /// Adds a window.
    func add(prompt: [Int32], rest: [Int32]) throws {
        let seen = try record(prompt, next: rest[0])
        let states = try Substitute.allCases.map { kind in
            try goOn(rest, from: cache(kind, seen, prompt), position: prompt.count)
        }
        // The last token would predict one that is no longer in the window.
        predicted += rest.count - 1
        let (hidden, vocabulary) = (embedding.channels, embedding.vocabularySize)
        for (kind, state) in states.enumerated() {
            let logits = decoder.logits(state.span, workspace: &workspace)
            for t in 0..<rest.count - 1 {
                let row = logits.span.extracting(t * vocabulary..<(t + 1) * vocabulary)
                sums[kind].likelihood += Double(row[Int(rest[t + 1])] - logSumExp(row))
                let range = t * hidden..<(t + 1) * hidden
                sums[kind].similarity += cosine(states[0][range], state[range])
            }
        }
    }

    /// What crosses the link for a prompt, key sharing, and one generated token.
    private func record(_ prompt: [Int32], next: Int32) throws -> [(request: Request, answer: Answer)] {
        let link = RememberingLink(InProcessLink(Worker(model: decoder)))
        let forward = try ScxForwardPass(
            embedding: embedding, layers: decoder, profile: profile, options: options, link: link)
        let slot = Slot(number: 0)
        _ = try forward.compute(BatchSegment(slot: slot, position: 0, tokens: prompt, output: .lastLogits))
        _ = try forward.compute(
            BatchSegment(slot: slot, position: prompt.count, tokens: [next], output: .lastLogits))
        return link.exchanges
    }

    /// Caches of all blocks, built only from what crossed the link, except for `right`.
    private func cache(
        _ kind: Substitute, _ seen: [(request: Request, answer: Answer)], _ prompt: [Int32]
    ) throws -> KVCache {
        let cache = decoder.makeCache()
        if kind == .right {
            var hidden = embedding.rows(of: prompt).sendInClear().values
            var span = hidden.mutableSpan
            try decoder.run(
                blocks: 0..<cache.layers.count, on: &span,
                segments: [CacheSegment(cache: cache, position: 0, rows: prompt.count)], workspace: &workspace
            )
            return cache
        }
        let shape = checkpoint.configuration
        let middle = options.firstBlocks..<shape.blockCount - options.lastBlocks
        let width = shape.keyValueHeadCount * shape.headSize
        for (layer, target) in cache.layers.enumerated() {
            let isValid = middle.contains(layer)
            switch kind {
            case .encoded where !isValid, .allEncoded:
                let (rows, offset) = try encodedRows(seen, layer)
                try target.append(
                    rows.span, keyOffset: offset, valueOffset: offset + width, stride: 2 * width,
                    tokens: prompt.count)
            case .nearest where !isValid && !middle.isEmpty:
                let neighbour = layer < middle.lowerBound ? middle.lowerBound : middle.upperBound - 1
                try unlocked(seen, neighbour, into: target)
            case _ where isValid:
                try unlocked(seen, layer, into: target)
            default:
                let zeros = [Float](repeating: 0, count: prompt.count * 2 * width)
                try target.append(
                    zeros.span, keyOffset: 0, valueOffset: width, stride: 2 * width, tokens: prompt.count)
            }
        }
        return cache
    }

    /// Keys and values that key sharing makes valid: the rows of the product, in the order that was shared.
    private func unlocked(
        _ seen: [(request: Request, answer: Answer)], _ layer: Int, into cache: LayerCache
    ) throws {
        let pair = 2 * checkpoint.configuration.keyValueHeadCount * checkpoint.configuration.headSize
        var products: EncodedTensor?
        for (request, answer) in seen {
            switch (request.operation, answer, request.payload) {
            case (.linear(layer, .queryKeyValue, _, _), .tensor(let tensor), _): products = tensor
            case (.unlock(_, layer, _, _), _, .permutation(let order)):
                guard let products else { continue }
                var rows: [Float] = []
                for place in order {
                    let end = (Int(place) + 1) * products.channels
                    rows += products.values[end - pair..<end]
                }
                var span = rows.mutableSpan
                return try decoder.append(&span, block: layer, to: cache)
            default: break
            }
        }
    }

    /// The keys and values of an attention request, each key followed by its values, and the offset at which they
    /// begin.
    private func encodedRows(
        _ seen: [(request: Request, answer: Answer)], _ layer: Int
    ) throws -> (rows: [Float], offset: Int) {
        for (request, _) in seen {
            if case .attention(layer, let parts) = request.operation, parts.count == 1,
                case .rows(let tensor) = request.payload
            {
                let width = checkpoint.configuration.headCount * checkpoint.configuration.headSize
                return (tensor.values, parts[0].queries * width)
            }
        }
        return ([], 0)
    }

    /// The last hidden states of tokens that follow those in a cache.
    private func goOn(_ tokens: [Int32], from cache: KVCache, position: Int) throws -> [Float] {
        var hidden = embedding.rows(of: tokens).sendInClear().values
        var span = hidden.mutableSpan
        try decoder.run(
            blocks: 0..<cache.layers.count, on: &span,
            segments: [CacheSegment(cache: cache, position: position, rows: tokens.count)],
            workspace: &workspace)
        return hidden
    }

    private func cosine(_ a: ArraySlice<Float>, _ b: ArraySlice<Float>) -> Double {
        var (product, first, second) = (0.0, 0.0, 0.0)
        for (x, y) in zip(a, b) {
            product += Double(x) * Double(y)
            first += Double(x) * Double(x)
            second += Double(y) * Double(y)
        }
        return product / (first * second).squareRoot()
    }
}

/// A link that stores everything that crosses it.
final class RememberingLink: WorkerLink, @unchecked Sendable {
    private let inner: any WorkerLink
    // Only one thread exchanges.
    private(set) var exchanges: [(request: Request, answer: Answer)] = []

    init(_ inner: any WorkerLink) { self.inner = inner }

    var traffic: Traffic { inner.traffic }

    func exchange(_ request: Request) throws(LinkError) -> Answer {
        let answer = try inner.exchange(request)
        exchanges.append((request, answer))
        return answer
    }
}
