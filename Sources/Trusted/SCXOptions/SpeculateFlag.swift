import ArgumentParser
package import SCXEngine
package import SCXInference
import SCXProfiles
package import SCXText

/// The value of `--speculate`: how draft tokens of an answer are proposed.
package enum SpeculateFlag: Equatable, ExpressibleByArgument {
    case off
    case ngram(longest: Int)
    case model(directory: String, longest: Int)

    /// The most tokens of a draft model's draft, when the option does not say it.
    private static let defaultLongest = 4
    private static let lengths = 1...32

    package init?(argument: String) {
        let parts = argument.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            .map(String.init)
        switch (parts[0], parts.count) {
        case ("off", 1): self = .off
        case ("ngram", 2):
            guard let longest = Self.length(parts[1]) else { return nil }
            self = .ngram(longest: longest)
        case ("model", 2):
            // If a number follows the last colon, it is the length of a draft.
            guard let colon = parts[1].lastIndex(of: ":"),
                Int(parts[1][parts[1].index(after: colon)...]) != nil
            else {
                guard !parts[1].isEmpty else { return nil }
                self = .model(directory: parts[1], longest: Self.defaultLongest)
                return
            }
            guard let longest = Self.length(String(parts[1][parts[1].index(after: colon)...])),
                colon > parts[1].startIndex
            else { return nil }
            self = .model(directory: String(parts[1][..<colon]), longest: longest)
        default: return nil
        }
    }

    private static func length(_ text: String) -> Int? {
        Int(text).flatMap { lengths.contains($0) ? $0 : nil }
    }

    /// The most tokens of a draft; 0 without speculation.
    package var longest: Int {
        switch self {
        case .off: 0
        case .ngram(let longest), .model(_, let longest): longest
        }
    }

    package var defaultValueDescription: String { "off" }
}

/// A way to propose draft tokens whose files are loaded, for any number of engines.
package enum OpenDrafts {
    case off
    case ngram(longest: Int)
    case model(DraftModel, longest: Int)

    /// Loads what the option names.
    ///
    /// - Parameters:
    ///   - flag: The command's option.
    ///   - checkpoint: The model that answers.
    ///   - tokenizer: That model's tokenizer.
    ///   - name: That model's name.
    ///   - weights: How a draft model's weights are held.
    ///   - threads: How many threads compute the draft model; nil for one for each core.
    /// - Throws: An error that names the file at fault, or says that the two models have different tokens.
    package init(
        _ flag: SpeculateFlag, _ checkpoint: Checkpoint, _ tokenizer: Tokenizer?, name: String,
        weights: WeightFormat, threads: Int?
    ) throws {
        switch flag {
        case .off: self = .off
        case .ngram(let longest): self = .ngram(longest: longest)
        case .model(let directory, let longest):
            let draft = try Checkpoint(directory: directory)
            let (own, other) = (
                checkpoint.configuration.vocabularySize, draft.configuration.vocabularySize
            )
            guard own == other else {
                throw ValidationError(
                    "'--speculate model:\(directory)': its vocabulary has \(other) tokens, that of '\(name)' \(own)."
                )
            }
            let draftTokenizer = try Tokenizer(ifPresentIn: directory)
            if let tokenizer {
                guard draftTokenizer?.hasSameVocabulary(as: tokenizer) == true else {
                    throw ValidationError(
                        "'--speculate model:\(directory)': its tokenizer has other tokens than that of '\(name)'."
                    )
                }
            }
            let pool = ThreadPool(threads: threads ?? ThreadPool.systemCores)
            var progress = ProgressLine("loading the draft model")
            defer { progress.finish() }
            self = .model(
                DraftModel(
                    embedding: try TokenEmbedding(draft),
                    decoder: try Decoder(draft, format: weights, pool: pool) { progress.show($0) }),
                longest: longest)
        }
    }

    /// Makes a drafter for one engine; nil without speculation.
    package func makeDrafter() -> (any Drafter)? {
        switch self {
        case .off: nil
        case .ngram(let longest): NGramDrafter(longest: longest)
        case .model(let model, let longest): ModelDrafter(model, longest: longest)
        }
    }
}
