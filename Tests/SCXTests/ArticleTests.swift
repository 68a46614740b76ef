import Foundation
import Testing

/// The code of the pages is code that is built.
@Suite("library: pages")
struct ArticleTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    private func lines(_ path: String) throws -> [String] {
        try String(contentsOf: Self.root.appending(path: path), encoding: .utf8)
            .split(separator: "\n", omittingEmptySubsequences: false)
            .map { $0.trimmingCharacters(in: .whitespaces) }
    }

    @Test(
        "every line of Swift is a line of the example, in its order",
        arguments: [
            ("README.md", 1), ("Sources/Trusted/SCXLibrary/SCX.docc/AskingAModel.md", 4),
        ])
    func sameCode(page: String, blocks: Int) throws {
        let example = try lines("Examples/ask/Sources/ask/main.swift")
        var count = 0
        var place: Int?
        for line in try lines(page) {
            if line == "```swift" {
                (count, place) = (count + 1, 0)
            } else if line == "```" {
                place = nil
            } else if let start = place, !line.isEmpty {
                let found = example[start...].firstIndex(of: line)
                #expect(found != nil, "\(page): '\(line)' is not in the example, or not in this order")
                place = found.map { $0 + 1 } ?? start
            }
        }
        #expect(count == blocks, "\(page) has \(count) blocks of Swift")
    }
}
