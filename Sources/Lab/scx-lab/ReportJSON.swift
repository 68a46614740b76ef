import SCXAttacks
package import SCXInference
import SCXLink

extension ReportResult {
    /// Everything that the report measured.
    package var json: JSON {
        [
            "model": .string(model), "text": .string(text), "weights": .string(weights),
            "blocks": .int(configuration.blockCount), "hidden": .int(configuration.hiddenSize),
            "vocabulary": .int(configuration.vocabularySize), "seed": .int(Int(clamping: seed)),
            "noise_scale": .double(Double(noiseScale)), "seconds": .double(seconds),
            "cases": .array(cases.map(\.json)),
            "games": .array(games.map { ["case": .string($0.name), "told_right": $0.share.json] }),
        ]
    }
}

extension ReportCaseResult {
    fileprivate var json: JSON {
        [
            "case": .string(name), "group": .string(group.rawValue),
            "prompt_tokens": .array(lengths.map(JSON.int)), "answer_tokens": .int(answer),
            "points": .object(points.sorted { $0.key < $1.key }.map { .init($0.key, .double($0.value)) }),
            "rows": .array(rows.map(\.json)),
            "traffic": .array(
                traffic.map {
                    [
                        "kind": .string("\($0.kind)"), "messages": .int($0.messages), "bytes": .int($0.bytes),
                    ]
                }),
            "distance_correlation": distanceCorrelation.map(JSON.double) ?? .null,
            "record_seconds": .double(recordSeconds), "truth": .string(truth),
            "recovered": .string(recovered),
        ]
    }
}

extension ReportRow {
    fileprivate var json: JSON {
        if let refusal { return ["attack": .string(attack), "nothing_to_attack": .string(refusal)] }
        return [
            "attack": .string(attack), "sessions": .int(sessions), "has_positions": .bool(hasPositions),
            "exact": exact.json, "prompts": prompts.json, "answers": answers.json, "set": set.json,
            "distinct": distinct.json, "rouge_l": .double(rougeL), "edit_distance": .double(editDistance),
            "median_rank": medianRank.map(JSON.int) ?? .null, "candidates": .int(candidates),
            "seconds": .double(seconds),
            "by_session": .array(bySession.map { [.int($0.length), .double($0.share)] }),
            "guesses": .array(
                guesses.map { guess, truth in
                    [
                        "number": .string(guess.name.rawValue), "best": .double(guess.best),
                        "truth": .int(truth),
                        "range": guess.range.map { [.int($0.lowerBound), .int($0.upperBound)] } ?? .null,
                    ]
                }),
            "measures": .array(
                measures.map { measure in
                    [
                        "name": .string(measure.name), "value": .double(measure.value),
                        "chance": measure.chance.map {
                            [.double($0.lowerBound), .double($0.upperBound)]
                        } ?? .null,
                    ]
                }),
        ]
    }
}

extension Share {
    fileprivate var json: JSON {
        [
            "share": .double(value), "low": .double(interval.lowerBound),
            "high": .double(interval.upperBound), "right": .int(successes), "of": .int(trials),
        ]
    }
}
