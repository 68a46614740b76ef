import Foundation
import SCXEncoding
import SCXInference
import SCXProfiles
import SCXText
import Testing

/// Statistics of many rows, for optimized builds.
@Suite("redundant rows", .enabled(if: isOptimized))
struct RedundancyTests {
    @Test("redundant rows of the bundled model look like those of a text that it was not profiled on")
    func bundledModel() throws {
        let model = try ScxFixture(directory: LeakTests.bundled, weights: .bf16)
        let tokenizer = try Tokenizer(directory: LeakTests.bundled)
        let documents = TinyModel.folder.deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "docs/protocol.md")
        let tokens = tokenizer.encode(try String(contentsOf: documents, encoding: .utf8))
        // The profile is of the text that ships with the program, as in use.
        let profile = try ModelProfile(
            measuring: model.checkpoint, tokens: tokenizer.encode(ModelProfile.sampleText), noiseScale: 8,
            pool: ScxFixture.pool)
        var rows: [String: [[Float]]] = [:]
        for start in stride(from: 0, to: 1_024, by: 256) {
            for (name, part) in try ScxWorkerViewTests.plainRows(
                model, Array(tokens[start..<start + 256]))
            {
                // The first row of a text is like no other.
                rows[name, default: []] += part.dropFirst()
            }
        }
        var random = SecureRandom()
        var accuracies: [Double] = []
        for place in ModelProfile.Place.all(blocks: model.blockCount) {
            guard let real = rows[place.viewName] else { continue }
            let drawn = profile.statistics(of: place).draw(real.count, random: &random, pool: ScxFixture.pool)
            var redundant: [Float] = []
            for i in drawn.span.indices { redundant.append(drawn.span[i]) }
            accuracies.append(
                Self.classify(Array(real.joined()), redundant, channels: drawn.channels))
        }
        #expect(accuracies.count == 4 * model.blockCount + 1)
        let mean = accuracies.reduce(0, +) / Double(accuracies.count)
        // Half of the cases is chance. The text is another than the profile's, which is part of the difference.
        #expect(mean < 0.8, "a classifier is right in \(mean) of the cases, at most \(accuracies.max() ?? 0)")
    }

    @Test("no classifier of moments tells redundant rows from made ones that are as difficult as real ones")
    func madeRows() throws {
        // Rows as transformers have them: few strong channels, channels that depend on each other, norms that vary.
        var random = SecureRandom()
        let channels = 96, count = 1_000
        let offsets = (0..<channels).map { $0 % 31 == 5 ? Float(20) : random.normalPair().0 * 0.3 }
        let mix = (0..<6 * channels).map { _ in random.normalPair().0 }
        func real(_ rows: Int) -> [Float] {
            var values: [Float] = []
            for _ in 0..<rows {
                let hidden = (0..<6).map { _ in random.normalPair().0 }
                let length = exp(random.normalPair().0 * 0.2)
                for c in 0..<channels {
                    let shared = (0..<6).reduce(Float(0)) { $0 + hidden[$1] * mix[$1 * channels + c] }
                    values.append(length * (offsets[c] + shared + 0.5 * random.normalPair().0))
                }
            }
            return values
        }
        let sample = real(256)
        let statistics = try RowStatistics(measuring: sample.span, channels: channels)
        let drawn = statistics.draw(count, random: &random, pool: ScxFixture.pool)
        var redundant: [Float] = []
        for i in drawn.span.indices { redundant.append(drawn.span[i]) }
        let accuracy = Self.classify(real(count), redundant, channels: channels)
        #expect(accuracy < 0.66, "a classifier is right in \(accuracy) of the cases")
        // It is no weak classifier: rows of independent channels with the same means and variances do not pass.
        var naive: [Float] = []
        for _ in 0..<count {
            for c in 0..<channels {
                let column = (0..<256).map { sample[$0 * channels + c] }
                let mean = column.reduce(0, +) / 256
                let variance = column.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 256
                naive.append(mean + variance.squareRoot() * random.normalPair().0)
            }
        }
        #expect(Self.classify(real(count), naive, channels: channels) > 0.8)
    }

    /// How often logistic regression on the moments of rows is right, on rows that it was not trained on.
    static func classify(_ a: [Float], _ b: [Float], channels: Int) -> Double {
        func features(_ values: [Float]) -> [[Double]] {
            stride(from: 0, to: values.count, by: channels).map { start in
                let row = values[start..<start + channels].map(Double.init)
                let mean = row.reduce(0, +) / Double(channels)
                func moment(_ n: Double) -> Double {
                    row.reduce(0) { $0 + pow(abs($1 - mean), n) } / Double(channels)
                }
                let deviation = moment(2).squareRoot()
                return [
                    mean, deviation, moment(3) / pow(deviation, 3), moment(4) / pow(deviation, 4),
                    row.map(abs).max() ?? 0, moment(1) / deviation, row.map(abs).sorted()[channels / 2],
                ]
            }
        }
        var rows = zip(features(a), features(b)).flatMap { [($0, 1.0), ($1, 0.0)] }
        let width = rows[0].0.count
        for f in 0..<width {
            let column = rows.map { $0.0[f] }
            let mean = column.reduce(0, +) / Double(rows.count)
            let deviation = max(
                (column.reduce(0) { $0 + pow($1 - mean, 2) } / Double(rows.count)).squareRoot(), 1e-9)
            for i in rows.indices { rows[i].0[f] = (rows[i].0[f] - mean) / deviation }
        }
        // Squares too, so that rows which vary too little are found.
        for i in rows.indices { rows[i].0 += rows[i].0.map { $0 * $0 } + [1] }
        var weights = [Double](repeating: 0, count: 2 * width + 1)
        func score(_ x: [Double]) -> Double { 1 / (1 + exp(-zip(x, weights).reduce(0) { $0 + $1.0 * $1.1 })) }
        let half = rows.count / 2
        for _ in 0..<300 {
            var gradient = [Double](repeating: 0, count: weights.count)
            for (x, y) in rows[..<half] {
                let error = score(x) - y
                for f in x.indices { gradient[f] += error * x[f] }
            }
            for f in weights.indices { weights[f] -= 0.5 * gradient[f] / Double(half) }
        }
        return Double(rows[half...].count { (score($0.0) > 0.5) == ($0.1 > 0.5) }) / Double(rows.count - half)
    }
}

extension ModelProfile.Place {
    /// Its name in ``ScxWorkerViewTests``.
    fileprivate var viewName: String {
        switch self {
        case .attentionInput(let block): "attention \(block)"
        case .outputInput(let block): "output \(block)"
        case .feedForwardInput(let block): "feedForward \(block)"
        case .keys(let block): "keys \(block)"
        case .headInput: "head"
        }
    }
}
