import SCXInference
import SCXText
import Testing

@Suite("formats of tool calls")
struct ToolCallFormatTests {
    @Test(
        "a template tells its format",
        arguments: [
            ("inst-tools", ToolCallFormat.mistral), ("inst-named", .mistralNamed), ("headers-tools", .llama),
            ("thinking", .hermes), ("schema-macros", .hermes), ("chatml", nil), ("sentence-marks", nil),
            ("model-turns", nil),
        ])
    func detection(name: String, format: ToolCallFormat?) throws {
        let source = try #require(try ChatTemplateTests.fixture("\(name).json")["template"]?.string)
        #expect(ToolCallFormat.detect(template: source) == format)
        let chat = ChatFormat(template: try ChatTemplate(source: source, name: name))
        #expect(chat.toolCallFormat == format ?? .hermes)
        #expect(chat.templateKnowsTools == (format != nil))
    }

    @Test("templates that write calls in another way, or no tools, have no format")
    func unknown() {
        for source in [
            "{{ tools }}", "{{ messages }}<tool_call>", "{{ tools }}<tool_call><function=",
            "{{ tools }}<tool_call><arg_key>", "{{ tools }}<TOOLCALL>", "{{ tools }}<tool_calls>[",
        ] {
            #expect(ToolCallFormat.detect(template: source) == nil)
        }
        #expect(ToolCallFormat.detect(template: "{{ tools }}<|python_tag|>") == .llama)
    }

    @Test("ids are new, long enough and of the characters that templates accept")
    func ids() {
        for format in ToolCallFormat.allCases {
            let ids = Set((0..<100).map { _ in format.newCallID() })
            #expect(ids.count == 100)
            let isShort = format == .mistral || format == .mistralNamed
            for id in ids {
                let random = isShort ? id[...] : id.dropFirst(5)
                #expect(isShort || id.hasPrefix("call_"))
                #expect(random.utf8.count == (isShort ? 9 : 24))
                #expect(random.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber) })
            }
        }
    }

    @Test("literals make a whole call")
    func literals() {
        func call(_ format: ToolCallFormat) -> String {
            format.forcedOpening + format.forcedPrefix("f") + "{}" + format.forcedSuffix
                + format.forcedClosing
        }
        #expect(call(.hermes) == "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>")
        #expect(call(.llama) == "{\"name\": \"f\", \"parameters\": {}}")
        #expect(call(.mistral) == "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {}}]")
        #expect(call(.mistralNamed) == "[TOOL_CALLS]f[ARGS]{}")
        #expect(ToolCallFormat.hermes.markers == ["<tool_call>", "</tool_call>"])
    }
}
