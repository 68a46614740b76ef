import Foundation
import SCXEncoding
package import SCXInference
package import SCXLink
import SCXProfiles
import SCXWorker

/// Measures how often several ways to compute a model choose the same next token as a reference, each after the same
/// tokens.
package struct Agreement {
    /// A way to compute: a profile, and the precision of its weights if it can be chosen.
    package struct Way: Hashable, Sendable {
        /// The profile's name.
        package let profile: String
        /// The precision of the worker's weights.
        package let weights: WeightFormat

        /// Reads `plain:f32`, `plain:bf16` and so on, `fixed-point` or `sealed`; nil for anything else.
        package init?(_ text: String) {
            let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
            switch (parts.first, parts.count) {
            case ("fixed-point"?, 1), ("sealed"?, 1): (profile, weights) = (parts[0], .int8)
            case ("plain"?, 2):
                guard let format = WeightFormat(rawValue: parts[1]) else { return nil }
                (profile, weights) = (parts[0], format)
            default: return nil
            }
        }

        package var name: String { profile == "plain" ? "plain:\(weights.rawValue)" : profile }
    }

    /// What was measured for one way, compared with the reference.
    package struct Result: Sendable {
        package let name: String
        /// How many positions were compared.
        package fileprivate(set) var positions = 0
        /// At how many positions the likeliest token is the same.
        package fileprivate(set) var same = 0
        /// Where the likeliest tokens differ, the largest difference between the log-probabilities that the reference
        /// gives to its own token and to the other.
        package fileprivate(set) var widestGap = 0.0
        /// The sum of the Kullback–Leibler divergences from the reference, in nats.
        fileprivate var divergence = 0.0
        /// The sum of squared differences of logits.
        fileprivate var differences = 0.0
        /// The sum of the reference's squared logits.
        fileprivate var squares = 0.0
        /// The sum of log-likelihoods of the tokens that follow.
        fileprivate var likelihood = 0.0
        /// How many tokens follow in all.
        fileprivate var predicted = 0

        fileprivate init(name: String) { self.name = name }

        /// The share of positions with the same likeliest token.
        package var agreement: Double { Double(same) / Double(max(1, positions)) }
        /// The mean Kullback–Leibler divergence from the reference, in nats.
        package var meanDivergence: Double { divergence / Double(max(1, positions)) }
        /// The Euclidean norm of the logits' difference from the reference's, over the norm of the reference's.
        package var error: Double { squares > 0 ? (differences / squares).squareRoot() : 0 }
        /// The perplexity of the texts.
        package var perplexity: Double { exp(-likelihood / Double(max(1, predicted))) }
    }

    private let vocabulary: Int
    private let forwards: [(way: Way, forward: any ForwardPass)]

    /// Loads a model as often as the ways need.
    ///
    /// - Parameters:
    ///   - checkpoint: The model.
    ///   - ways: The first is the reference.
    ///   - pool: Threads that compute.
    /// - Throws: When the model cannot be loaded.
    package init(_ checkpoint: Checkpoint, ways: [Way], pool: ThreadPool) throws {
        vocabulary = checkpoint.configuration.vocabularySize
        var decoders: [WeightFormat: Decoder] = [:]
        var model: RingModel?
        var forwards: [(Way, any ForwardPass)] = []
        for way in ways {
            let decoder =
                try decoders[way.weights] ?? Decoder(checkpoint, format: way.weights, pool: pool)
            decoders[way.weights] = decoder
            let link = InProcessLink(Worker(model: decoder))
            guard way.profile != "plain" else {
                forwards.append(
                    (
                        way,
                        PlainForwardPass(
                            embedding: try TokenEmbedding(checkpoint),
                            configuration: checkpoint.configuration, link: link)
                    ))
                continue
            }
            let ring = try model ?? RingModel(checkpoint, pool: pool)
            model = ring
            let forward =
                way.profile == "sealed"
                ? RingForwardPass(
                    sealed: ring, workers: RingWorkers([("in process", [link])]),
                    bank: PadBank(sites: ring.sites, sources: [DirectPads(decoder)]))
                : RingForwardPass(fixedPoint: ring, weights: decoder)
            forwards.append((way, forward))
        }
        self.forwards = forwards
    }

    /// How many tokens are computed at once.
    private static let rows = 64

    /// Computes texts in all ways.
    ///
    /// - Parameters:
    ///   - windows: Texts that fit the model; each is computed from its first token on.
    ///   - progress: Called with the fraction done, 0 to 1.
    /// - Returns: The measurements of each way, the reference first.
    /// - Throws: ``LinkError`` when a way fails.
    package func measure(
        _ windows: [[Int32]], progress: (_ fraction: Double) -> Void = { _ in }
    ) throws(LinkError) -> [Result] {
        var results = forwards.map { Result(name: $0.way.name) }
        let total = windows.reduce(0) { $0 + $1.count }
        var done = 0
        for window in windows {
            for first in stride(from: 0, to: window.count, by: Self.rows) {
                let tokens = Array(window[first..<min(first + Self.rows, window.count)])
                let segment = BatchSegment(
                    slot: Slot(number: 1), position: first, tokens: tokens, output: .allLogits)
                var reference: [Float] = []
                for (index, one) in forwards.enumerated() {
                    let logits = try one.forward.compute(segment)
                    if index == 0 { reference = logits }
                    for row in tokens.indices {
                        let next = first + row + 1
                        add(
                            row, logits, reference, next < window.count ? window[next] : nil,
                            to: &results[index])
                    }
                }
                done += tokens.count
                progress(Double(done) / Double(total))
            }
            for one in forwards { try one.forward.end(Slot(number: 1)) }
        }
        return results
    }

    /// Counts one position.
    private func add(
        _ row: Int, _ logits: [Float], _ reference: [Float], _ next: Int32?, to result: inout Result
    ) {
        let range = row * vocabulary..<(row + 1) * vocabulary
        let (own, right) = (logits.span.extracting(range), reference.span.extracting(range))
        let (ownSum, rightSum) = (Double(logSumExp(own)), Double(logSumExp(right)))
        var (best, rightBest) = (0, 0)
        for i in own.indices {
            if own[i] > own[best] { best = i }
            if right[i] > right[rightBest] { rightBest = i }
            let (p, q) = (Double(right[i]) - rightSum, Double(own[i]) - ownSum)
            result.divergence += exp(p) * (p - q)
            result.differences += (Double(own[i]) - Double(right[i])) * (Double(own[i]) - Double(right[i]))
            result.squares += Double(right[i]) * Double(right[i])
        }
        result.positions += 1
        if best == rightBest {
            result.same += 1
        } else {
            result.widestGap = max(result.widestGap, Double(right[rightBest]) - Double(right[best]))
        }
        guard let next else { return }
        result.likelihood += Double(own[Int(next)]) - ownSum
        result.predicted += 1
    }
}
