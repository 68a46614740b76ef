import Foundation
import SCXAttacks
import SCXText

/// What everybody knows of a conversation before it begins: the marks of the model's chat template.
package enum KnownText {
    /// The tokens of the chat template in a session whose first prompt was written with it.
    ///
    /// Two prompts with different words are rendered; what they have in common at the beginning and at the end comes
    /// from the template. A directory without template or tokenizer has no such tokens.
    ///
    /// - Parameters:
    ///   - directory: The model's directory.
    ///   - length: How many tokens the first prompt has, which the worker saw.
    /// - Returns: Tokens by position; none when the prompt is shorter than the template.
    /// - Throws: When a file is there but cannot be used.
    package static func template(directory: String, promptLength length: Int) throws -> [Int: Int32] {
        guard let tokenizer = try Tokenizer(ifPresentIn: directory),
            let format = try ChatFormat.load(directory: URL(filePath: directory))
        else { return [:] }
        let marks = try format.marks(tokenizer)
        let (begin, end) = (marks.begin, marks.end)
        guard begin.count + end.count <= min(length, marks.shortest) else { return [:] }
        var known: [Int: Int32] = [:]
        for (i, token) in begin.enumerated() { known[i] = token }
        for (i, token) in end.enumerated() { known[length - end.count + i] = token }
        return known
    }
}
