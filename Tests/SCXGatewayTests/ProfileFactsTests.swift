import Foundation
import SCXGateway
import SCXProfiles
import Testing

@Suite("what profiles hide, in words")
struct ProfileFactsTests {
    /// The text of a cell of a Markdown table, without marks and links.
    private func text(_ cell: Substring) -> String {
        cell.replacing(/\[([^\]]*)\]\([^)]*\)/) { "\($0.1)" }.replacing("**", with: "").replacing(
            "`", with: ""
        )
        .trimmingCharacters(in: .whitespaces)
    }

    @Test("README.md's table has the same words")
    func readme() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let lines = try String(contentsOf: root.appending(path: "README.md"), encoding: .utf8).split(
            separator: "\n")
        let start = try #require(lines.firstIndex { $0.hasPrefix("| profile |") })
        let rows = lines[(start + 2)...].prefix { $0.hasPrefix("|") }.map { line in
            line.split(separator: "|").map { text($0) }
        }
        #expect(rows.count == ProfileFacts.all.count)
        for (row, facts) in zip(rows, ProfileFacts.all) {
            // README may say more: which is the default, and where one reads on.
            for (cell, fact) in zip(row, [facts.name, facts.sees, facts.hides, facts.leaks]) {
                #expect(cell.hasPrefix(fact), "\(facts.name)")
            }
        }
    }

    @Test("a table for a terminal has its columns below each other")
    func table() throws {
        let lines = ProfileFacts.table(ProfileFacts.all)
        #expect(lines.count == 1 + ProfileFacts.all.count)
        let place = try #require(lines[0].range(of: "hides")).lowerBound
        let column = lines[0].distance(from: lines[0].startIndex, to: place)
        for (line, facts) in zip(lines.dropFirst(), ProfileFacts.all) {
            #expect(line.dropFirst(column).hasPrefix(facts.hides) && line.hasSuffix(facts.leaks))
        }
    }

    @Test("the page has a place for them, and for the owners that must not collude")
    func page() throws {
        func file(_ path: String) throws -> String {
            String(decoding: try #require(PageFile.all.first { "\($0.path)" == path }).bytes, as: UTF8.self)
        }
        #expect(try file("/").contains("<ul id=\"owners\">"))
        for word in ["worker_sees", "hides", "leaks", "owners"] {
            #expect(try file("/page.js").contains(word))
        }
    }
}
