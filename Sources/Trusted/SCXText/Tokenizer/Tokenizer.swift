import SCXInference

/// The tokenizer of a Hugging Face `tokenizer.json`: byte-pair encoding, WordPiece, Unigram or whole words.
///
/// Gives exactly the tokens and texts of the `tokenizers` package for the files that it accepts, and refuses the others
/// with an error that names what it lacks. Takes time in proportion to the text, whatever the file asks for. Keeps no
/// text after a call.
package final class Tokenizer: Sendable {
    let added: AddedTokenFinder
    let addedNormalized: AddedTokenFinder
    let normalizers: [Normalizer]
    let preTokenizers: [PreTokenizer]
    let model: TokenModel
    let decoders: [TokenDecoder]
    let template: [TemplatePiece]
    /// What a pair of texts becomes; nil where the file does not say.
    let pairTemplate: [PairPiece]?
    /// Whether the model takes the kinds of tokens.
    let takesKinds: Bool
    /// Tokens by number, added ones included, as `token(for:)` shows them.
    let vocabulary: Vocabulary
    /// Texts of added tokens that decode in their normalized form.
    let decodedForms: [Int32: [UInt8]]
    package let specialTokens: Set<Int32>
    /// Special tokens that decoding leaves out: those that decode as they are written.
    let skippedTokens: Set<Int32>

    /// The special tokens that the model's configuration names.
    package let beginOfText: Int32?
    package let endOfText: Int32?
    package let padding: Int32?
    package let unknown: Int32?
    /// The token that the configuration wants after every text (`add_eos_token`), whatever the template says.
    package let configuredEnding: Int32?

    init(_ file: TokenizerFile) throws(TokenizerError) {
        normalizers = try file.normalizers()
        var plan = try file.preTokenizers()
        model = try file.model(&plan)
        preTokenizers = plan.steps
        decoders = try file.decoders()
        let tokens = try file.addedTokens(model.vocabulary, normalizers)
        added = tokens.plain
        addedNormalized = tokens.normalized
        vocabulary = tokens.vocabulary
        decodedForms = tokens.decodedForms
        specialTokens = tokens.special
        skippedTokens = tokens.special.filter { [decodedForms] in decodedForms[$0] == nil }
        template = try file.template(vocabulary)
        pairTemplate = try file.pairTemplate(vocabulary)
        takesKinds = file.takesKinds
        beginOfText = file.configuredToken("bos_token", vocabulary)
        endOfText = file.configuredToken("eos_token", vocabulary)
        padding = file.configuredToken("pad_token", vocabulary)
        unknown = file.configuredToken("unk_token", vocabulary) ?? model.unknown
        configuredEnding = file.configuration["add_eos_token"]?.bool == true ? endOfText : nil
    }

    /// Words between two looks at ``Interruption``.
    private static let wordsAtOnce = 4096

    /// One more than the greatest token number.
    package var vocabularySize: Int { vocabulary.idLimit }

    /// Whether the token is marked special: decoding leaves those out unless asked not to.
    package func isSpecial(_ id: Int32) -> Bool { specialTokens.contains(id) }

    /// The token's text as the vocabulary spells it, nil for a number without a token.
    package func token(for id: Int32) -> String? {
        vocabulary.text(of: id).map { String(decoding: $0, as: UTF8.self) }
    }

    /// The number of a token spelt as the vocabulary does.
    package func id(for token: String) -> Int32? {
        let bytes = Array(token.utf8)
        return vocabulary.id(of: bytes.span)
    }

    /// Whether every number is the same token in both, so that tokens of one are tokens of the other.
    package func hasSameVocabulary(as other: Tokenizer) -> Bool {
        vocabularySize == other.vocabularySize && specialTokens == other.specialTokens
            && (0..<Int32(vocabularySize)).allSatisfy {
                vocabulary.text(of: $0) == other.vocabulary.text(of: $0)
            }
    }

    /// Turns text into tokens.
    ///
    /// Special tokens written in the text become those tokens, as in the `tokenizers` package. `addSpecialTokens` asks
    /// for what the file's template puts around a text. Where ``Interruption`` asks for it, the tokens end early.
    package func encode(_ text: String, addSpecialTokens: Bool = true) -> [Int32] {
        var ids: [Int32] = []
        for piece in addSpecialTokens ? template : [.text] {
            switch piece {
            case .tokens(let tokens): ids += tokens
            case .text: encode(Array(text.utf8), into: &ids)
            }
        }
        return ids
    }

    /// ``encode(_:addSpecialTokens:)`` with special tokens as a function, for modules that do not import this one.
    package var encoding: (_ text: String) -> [Int32] { { self.encode($0) } }

    private func encode(_ text: [UInt8], into ids: inout [Int32]) {
        var work = TokenModel.Workspace()
        for piece in added.pieces(of: text.span) {
            switch piece {
            case .token(let id): ids.append(id)
            case .text(let range):
                let bytes = range.count == text.count ? text : Array(text[range])
                var part = NormalizedText(bytes: bytes, isFirst: range.lowerBound == 0)
                for normalizer in normalizers { normalizer.apply(to: &part) }
                encode(normalized: part, &work, into: &ids)
            }
        }
    }

    private func encode(
        normalized text: NormalizedText, _ work: inout TokenModel.Workspace, into ids: inout [Int32]
    ) {
        let isInterrupted = Interruption.check
        for piece in addedNormalized.pieces(of: text.bytes.span) {
            switch piece {
            case .token(let id): ids.append(id)
            case .text(let range):
                let bytes = range.count == text.bytes.count ? text.bytes : Array(text.bytes[range])
                var words = Words(
                    NormalizedText(bytes: bytes, firstCount: max(0, text.firstCount - range.lowerBound)))
                for step in preTokenizers {
                    if isInterrupted?() == true { return }
                    step.apply(to: &words)
                }
                let written = words.text.bytes
                // In parts, between which the work can be given up.
                for first in stride(from: 0, to: words.ranges.count, by: Self.wordsAtOnce) {
                    if isInterrupted?() == true { return }
                    let part = words.ranges[first..<min(first + Self.wordsAtOnce, words.ranges.count)]
                    model.encode(part, of: written.span, &work, into: &ids)
                }
            }
        }
    }

    /// Turns tokens into text; numbers without a token give none.
    package func decode(_ tokens: some Sequence<Int32>, skipSpecialTokens: Bool = true) -> String {
        var stream = TokenDecoding(decoders)
        var text: [UInt8] = []
        for id in tokens {
            guard let token = decodable(id, skipSpecialTokens) else { continue }
            stream.push(token, into: &text)
        }
        stream.finish(into: &text)
        return String(decoding: text, as: UTF8.self)
    }

    /// The text of a token that the decoder begins with, nil for one that it leaves out.
    private func decodable(_ id: Int32, _ skipSpecialTokens: Bool) -> [UInt8]? {
        if skipSpecialTokens, skippedTokens.contains(id) { return nil }
        return decodedForms[id] ?? vocabulary.text(of: id).map { Array($0) }
    }

    /// Turns tokens into text while they arrive.
    ///
    /// The parts, one after the other, are what `decode` gives for all tokens. A part never ends inside a character;
    /// a token whose text still depends on the next one gives an empty part.
    package struct StreamDecoder: Sendable {
        private let tokenizer: Tokenizer
        private let skipSpecialTokens: Bool
        private let keptTokens: Set<Int32>
        private var decoding: TokenDecoding

        /// - Parameters:
        ///   - tokenizer: Of the tokens.
        ///   - skipSpecialTokens: Whether special tokens give no text.
        ///   - keptTokens: Special tokens that give theirs all the same.
        package init(_ tokenizer: Tokenizer, skipSpecialTokens: Bool = true, keptTokens: Set<Int32> = []) {
            self.tokenizer = tokenizer
            self.skipSpecialTokens = skipSpecialTokens
            self.keptTokens = keptTokens
            decoding = TokenDecoding(tokenizer.decoders)
        }

        /// Takes a token and gives the text that is certain now.
        package mutating func push(_ token: Int32) -> String {
            let isSkipped = skipSpecialTokens && !keptTokens.contains(token)
            guard let token = tokenizer.decodable(token, isSkipped) else { return "" }
            var text: [UInt8] = []
            decoding.push(token, into: &text)
            return String(decoding: text, as: UTF8.self)
        }

        /// Gives the rest, such as a replacement character for half a character; the decoder is as new afterwards.
        package mutating func finish() -> String {
            var text: [UInt8] = []
            decoding.finish(into: &text)
            decoding = TokenDecoding(tokenizer.decoders)
            return String(decoding: text, as: UTF8.self)
        }
    }
}

/// A part of what a text becomes: given tokens, or the text's own.
enum TemplatePiece: Equatable, Sendable {
    case tokens([Int32])
    case text
}
