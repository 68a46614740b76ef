import Foundation
import SCXInference

/// The results of one level of load.
struct LoadReport: Sendable {
    let streams: Int
    let profile: String
    var results: [LoadResult] = []
    /// The answers that differ from those to the same requests asked alone: where they differ.
    private(set) var wrong: [String] = []
    var seconds = 0.0
    var kills = 0
    var before: LoadServer.Memory?
    var most: LoadServer.Memory?
    var after: LoadServer.Memory?

    init(streams: Int, profile: String) { (self.streams, self.profile) = (streams, profile) }

    private var answered: [LoadResult] { results.filter { $0.outcome == .answered } }
    private var cut: Int { results.count { $0.outcome == .cut } }
    private var retries: Int { results.reduce(0) { $0 + $1.retries } }

    /// The reasons for which requests failed, and how often each occurred.
    var failures: [String: Int] {
        var failures: [String: Int] = [:]
        for case .failed(let reason) in results.map(\.outcome) { failures[reason, default: 0] += 1 }
        return failures
    }

    var isClean: Bool { failures.isEmpty && wrong.isEmpty }

    /// Tokens of answers per second, including those of answers that were cut off.
    private var tokensPerSecond: Double {
        Double(results.reduce(0) { $0 + $1.answer.tokens }) / max(seconds, 1e-9)
    }

    private var promptTokens: Double {
        Double(answered.reduce(0) { $0 + $1.answer.promptTokens }) / Double(max(1, answered.count))
    }

    /// The median and the 99th percentile, in milliseconds.
    private static func percentiles(_ seconds: [Double]) -> (half: Double, most: Double)? {
        guard !seconds.isEmpty else { return nil }
        let sorted = seconds.sorted()
        func value(_ share: Double) -> Double {
            sorted[min(sorted.count - 1, max(0, Int((share * Double(sorted.count)).rounded(.up)) - 1))] * 1e3
        }
        return (value(0.5), value(0.99))
    }

    private var first: (half: Double, most: Double)? { Self.percentiles(answered.compactMap(\.first)) }
    private var between: (half: Double, most: Double)? { Self.percentiles(answered.flatMap(\.gaps)) }

    /// Compares answers with those to the same requests asked alone; requests that were to be cut off have none.
    mutating func compare(with expected: [Int: LoadAnswer]) {
        for result in answered {
            guard let alone = expected[result.request.number], alone != result.answer else { continue }
            let common = zip(alone.text, result.answer.text).prefix { $0 == $1 }.count
            wrong.append(
                "request \(result.request.number) of \(result.request.profile ?? "the default profile"): "
                    + "\(result.answer.tokens) tokens, alone \(alone.tokens); the same up to character "
                    + "\(common) of \(alone.text.count)")
        }
    }

    // MARK: Text

    static let heading = """
                                                               first token ms  between tokens ms           \
        server + workers, MiB
        streams profile      ok failed  cut wrong retry  tokens/s     p50     p99      p50     p99  wall s  \
        before        most          after
        """

    var line: String {
        func columns(_ pair: (half: Double, most: Double)?, _ format: String) -> String {
            pair.map { String(format: format, $0.half, $0.most) } ?? String(repeating: " ", count: 15) + "-"
        }
        func mebibytes(_ memory: LoadServer.Memory?) -> String {
            let text = memory.map { "\($0.server >> 20)+\($0.children >> 20)" } ?? "-"
            return text.padding(toLength: 13, withPad: " ", startingAt: 0)
        }
        return String(format: "%7d ", streams) + profile.padding(toLength: 9, withPad: " ", startingAt: 0)
            + String(
                format: "%6d %6d %4d %5d %5d  %8.1f ", answered.count - wrong.count,
                results.count - answered.count - cut, cut, wrong.count, retries, tokensPerSecond)
            + columns(first, "%7.0f %7.0f ") + columns(between, "%8.1f %7.1f ")
            + String(format: "%7.1f  ", seconds)
            + [before, most, after].map(mebibytes).joined(separator: " ")
            + (kills > 0 ? " workers killed \(kills) times" : "")
    }

    // MARK: JSON

    var json: JSON {
        func pair(_ values: (half: Double, most: Double)?) -> JSON {
            values.map { ["p50": .double($0.half), "p99": .double($0.most)] } ?? .null
        }
        func bytes(_ memory: LoadServer.Memory?) -> JSON {
            memory.map { ["server": .int($0.server), "children": .int($0.children)] } ?? .null
        }
        return [
            "streams": .int(streams), "profile": .string(profile),
            "ok": .int(answered.count - wrong.count), "cancelled": .int(cut), "wrong": .int(wrong.count),
            "failed": .object(failures.sorted { $0.key < $1.key }.map { .init($0.key, .int($0.value)) }),
            "retries": .int(retries), "kills": .int(kills), "prompt_tokens": .double(promptTokens),
            "tokens_per_second": .double(tokensPerSecond), "first_token_ms": pair(first),
            "between_tokens_ms": pair(between), "seconds": .double(seconds),
            "memory_before": bytes(before), "memory_most": bytes(most), "memory_after": bytes(after),
        ]
    }
}
