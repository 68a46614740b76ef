import Foundation
import SCXInference
import SCXText
import Testing

/// Templates of published models, as `Tools/make-published-template-fixtures.py` writes them.
///
/// Those in the repository are always checked; `SCX_TEMPLATES=FOLDER` adds others.
@Suite("published templates")
struct PublishedTemplateTests {
    static let files: [URL] = {
        let own = ChatTemplateTests.folder.appending(path: "published")
        let more = ProcessInfo.processInfo.environment["SCX_TEMPLATES"].map { URL(filePath: $0) }
        return [own, more].compactMap(\.self).flatMap { folder in
            let found = try? FileManager.default.contentsOfDirectory(
                at: folder, includingPropertiesForKeys: nil)
            return (found ?? []).filter { $0.pathExtension == "json" }
        }.sorted { $0.path < $1.path }
    }()

    static func read(_ file: URL) throws -> JSON {
        let bytes = [UInt8](try Data(contentsOf: file))
        return try JSON(parsing: bytes.span)
    }

    @Test("every conversation gives what Jinja gives", arguments: files)
    func rendered(file: URL) throws {
        let fixture = try Self.read(file)
        let name = fixture["name"]?.string ?? ""
        let source = try #require(fixture["template"]?.string)
        for run in fixture["runs"]?.array ?? [] {
            let title = "\(name), \(run["title"]?.string ?? "")"
            ChatTemplateTests.check(source, run["variables"]?.object ?? [], run, title)
        }
    }

    @Test("a conversation with tools loses nothing", arguments: files)
    func whole(file: URL) throws {
        let fixture = try Self.read(file)
        let name = fixture["name"]?.string ?? ""
        let source = try #require(fixture["template"]?.string)
        let format = ChatFormat(
            template: try ChatTemplate(source: source, name: name),
            specialTokens: ToolConversationTests.tokens)
        // Some templates want variables that no client sends.
        let question = ChatMessage(role: "user", content: "Time?")
        guard (try? ToolConversationTests.prompt(format, [question], tools: nil)) != nil else { return }
        let offered = try ToolConversationTests.prompt(format, [question])
        #expect(offered.contains("clock") && offered.contains("Time?"), "\(name): \(offered)")
        let text = try ToolConversationTests.prompt(format, ToolConversationTests.called)
        for part in ["Time?", "clock", "zone", "noon"] {
            #expect(text.contains(part), "\(name), \(part): \(text)")
        }
        #expect(text.contains("☔") || text.contains("\\u2614"), "\(name): \(text)")
        // What the assistant began is gone on with.
        let begun = ChatMessage(role: "assistant", content: "It is quarter")
        let inside = try format.prompt([question, begun], ending: .inside) { ChatTemplateTests.date }
        #expect(inside.hasSuffix("It is quarter"), "\(name): \(inside)")
        let parts = ChatMessage(role: "user", parts: ["first part", "second part"])
        let joined = try ToolConversationTests.prompt(format, [parts], tools: nil)
        #expect(joined.contains("first part") && joined.contains("second part"), "\(name): \(joined)")
    }

    @Test("templates in the repository tell how their models write")
    func detected() throws {
        let folder = ChatTemplateTests.folder.appending(path: "published")
        for (name, calls, reasoning) in [
            ("Qwen3-0.6B", ToolCallFormat.hermes, ReasoningFormat.marks(open: "<think>", close: "</think>")),
            ("Qwen3-Coder-30B-A3B-Instruct", .qwenMarkup, nil), ("gpt-oss-120b", .harmony, .channels),
            (
                "Seed-OSS-36B-Instruct", .seed, .marks(open: "<seed:think>", close: "</seed:think>")
            ),
            ("granite-4.0", .hermes, nil),
        ] as [(String, ToolCallFormat, ReasoningFormat?)] {
            let fixture = try Self.read(folder.appending(path: "\(name).json"))
            let source = try #require(fixture["template"]?.string)
            #expect(ToolCallFormat.detect(template: source) == calls, "\(name)")
            #expect(ReasoningFormat.detect(template: source) == reasoning, "\(name)")
        }
    }
}
