import Foundation
import SCXAttacks
import SCXTrusted

/// What everybody knows of a conversation before it begins: the marks of the model's chat template.
package enum KnownText {
    /// The template's tokens in a session whose first prompt was written with it.
    ///
    /// Two prompts with different words are rendered; what they have in common at the beginning and at the end is the
    /// template's. A directory without template or tokenizer has none.
    ///
    /// - Parameters:
    ///   - directory: Of the model.
    ///   - length: Tokens of the first prompt, which the worker saw.
    /// - Returns: Tokens by position; none when the prompt is shorter than the template.
    /// - Throws: When a file is there but cannot be used.
    package static func template(directory: String, promptLength length: Int) throws -> [Int: Int32] {
        guard FileManager.default.fileExists(atPath: "\(directory)/tokenizer.json"),
            let format = try ChatFormat.load(directory: URL(filePath: directory))
        else { return [:] }
        let tokenizer = try Tokenizer(directory: directory)
        let (a, b) = (
            try render("Lorem ipsum", format, tokenizer), try render("42 times? No!", format, tokenizer)
        )
        let begin = zip(a, b).prefix { $0 == $1 }.count
        let end = zip(a.reversed(), b.reversed()).prefix { $0 == $1 }.count
        guard begin + end <= length, begin + end <= min(a.count, b.count) else { return [:] }
        var known: [Int: Int32] = [:]
        for i in 0..<begin { known[i] = a[i] }
        for i in 0..<end { known[length - end + i] = a[a.count - end + i] }
        return known
    }

    private static func render(
        _ text: String, _ format: ChatFormat, _ tokenizer: Tokenizer
    ) throws -> [Int32] {
        // The template writes the special tokens itself.
        tokenizer.encode(
            try format.prompt([ChatMessage(role: "user", content: text)]), addSpecialTokens: false)
    }
}
