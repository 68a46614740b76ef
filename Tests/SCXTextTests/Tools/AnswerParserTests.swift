import SCXEngine
import SCXInference
import SCXText
import Testing

@Suite("parser of answers")
struct AnswerParserTests {
    typealias Reading = ToolCallParserTests.Reading

    /// A function with an argument of each kind.
    static let tools: [JSON] = [
        [
            "type": "function",
            "function": [
                "name": "f",
                "parameters": [
                    "type": "object",
                    "properties": [
                        "s": ["type": "string"], "i": ["type": "integer"], "x": ["type": "number"],
                        "b": ["type": "boolean"], "l": ["type": "array", "items": ["type": "string"]],
                        "o": ["type": "object"], "n": ["type": ["string", "null"]],
                        "e": ["enum": ["a b", "c"]],
                        "r": ["$ref": "#/$defs/count"], "any": [:],
                    ],
                    "$defs": ["count": ["anyOf": [["type": "integer"], ["type": "null"]]]],
                ],
            ],
        ],
        ["type": "function", "function": ["name": "g"]],
    ]

    struct Case: Sendable, CustomTestStringConvertible {
        let syntax: AnswerSyntax
        let start: AnswerStart
        let answer: String
        let reasoning: String
        let text: String
        let calls: [(String, String)]

        init(
            _ calls: ToolCallFormat?, _ answer: String, thinks: ReasoningFormat? = nil,
            from start: AnswerStart = .fresh, thought: String = "", text: String = "",
            calls wanted: (String, String)...
        ) {
            syntax = AnswerSyntax(
                reasoning: thinks, calls: calls, wrappers: thinks == nil ? [] : ["<response>", "</response>"])
            (self.start, self.answer, reasoning) = (start, answer, thought)
            (self.text, self.calls) = (text, wanted)
        }

        var testDescription: String {
            "\(syntax.calls?.rawValue ?? "no calls"): \(answer.debugDescription.prefix(70))"
        }
    }

    static func read(
        _ pieces: [String], _ syntax: AnswerSyntax, _ start: AnswerStart = .fresh, atLimit: Bool = false
    ) -> Reading {
        var parser = AnswerParser(syntax, start: start, tools: tools)
        var events: [AnswerEvent] = []
        for piece in pieces { events += parser.push(piece) }
        return Reading(events + parser.finish(atLimit: atLimit))
    }

    /// All ways to cut the answer in two, in pieces of one to seven scalars, and whole.
    static func readings(_ test: Case) -> [Reading] {
        let scalars = Array(test.answer.unicodeScalars)
        func text(_ part: ArraySlice<Unicode.Scalar>) -> String {
            var view = String.UnicodeScalarView()
            view.append(contentsOf: part)
            return String(view)
        }
        let cuts = (0...scalars.count).map { [text(scalars[..<$0]), text(scalars[$0...])] }
        let pieces = (1...7).map { size in
            stride(from: 0, to: scalars.count, by: size).map {
                text(scalars[$0..<min($0 + size, scalars.count)])
            }
        }
        return (cuts + pieces).map { read($0, test.syntax, test.start) }
    }

    static let hard = "</tool_call> \"quoted\" \\ ☔é👩‍⚕️ {[<parameter= \tend"

    static let marked: [Case] = [
        Case(
            .qwenMarkup,
            "I look.\n\n<tool_call>\n<function=f>\n<parameter=s>\n\(hard)\n</parameter>\n<parameter=i>\n12\n</parameter>\n"
                + "</function>\n</tool_call>\n<tool_call>\n<function=g>\n</function>\n</tool_call>",
            text: "I look.", calls: ("f", "{\"s\": \(JSON.string(hard).text), \"i\": 12}"), ("g", "{}")),
        Case(
            .qwenMarkup,
            "<function=f>\n<parameter=s>\n\n  two\n\nlines \n\n</parameter>\n<parameter=b>\nTrue\n</parameter>\n"
                + "<parameter=o>\n{'a': [1, None, \"x\"]}\n</parameter>\n<parameter=n>\nnull\n</parameter></function>",
            calls: (
                "f",
                "{\"s\": \"\\n  two\\n\\nlines \\n\", \"b\": true, \"o\": {\"a\": [1, null, \"x\"]}, \"n\": null}"
            )),
        Case(
            .qwenMarkup,
            "<tool_call><function=f><parameter=i>many</parameter><parameter=l>[\"a\",\n \"b\"]</parameter>"
                + "<parameter=r>None</parameter><parameter=any>1.5</parameter><parameter=other>{\"k\": 1}</parameter>"
                + "<parameter=e>c</parameter><parameter=x>3</parameter></function></tool_call> done",
            text: " done",
            calls: (
                "f",
                "{\"i\": \"many\", \"l\": [\"a\",\n \"b\"], \"r\": null, \"any\": 1.5, \"other\": {\"k\": 1}, \"e\": \"c\", \"x\": 3}"
            )),
        Case(
            .qwenMarkup, "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>", calls: ("f", "{}")
        ),
        Case(.qwenMarkup, "a < b, <function and <tool_call", text: "a < b, <function and <tool_call"),
        // Ends that the model forgot.
        Case(
            .qwenMarkup, "<tool_call>\n<function=f>\n<parameter=s>\nabc", calls: ("f", "{\"s\": \"abc\"}")),
        Case(
            .qwenMarkup, "<tool_call>\n<function=f>\n<parameter=i>\n7\n</parameter>\n</func",
            calls: ("f", "{\"i\": 7}")),
        Case(
            .seed,
            "<seed:tool_call>\n<function=f>\n<parameter=s>\n a</parameter>\n<parameter=i>-3</parameter>\n</function>\n</seed:tool_call>",
            calls: ("f", "{\"s\": \"\\n a\", \"i\": -3}")),
        Case(
            .glm,
            "\n<tool_call>f\n<arg_key>s</arg_key>\n<arg_value>\(hard)</arg_value>\n<arg_key>l</arg_key>\n"
                + "<arg_value>[1]</arg_value>\n</tool_call>\n<tool_call>g\n</tool_call>",
            calls: ("f", "{\"s\": \(JSON.string(hard).text), \"l\": [1]}"), ("g", "{}")),
        Case(
            .glm,
            "<tool_call>f<arg_key>b</arg_key><arg_value>false</arg_value></tool_call><tool_call>g</tool_call>",
            calls: ("f", "{\"b\": false}"), ("g", "{}")),
        Case(
            .miniMax,
            "So.\n<minimax:tool_call>\n<invoke name=\"f\">\n<parameter name=\"s\">\(hard)</parameter>\n"
                + "<parameter name=\"o\">{\"a\": 1}</parameter>\n</invoke>\n<invoke name=\"g\">\n</invoke>\n</minimax:tool_call>",
            text: "So.", calls: ("f", "{\"s\": \(JSON.string(hard).text), \"o\": {\"a\": 1}}"), ("g", "{}")),
        Case(
            .deepSeekMarkup,
            "\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"i\" string=\"true\">7</｜DSML｜parameter>\n"
                + "<｜DSML｜parameter name=\"s\" string=\"false\">7</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>",
            calls: ("f", "{\"i\": \"7\", \"s\": 7}")),
        Case(
            .deepSeekMarkup4,
            "<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"g\">\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>",
            calls: ("g", "{}")),
    ]

    /// Calls as these families' own templates write them, with arguments of all kinds, and a function without any.
    static let published: [Case] = PublishedCalls().cases

    @Test("calls are written as these families' own templates write them")
    func written() throws {
        let tests = Self.published.filter { $0.calls.count == 2 }
        #expect(tests.count > 8)
        for test in tests where test.syntax.calls != .longCat && test.syntax.calls != .miniCPM5 {
            let format = try #require(test.syntax.calls)
            let calls = test.calls.map { ToolCall(id: "", name: $0.0, arguments: $0.1) }
            // The model chooses the ids.
            var wanted = String(test.answer.dropFirst(test.text.count))
            wanted = wanted.replacing("a1b2c3d4e5", with: "1000000000")
            wanted = wanted.replacing("a1b2c3d4e6", with: "1000000001")
            // JSON in arguments may have spaces or not.
            let written = format.text(of: calls).replacing(" ", with: "")
            wanted = wanted.replacing(" ", with: "")
            #expect(written == wanted, "\(format)")
        }
    }

    static let objects: [Case] = [
        Case(
            .jamba,
            "Wait. <tool_calls>[\n{\"name\": \"f\", \"arguments\": {\"a\": [1]}},\n{\"name\": \"g\", \"arguments\": {}}\n]</tool_calls>",
            text: "Wait.", calls: ("f", "{\"a\": [1]}"), ("g", "{}")),
        // MiniMax-M1: lines in place of a list.
        Case(
            .jamba,
            "<tool_calls>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n{\"name\": \"g\", \"arguments\": {}}\n</tool_calls>",
            calls: ("f", "{\"a\": 1}"), ("g", "{}")),
        Case(.jamba, "<tool_calls></tool_calls> none", text: "<tool_calls></tool_calls> none"),
        Case(
            .command,
            "<|START_ACTION|>[\n    {\"tool_call_id\": \"0\", \"tool_name\": \"f\", \"parameters\": {\"a\": \"x\"}},\n"
                + "    {\"tool_call_id\": \"1\", \"tool_name\": \"g\", \"parameters\": {}}\n]<|END_ACTION|>",
            calls: ("f", "{\"a\": \"x\"}"), ("g", "{}")),
        Case(
            .nemotron, "<TOOLCALL>[{\"name\": \"f\", \"arguments\": {\"a\": 1}}]</TOOLCALL>",
            calls: ("f", "{\"a\": 1}")),
        Case(.granite, "<|tool_call|>[{\"name\": \"f\", \"arguments\": {}}]", calls: ("f", "{}")),
        Case(
            .functionary, "Yes.\n<function=f>{\"a\": \"</function>\"}</function>\n<function=g>{}</function>",
            text: "Yes.", calls: ("f", "{\"a\": \"</function>\"}"), ("g", "{}")),
        Case(
            .kimi,
            "Both.<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{\"a\": \"☔\"}"
                + "<|tool_call_end|> <|tool_call_begin|> functions.g:1 <|tool_call_argument_begin|> {}<|tool_call_end|>"
                + "<|tool_calls_section_end|>",
            text: "Both.", calls: ("f", "{\"a\": \"☔\"}"), ("g", "{}")),
        Case(
            .deepSeek,
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a\": \"```\"}\n```<｜tool▁call▁end｜>\n"
                + "<｜tool▁call▁begin｜>function<｜tool▁sep｜>g\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            calls: ("f", "{\"a\": \"```\"}"), ("g", "{}")),
        Case(
            .deepSeekPlain,
            "Hm.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": 1}<｜tool▁call▁end｜><｜tool▁call▁begin｜>g<｜tool▁sep｜>{}"
                + "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            text: "Hm.", calls: ("f", "{\"a\": 1}"), ("g", "{}")),
        Case(
            .lfm,
            "<|tool_call_start|>[f(s=\"a, (b]\", i=2, l=['x', \"y\"], o={'k': True, \"m\": None}), g()]<|tool_call_end|>Checking.",
            text: "Checking.",
            calls: (
                "f", "{\"s\": \"a, (b]\", \"i\": 2, \"l\": [\"x\", \"y\"], \"o\": {\"k\": true, \"m\": null}}"
            ), ("g", "{}")),
        Case(
            .lfm,
            "<|tool_call_start|>[f('it\\'s', 3, s2=word), {\"name\": \"g\", \"arguments\": {}}]<|tool_call_end|>",
            calls: ("f", "{\"s\": \"it's\", \"i\": 3, \"s2\": \"word\"}"), ("g", "{}")),
        Case(
            .miniCPM,
            "<|tool_call_start|>\n```python\nf(s=\"\"\"a\n\"b\" \"\"\", n='')\ng()\n```\n<|tool_call_end|>\nI ask.",
            text: "\nI ask.", calls: ("f", "{\"s\": \"a\\n\\\"b\\\" \", \"n\": \"\"}"), ("g", "{}")),
    ]

    static let tags = ReasoningFormat.marks(open: "<think>", close: "</think>")

    static let thinking: [Case] = [
        Case(
            nil, "<think>\nOne. < two\n\n</think>\n\nThree </think>", thinks: tags, thought: "One. < two",
            text: "Three </think>"),
        Case(nil, "no <think> here", thinks: tags, text: "no <think> here"),
        Case(nil, "\nOne.</think>Two", thinks: tags, from: .reasoning, thought: "One.", text: "Two"),
        // The model repeats the mark that the prompt ends with.
        Case(
            nil, "\n<think>One. <think>\n</think>\n Two", thinks: tags, from: .reasoning,
            thought: "One. <think>", text: "Two"),
        Case(nil, "<think>\n\n</think>\n\nHello", thinks: tags, text: "Hello"),
        Case(nil, "never ends\n", thinks: tags, from: .reasoning, thought: "never ends"),
        Case(nil, "cut </thi", thinks: tags, from: .reasoning, thought: "cut"),
        Case(nil, "rest of it", thinks: tags, from: .text, text: "rest of it"),
        Case(nil, "<think>a</think><response>b</response>", thinks: tags, thought: "a", text: "b"),
        Case(
            .hermes,
            "<think>\nI call <f>.\n</think>\n\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>",
            thinks: tags, thought: "I call <f>.", calls: ("f", "{}")),
        // Without the closing mark a call ends the thoughts.
        Case(
            .qwenMarkup, "I call.\n<tool_call>\n<function=g>\n</function>\n</tool_call>", thinks: tags,
            from: .reasoning,
            thought: "I call.", calls: ("g", "{}")),
        Case(
            .command,
            "<|START_THINKING|>Plan<|END_THINKING|><|START_ACTION|>[{\"tool_name\": \"f\", \"parameters\": {}}]",
            thinks: .marks(open: "<|START_THINKING|>", close: "<|END_THINKING|>"), thought: "Plan",
            calls: ("f", "{}")),
    ]

    static let channels: [Case] = [
        Case(
            .harmony,
            "<|channel|>analysis<|message|>Hm < 3<|end|><|start|>assistant<|channel|>final<|message|>Yes.",
            thinks: .channels, thought: "Hm < 3", text: "Yes."),
        Case(
            .harmony,
            "<|channel|>analysis<|message|>Call it.<|end|><|start|>assistant<|channel|>commentary to=functions.f "
                + "<|constrain|>json<|message|>{\"a\": \"☔ <|x\"}<|call|>",
            thinks: .channels, thought: "Call it.", calls: ("f", "{\"a\": \"☔ <|x\"}")),
        Case(
            .harmony,
            " to=functions.f<|channel|>commentary json<|message|>{}<|call|><|start|>assistant<|channel|>commentary"
                + "<|message|>Next.<|end|>\n<|start|>assistant to=functions.g<|channel|>commentary<|message|>{\"b\": 1}",
            thinks: .channels, text: "Next.", calls: ("f", "{}"), ("g", "{\"b\": 1}")),
        Case(.harmony, "Just words <|no|>.", thinks: .channels, text: "Just words <|no|>."),
        Case(.harmony, "to be or not", thinks: .channels, text: "to be or not"),
        Case(.harmony, "<|channel|>final<|message|>a<|return|> b", thinks: .channels, text: "a b"),
        Case(.harmony, "<|channel|>final", thinks: .channels),
        Case(.harmony, "goes on<|return|>", thinks: .channels, from: .text, text: "goes on"),
        Case(
            nil, "<|channel|>commentary to=functions.f<|message|>{}<|call|>", thinks: .channels, text: "{}"),
        Case(
            .harmony, "<|channel|>commentary to=python<|message|>print(1)<|end|>", thinks: .channels,
            text: "print(1)"),
    ]

    @Test(
        "answers are read, wherever they are cut",
        arguments: marked + published + objects + thinking + channels)
    func cuts(test: Case) {
        let wanted = Reading(test.reasoning, text: test.text, test.calls)
        for reading in Self.readings(test) { #expect(reading == wanted) }
    }

    @Test("arguments and thoughts pass as they arrive")
    func streams() {
        var parser = AnswerParser(AnswerSyntax(reasoning: Self.tags, calls: .qwenMarkup), tools: Self.tools)
        #expect(parser.push("<think>One") == [.reasoning("One")])
        #expect(parser.isReasoning)
        #expect(parser.push(" two \n") == [.reasoning(" two")])
        #expect(parser.push("</think>\n\nText") == [.text("Text")])
        #expect(!parser.isReasoning)
        #expect(parser.push(" <tool_call>\n<function=f") == [])
        #expect(parser.push(">") == [.callBegan(index: 0, name: "f", id: nil)])
        #expect(parser.push("<parameter=s>\nab\n") == [.arguments(index: 0, "{\"s\": \"ab")])
        #expect(parser.push("</") == [])
        #expect(parser.push("x") == [.arguments(index: 0, "\\n</x")])
        #expect(parser.push("\n</parameter>\n<parameter=i>4") == [.arguments(index: 0, "\", \"i\": ")])
        #expect(parser.push("2</parameter>") == [.arguments(index: 0, "42")])
        #expect(parser.push("</function>") == [.arguments(index: 0, "}"), .callEnded(index: 0)])
        #expect(parser.finish() == [])
        var kimi = AnswerParser(AnswerSyntax(calls: .kimi))
        let call = "<|tool_call_begin|>functions.f:3<|tool_call_argument_begin|>{"
        #expect(
            kimi.push(call) == [
                .callBegan(index: 0, name: "f", id: "functions.f:3"), .arguments(index: 0, "{"),
            ])
    }

    @Test("an answer that its limit cuts has the arguments so far")
    func limit() {
        let call = "<tool_call>\n<function=f>\n<parameter=i>\n1\n</parameter>\n<parameter=s>\nab"
        let syntax = AnswerSyntax(calls: .qwenMarkup)
        #expect(
            Self.read([call], syntax, atLimit: true) == Reading(text: "", [("f", "{\"i\": 1, \"s\": \"ab")]))
        #expect(Self.read([call], syntax) == Reading(text: "", [("f", "{\"i\": 1, \"s\": \"ab\"}")]))
        let python = "<|tool_call_start|>[f(i=1, s=\"ab"
        let lfm = AnswerSyntax(calls: .lfm)
        #expect(
            Self.read([python], lfm, atLimit: true) == Reading(text: "", [("f", "{\"i\": 1, \"s\": \"ab")]))
    }

    static let broken: [(ToolCallFormat, String, Reading)] = [
        (
            .qwenMarkup, "<tool_call>\n<function=f>\n<parameter=i>\n1\n</parameter>\noops</tool_call>",
            Reading(text: "\noops</tool_call>", [("f", "{\"i\": 1}")])
        ),
        (.qwenMarkup, "<function=f g>x", Reading(text: "<function=f g>x", [])),
        (
            .glm, "<tool_call>f\n<arg_key>s</arg_key>\nno value</tool_call>",
            Reading(text: "<arg_key>s</arg_key>\nno value</tool_call>", [("f", "{}")])
        ),
        (.glm, "<tool_call>two words\n</tool_call>", Reading(text: "<tool_call>two words\n</tool_call>", [])),
        (
            .kimi, "<|tool_calls_section_begin|>text<|tool_calls_section_end|>",
            Reading(text: "<|tool_calls_section_begin|>text<|tool_calls_section_end|>", [])
        ),
        (
            .kimi, "<|tool_call_begin|>f<|tool_call_argument_begin|>{}",
            Reading(text: "<|tool_call_begin|>f<|tool_call_argument_begin|>{}", [])
        ),
        (
            .deepSeek, "<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\nwords {}",
            Reading(text: "<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\nwords {}", [])
        ),
        (.lfm, "<|tool_call_start|>[f(1, 2]", Reading(text: " 2]", [("f", "{\"s\": 1}")])),
        (.lfm, "<|tool_call_start|>[h(1)]", Reading(text: "1)]", [("h", "{}")])),
        (
            .command, "<|START_ACTION|>[{\"tool_name\": 1}]",
            Reading(text: "<|START_ACTION|>[{\"tool_name\": 1}]", [])
        ),
    ]

    @Test("what is no call is text, and no word is lost", arguments: broken)
    func malformed(format: ToolCallFormat, answer: String, wanted: Reading) {
        for reading in Self.readings(Case(format, answer)) { #expect(reading == wanted) }
    }

    @Test("what the format writes is what the parser reads", arguments: ToolCallFormat.allCases)
    func roundTrip(format: ToolCallFormat) throws {
        let calls = [
            (
                "f",
                "{\"s\": \(JSON.string(Self.hard).text), \"o\": {\"a\": [1, \"}\", null]}, \"b\": true, \"i\": -3}"
            ),
            ("g", "{}"), ("f", "{\"l\": [], \"n\": null, \"x\": 1.5}"),
        ]
        let syntax = AnswerSyntax(reasoning: format == .harmony ? .channels : nil, calls: format)
        for count in 1...3 {
            let written = format.text(
                of: calls.prefix(count).map { ToolCall(id: "", name: $0.0, arguments: $0.1) })
            let reading = Self.read([written], syntax)
            #expect(reading.text == "" && reading.isOrdered)
            #expect(reading.names == calls.prefix(count).map(\.0))
            for (arguments, call) in zip(reading.arguments, calls) {
                // MiniMax M3's template writes no argument that is null.
                let kept = format == .miniMax3 ? call.1.replacing("\"n\": null, ", with: "") : call.1
                #expect(try JSON(parsing: arguments) == JSON(parsing: kept))
            }
        }
    }

    @Test(
        "random answers never crash and lose nothing but white space and marks",
        arguments: ToolCallFormat.allCases)
    func fuzz(format: ToolCallFormat) {
        var random = RandomBits(seed: 3)
        let pieces =
            format.markers + [
                "<think>", "</think>", "{", "}", "[", "]", "(", ")", "=", "\"name\"", "\"arguments\"",
                "\"parameters\"", ":",
                ",", ";", "\"f\"", "\"", "'", "\\", "\n", " ", "☔", "1", "-", "null", "f", "functions.f:0",
                "function", "to=functions.f",
                "assistant", "final", "analysis", ">", "\">", "{\"name\": \"f\", \"arguments\": {",
                "{\"name\": \"f\", \"parameters\": {}}", "s", "i", "```json\n",
            ]
        for round in 0..<600 {
            let thinks = round % 3 == 0 ? Self.tags : nil
            let syntax = AnswerSyntax(reasoning: format == .harmony ? .channels : thinks, calls: format)
            let answer = (0..<(random.next() % 28)).map { _ in
                pieces[Int(random.next() % UInt64(pieces.count))]
            }
            let reading = Self.read(answer, syntax)
            #expect(reading.isOrdered, "\(answer)")
            #expect(reading == Self.read([answer.joined()], syntax), "\(answer)")
            let scalars = answer.joined().unicodeScalars.map { String($0) }
            #expect(reading == Self.read(scalars, syntax), "\(answer)")
            if thinks == nil, format != .harmony, reading.names.isEmpty {
                #expect(reading.text == answer.joined(), "\(answer)")
            }
            // Each rain is somewhere.
            let all = reading.text + reading.reasoning + reading.arguments.joined() + reading.names.joined()
            let rains = answer.joined().count { $0 == "☔" }
            #expect(all.count { $0 == "☔" } >= rains || format == .harmony, "\(answer)")
        }
    }
}
