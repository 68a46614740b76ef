import Foundation
import SCXInference
import SCXText
import Testing

@Suite("chat formats")
struct ChatFormatTests {
    /// A model directory with these files.
    private static func load(_ files: [String: String]) throws -> ChatFormat? {
        let folder = FileManager.default.temporaryDirectory.appending(path: "scx-format-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        for (name, text) in files {
            let file = folder.appending(path: name)
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(text.utf8).write(to: file)
        }
        return try ChatFormat.load(directory: folder)
    }

    @Test("the file of its own comes before the tokenizer's configuration")
    func precedence() throws {
        let configuration =
            #"{"chat_template": "config", "bos_token": {"content": "<s>"}, "eos_token": null}"#
        let files = [
            "tokenizer_config.json": configuration, "chat_template.json": #"{"chat_template": "json"}"#,
            "special_tokens_map.json": #"{"bos_token": "no", "eos_token": "</s>"}"#,
            "chat_template.jinja": "jinja{{ bos_token }}{{ eos_token }}{{ pad_token }}",
        ]
        #expect(try Self.load(files)?.prompt([]) == "jinja<s></s>")
        #expect(try Self.load(files.filter { $0.key != "chat_template.jinja" })?.prompt([]) == "json")
        #expect(try Self.load(["tokenizer_config.json": configuration])?.prompt([]) == "config")
        #expect(try Self.load(["tokenizer_config.json": "{}"]) == nil)
        #expect(try Self.load([:]) == nil)
    }

    @Test("of several templates the one for tools is used when there are tools")
    func tools() throws {
        let list = """
            {"chat_template": [{"name": "default", "template": "plain"},
            {"name": "tool_use", "template": "{{ tools[0].name }}<tool_call>"}]}
            """
        let format = try #require(try Self.load(["tokenizer_config.json": list]))
        #expect(try format.prompt([]) == "plain")
        #expect(try format.prompt([], tools: [["name": "f"]]) == "f<tool_call>")
    }

    @Test("messages carry their further members")
    func messages() throws {
        let source = "{% for m in messages %}{{ m | tojson }}{% endfor %}{{ add_generation_prompt }}{{ x }}"
        let format = ChatFormat(template: try ChatTemplate(source: source, name: "t"))
        let message = ChatMessage(
            role: "user", content: "hi", more: [.init("content", .null), .init("n", .int(1))])
        let text = try format.prompt(
            [message, ChatMessage(role: "a", content: "b")], ending: .message,
            more: [.init("x", .string("!"))])
        #expect(text == #"{"role": "user", "content": null, "n": 1}{"role": "a", "content": "b"}False!"#)
    }

    @Test("a broken file is named")
    func broken() throws {
        for (name, text) in [
            ("tokenizer_config.json", "{"), ("chat_template.json", "[1,"),
            ("chat_template.jinja", "{% if %}"),
            ("tokenizer_config.json", #"{"chat_template": 3}"#),
            ("tokenizer_config.json", #"{"chat_template": []}"#),
        ] {
            let error = #expect(throws: TemplateError.self) { try Self.load([name: text]) }
            #expect(error?.description.hasPrefix(name) == true)
        }
    }
}
