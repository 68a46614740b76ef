import ArgumentParser
import Foundation
package import SCXInference
package import SCXText

/// Takes prompts from a text: the same text and seed give the same prompts.
package struct ReportPrompts {
    /// Nil when the model has none.
    package let tokenizer: Tokenizer
    private let directory: String
    private let begin: Int32?
    private let tokens: [Int32]
    private let seed: UInt64

    package init(model directory: String, _ configuration: DecoderConfiguration, text: String, seed: UInt64)
        throws
    {
        tokenizer = try Tokenizer(directory: directory)
        self.directory = directory
        self.seed = seed
        begin = configuration.beginOfSequence.map { Int32(clamping: $0) }
        tokens = tokenizer.encode(try String(contentsOfFile: text, encoding: .utf8), addSpecialTokens: false)
        guard tokens.count >= 256 else {
            throw ValidationError("'\(text)' has \(tokens.count) tokens, prompts are cut from 256 at least.")
        }
    }

    /// The tokens, by position, that everybody knows of a prompt of this length: the template's, or the beginning of
    /// the text.
    package func known(length: Int) throws -> [Int: Int32] {
        let marks = try KnownText.template(directory: directory, promptLength: length)
        if marks.isEmpty, let begin { return [0: begin] }
        return marks
    }

    /// Makes a prompt: text between the marks of the template.
    package func prompt(length: Int, number: Int) throws -> [Int32] {
        var random = LabRandom(seed: seed &+ UInt64(length) << 20 &+ UInt64(number))
        let known = try known(length: length)
        let start = Int(random.next() % UInt64(tokens.count - min(length, tokens.count - 1)))
        var next = start
        return (0..<length).map { position in
            if let token = known[position] { return token }
            defer { next += 1 }
            return tokens[next % tokens.count]
        }
    }
}
