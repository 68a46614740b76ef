import SCXInference
import SCXText
import Testing

@Suite("formats of tool calls")
struct ToolCallFormatTests {
    @Test(
        "a template tells its format",
        arguments: [
            ("inst-tools", ToolCallFormat.mistral), ("inst-named", .mistralNamed), ("headers-tools", .llama),
            ("thinking", .hermes), ("schema-macros", .hermes), ("markup-calls", .qwenMarkup),
            ("keyed-calls", .glm), ("section-calls", .kimi), ("channels", .harmony),
            ("call-blocks", .miniCPM),
            ("chatml", nil), ("sentence-marks", nil), ("model-turns", nil),
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
            "{{ tools }}", "{{ messages }}<tool_call>", "{{ tools }}<tool_call><invoke name=",
            "{{ tools }}<call:tool>", "{{ messages }}[TOOL_CALLS]",
        ] {
            #expect(ToolCallFormat.detect(template: source) == nil)
        }
        for (source, format) in [
            ("<|python_tag|>", ToolCallFormat.llama), ("<tool_call><arg_key>", .glm),
            ("<TOOLCALL>", .nemotron),
            ("<tool_call><function=f><parameter=p>", .qwenMarkup), ("<tool_calls>[", .jamba),
            ("<function=f>{}<|python_tag|>", .functionary),
            ("<seed:tool_call><function=f><parameter=p>", .seed),
            ("<minimax:tool_call><invoke name=", .miniMax), ("<|tool_list_start|>", .lfm),
            ("<|START_ACTION|>", .command), ("<|tool_calls_section_begin|>", .kimi),
            ("<｜tool▁calls▁begin｜>", .deepSeekPlain), ("<｜tool▁calls▁begin｜>```json", .deepSeek),
            ("<|channel|>commentary to=functions.f<|message|>", .harmony), ("<|tool_call|>", .granite),
            ("'｜DSML｜' 'function_calls>'", .deepSeekMarkup), ("'｜DSML｜' 'tool_calls>'", .deepSeekMarkup4),
            ("<|tool_call_start|>```python", .miniCPM),
            ("'<|open|>' + tag + '<|sep|>'", .kimi3),
            ("']<]minimax[>[' '<tool_call>' '<invoke name='", .miniMax3),
            ("<|tool_call>call:", .gemma4), ("<start_function_call>call:", .functionGemma),
            ("':opensource' '<tool_sep{}>' '<tool_call{}>'", .hunyuan3), ("<|tools_prefix|>", .apertus),
            ("<|tool_call:begin|>", .solarOpen), ("<|function_call|>", .gigaChat),
            ("<longcat_tool_call>", .longCat), ("<longcat_tool_call><longcat_arg_key>", .longCatKeyed),
            ("<function name=\"a\"><param name=\"b\">", .miniCPM5),
            ("<dots_function_call><invoke name=", .dots), ("<｜tool_sep｜><steptml:invoke name=", .step3),
            ("<|action_start|><|plugin|>", .internLM),
        ] {
            #expect(ToolCallFormat.detect(template: "{{ tools }}" + source) == format, "\(source)")
        }
    }

    @Test(
        "thoughts, answer and calls of a family that puts marks of several tokens around each are told apart")
    func channels() throws {
        let source = "{{ '<|open|>' + 'think' + '<|sep|>' }}{{ tools }}{{ messages }}"
        let format = ChatFormat(template: try ChatTemplate(source: source, name: "kimi3"))
        let syntax = format.answers(withTools: true)
        // Tokens that the marks consist of are kept by decoding.
        for token in ["<|open|>", "<|close|>", "<|sep|>", "<|end_of_msg|>"] {
            #expect(syntax.marks.contains(token))
        }
        #expect(format.answers(withTools: false).marks.contains("<|open|>"))
        let start = try #require(syntax.reasoning?.start(after: "… <|open|>think<|sep|>"))
        #expect(start == .reasoning)
        let answer = [
            "So.<|close|>think<|sep|><|open|>response<|sep|>Hi.<|close|>response<|sep|>",
            "<|open|>tools<|sep|><|open|>call tool=\"f\" index=\"1\"<|sep|><|close|>call<|sep|>",
            "<|close|>tools<|sep|><|close|>message<|sep|>",
        ].joined()
        for size in 1...9 {
            var parser = AnswerParser(syntax, start: start)
            var events: [AnswerEvent] = []
            var rest = answer[...]
            while !rest.isEmpty {
                events += parser.push(String(rest.prefix(size)))
                rest = rest.dropFirst(size)
            }
            let reading = ToolCallParserTests.Reading(events + parser.finish())
            #expect(reading == .init("So.", text: "Hi.", [("f", "{}")]), "\(size)")
        }
    }

    @Test(
        "a template tells how its model thinks",
        arguments: [
            ("<mm:think></mm:think>", "<mm:think>"), ("<|inner_prefix|><|inner_suffix|>", "<|inner_prefix|>"),
            ("<|channel>thought\n<channel|>", "<|channel>thought"),
            ("':opensource' '<think{}>' '</think{}>'", "<think:opensource>"),
            ("<|think|><|end|><|tool_call:begin|>", "<|think|>"), ("<think></think>", "<think>"),
            ("<|end|><|think|>", nil),
        ] as [(String, String?)])
    func thoughts(source: String, open: String?) {
        var found: String?
        if case .marks(let open, _) = ReasoningFormat.detect(template: source) { found = open }
        #expect(found == open)
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

    @Test("decoding keeps the marks of calls")
    func markers() {
        #expect(ToolCallFormat.hermes.markers == ["<tool_call>", "</tool_call>"])
        #expect(ToolCallFormat.mistral.markers == ["[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"])
        #expect(ToolCallFormat.llama.markers == ["<|python_tag|>"])
        #expect(ToolCallFormat.harmony.markers.contains("<|constrain|>"))
        #expect(ToolCallFormat.kimi.markers.contains("<|tool_call_argument_begin|>"))
    }

    @Test("calls of another model get ids that name the function, where a family wants that")
    func fittingIDs() throws {
        let source =
            "{% for m in messages %}{{ m.tool_calls }}{{ m.content or '' }}={{ m.tool_call_id }} {% endfor %}<|tool_calls_section_begin|>"
        let format = ChatFormat(template: try ChatTemplate(source: source, name: "kimi"))
        let calls = [("a", "f"), ("functions.g:7", "g")].map {
            ToolCall(id: $0.0, name: $0.1, arguments: "{}")
        }
        let text = try format.prompt([
            ChatMessage(role: "assistant", content: nil, toolCalls: calls),
            ChatMessage(role: "tool", content: "x", toolCallID: "a"),
            ChatMessage(role: "tool", content: "y", toolCallID: "functions.g:7"),
        ])
        #expect(text.contains("'id': 'functions.f:0'") && text.contains("'id': 'functions.g:7'"))
        #expect(text.contains(" x=functions.f:0 y=functions.g:7 "))
    }
}
