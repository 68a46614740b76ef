import Foundation
import SCXInference
import SCXText
import Testing

@Suite("chat templates")
struct ChatTemplateTests {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "Fixtures/templates")
    static let date = TemplateDate(year: 2024, month: 7, day: 4, hour: 15, minute: 6, second: 7)

    static func fixture(_ name: String) throws -> JSON {
        let bytes = [UInt8](try Data(contentsOf: folder.appending(path: name)))
        return try JSON(parsing: bytes.span)
    }

    static func render(_ source: String, _ variables: [JSON.Member] = []) throws(TemplateError) -> String {
        try ChatTemplate(source: source, name: "test").render(variables) { date }
    }

    /// What Jinja wrote, or that it failed.
    static func check(_ source: String, _ variables: [JSON.Member], _ wanted: JSON, _ title: String) {
        do {
            let text = try render(source, variables)
            if let expected = wanted["expected"]?.string {
                let isEqual = text.utf8.elementsEqual(expected.utf8)
                #expect(isEqual, "\(title): \(text.debugDescription) for \(expected.debugDescription)")
            } else {
                Issue.record("\(title): should fail, gave \(text.debugDescription)")
            }
        } catch {
            #expect(wanted["error"] != nil, "\(title): \(error)")
        }
    }

    @Test("small cases give what Jinja gives")
    func cases() throws {
        let fixture = try Self.fixture("cases.json")
        let variables = try #require(fixture["variables"]?.object)
        let cases = try #require(fixture["cases"]?.array)
        #expect(cases.count > 150)
        for test in cases {
            let source = test["template"]?.string ?? ""
            Self.check(source, variables, test, source)
        }
    }

    @Test(
        "templates in the manner of the families give what Jinja gives",
        arguments: [
            "chatml", "turns", "inst-system-merged", "inst-tools", "inst-named", "headers", "headers-tools",
            "thinking",
            "model-turns",
            "parts", "sentence-marks", "schema-macros", "end-marks", "documents", "markup-calls",
            "keyed-calls",
            "section-calls", "channels", "call-blocks",
        ])
    func families(name: String) throws {
        let fixture = try Self.fixture("\(name).json")
        let source = try #require(fixture["template"]?.string)
        let runs = try #require(fixture["runs"]?.array)
        #expect(runs.count > 10)
        for run in runs {
            Self.check(source, run["variables"]?.object ?? [], run, "\(name), \(run["title"]?.string ?? "")")
        }
    }
}
