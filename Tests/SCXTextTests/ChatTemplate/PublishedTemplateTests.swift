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
}
