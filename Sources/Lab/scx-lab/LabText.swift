import Foundation
import SCXInference
import SCXText

extension Tokenizer {
    /// Tokens as text on one line that a terminal can show; tokens that were not found are shown as a gap.
    func oneLine(_ tokens: [Int32?]) -> String {
        let parts = tokens.split(whereSeparator: { $0 == nil }).map {
            decode($0.compactMap { $0 }, skipSpecialTokens: false)
        }
        return String(
            parts.joined(separator: " … ").unicodeScalars.map {
                $0.properties.generalCategory == .control ? "⏎" : Character($0)
            })
    }
}

/// Writes a line to standard error.
func standardError(_ text: String) {
    FileHandle.standardError.write(Data("\(text.printable(keepsLines: true))\n".utf8))
}
