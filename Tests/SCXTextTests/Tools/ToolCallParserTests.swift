import SCXEngine
import SCXInference
import SCXText
import Testing

@Suite("parser of tool calls")
struct ToolCallParserTests {
    /// What the events say, pieces joined.
    struct Reading: Equatable, CustomStringConvertible {
        var reasoning = ""
        var text = ""
        var names: [String] = []
        var arguments: [String] = []
        var ended = 0
        /// Events come in an order that makes sense.
        var isOrdered = true

        init(_ events: [AnswerEvent]) {
            for event in events {
                switch event {
                case .text(let piece):
                    isOrdered = isOrdered && !piece.isEmpty && ended == names.count
                    text += piece
                case .reasoning(let piece):
                    isOrdered = isOrdered && !piece.isEmpty && ended == names.count
                    reasoning += piece
                case .callBegan(let index, let name, _):
                    isOrdered = isOrdered && index == names.count && ended == index
                    names.append(name)
                    arguments.append("")
                case .arguments(let index, let piece):
                    isOrdered = isOrdered && index == names.count - 1 && ended == index && !piece.isEmpty
                    if isOrdered { arguments[index] += piece }
                case .callEnded(let index):
                    isOrdered = isOrdered && index == ended && index == names.count - 1
                    ended += 1
                }
            }
        }

        init(_ reasoning: String = "", text: String, _ calls: [(String, String)]) {
            (self.text, names, arguments, ended) = (text, calls.map(\.0), calls.map(\.1), calls.count)
            self.reasoning = reasoning
        }

        var description: String {
            "\(reasoning.debugDescription) \(text.debugDescription) \(names) \(arguments) \(ended) \(isOrdered)"
        }
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let format: ToolCallFormat
        let answer: String
        let text: String
        let calls: [(String, String)]

        init(_ format: ToolCallFormat, _ answer: String, _ text: String, _ calls: (String, String)...) {
            (self.format, self.answer, self.text, self.calls) = (format, answer, text, calls)
        }

        var testDescription: String { "\(format): \(answer.debugDescription.prefix(60))" }
    }

    static func read(_ pieces: [String], _ format: ToolCallFormat, mostCalls: Int = .max) -> Reading {
        var parser = ToolCallParser(format, mostCalls: mostCalls)
        var events: [AnswerEvent] = []
        for piece in pieces { events += parser.push(piece) }
        return Reading(events + parser.finish())
    }

    static let hard =
        #"{"a": "}]{[\"\\ </tool_call> ☔é👩‍⚕️\u00e9", "b": {"c": [1, -2.5e3, true, null, {}, []]}}"#

    static let wellFormed: [Case] = [
        Case(.hermes, "Hello <b>, a < b.\n\n", "Hello <b>, a < b.\n\n"),
        Case(
            .hermes, "<tool_call>\n{\"name\": \"f\", \"arguments\": \(hard)}\n</tool_call>", "", ("f", hard)),
        Case(
            .hermes,
            "I ask.\n\n<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>\n"
                + "<tool_call>\n{\"arguments\": \(hard), \"name\": \"g-2\"}\n</tool_call>\n",
            "I ask.", ("f", "{}"), ("g-2", hard)),
        Case(
            .hermes, "<tool_call>{\"id\": [1], \"name\": \"f\"}</tool_call>\nDone ☔", "\nDone ☔", ("f", "{}")),
        Case(
            .hermes, #"<tool_call>{"name": "é\u00e9", "arguments": "{\"a\": 1}"}</tool_call>"#, "",
            ("éé", "{\"a\": 1}")),
        Case(.hermes, #"<tool_call>{"name": "f", "arguments": null}</tool_call>"#, "", ("f", "{}")),
        Case(.hermes, #"<tool_call>{"name": "f", "arguments": {}}"#, "", ("f", "{}")),
        Case(.llama, "No call; {\"name\": 1}\n", "No call; {\"name\": 1}\n"),
        Case(.llama, #" {"name": "f", "parameters": \#(hard)}"#, "", ("f", hard)),
        Case(
            .llama, #"<|python_tag|>{"type": "function", "name": "f", "parameters": \#(hard)}"#, "",
            ("f", hard)),
        Case(
            .llama,
            #"{"name": "f", "parameters": {}}; {"parameters": {"x": 1}, "name": "g"}\#n{"name": "h", "arguments": {}}"#,
            "", ("f", "{}"), ("g", "{\"x\": 1}"), ("h", "{}")),
        Case(
            .llama,
            #"Look:\#n<|python_tag|>{"name": "f", "parameters": {}};<|python_tag|>"#
                + #"{"name": "g", "parameters": {}}"#,
            "Look:", ("f", "{}"), ("g", "{}")),
        Case(.llama, #"{"answer": {"name": "f"}}"#, #"{"answer": {"name": "f"}}"#),
        Case(.llama, #"{"name": "Ann"}"#, #"{"name": "Ann"}"#),
        Case(.mistral, "[1] and [TOOL] [TOOL_", "[1] and [TOOL] [TOOL_"),
        Case(.mistral, #"[TOOL_CALLS] [{"name": "f", "arguments": \#(hard)}]"#, "", ("f", hard)),
        Case(
            .mistral,
            #"So. [TOOL_CALLS][{"name":"f","arguments":{}}, {"name": "g", "arguments": \#(hard), "id": "abcdefg12"}]"#,
            "So.", ("f", "{}"), ("g", hard)),
        Case(
            .mistral, #"[TOOL_CALLS]{"name": "f", "arguments": {}} then"#, " then", ("f", "{}")),
        Case(.mistralNamed, "[TOOL_CALLS]get_weather[ARGS]\(hard)", "", ("get_weather", hard)),
        Case(
            .mistralNamed, "Yes[TOOL_CALLS]f[ARGS]{}[TOOL_CALLS]g[CALL_ID]abcdefg12[ARGS] \(hard)\n", "Yes",
            ("f", "{}"), ("g", hard)),
        Case(.mistralNamed, #"[TOOL_CALLS] f{"a": 1}"#, "", ("f", #"{"a": 1}"#)),
    ]

    @Test("calls are read, wherever the answer is cut into pieces", arguments: wellFormed)
    func cuts(test: Case) {
        let wanted = Reading(text: test.text, test.calls)
        let scalars = Array(test.answer.unicodeScalars)
        #expect(Self.read([test.answer], test.format) == wanted)
        #expect(Self.read(scalars.map { String($0) }, test.format) == wanted)
        for cut in 0...scalars.count {
            var (head, tail) = (String.UnicodeScalarView(), String.UnicodeScalarView())
            head.append(contentsOf: scalars[..<cut])
            tail.append(contentsOf: scalars[cut...])
            let reading = Self.read([String(head), String(tail)], test.format)
            #expect(reading == wanted, "cut at \(cut)")
        }
    }

    static let malformed: [(ToolCallFormat, String)] = [
        (.hermes, "a <tool_call>"), (.hermes, "<tool_call>\nf(1)\n</tool_call>"),
        (.hermes, "<tool_call>[{\"name\": \"f\"}]</tool_call>"), (.hermes, "x\n <tool_call> {} </tool_call>"),
        (.hermes, "<tool_call>{\"name\": 3, \"arguments\": {}}</tool_call>"),
        (.hermes, "<tool_call>{\"name\": \"\", \"arguments\": {}}</tool_call>"),
        (.hermes, "<tool_call>{\"name\": \"f\", \"arguments\": 7}</tool_call>"),
        (.hermes, "<tool_call>{\"name\": \"f\", \"arguments\": [1]}</tool_call>"),
        (.hermes, "<tool_call>{\"name\": \"f\", \"arguments\": \"no\"}</tool_call>"),
        (.hermes, "<tool_call>{\"name\": \"f\nx\", \"arguments\": {}}</tool_call>"),
        (.hermes, "<tool_call>{\"name\": \"f\", \"argu"), (.hermes, "</tool_call>\n"),
        (.hermes, "<tool_call>{\"arguments\": {\"a\": 01}, \"name\": \"f\"}"),
        (.hermes, "<tool_call>{\"arguments\": {\"a\": 1.}, \"name\": \"f\"}"),
        (.hermes, "<tool_call>{\"arguments\": {\"a\": nul}, \"name\": \"f\"}"),
        (.hermes, "<tool_call>{\"arguments\": {\"\\x\": 1}, \"name\": \"f\"}"),
        (.hermes, "<tool_call>{\"arguments\": {\"\\u12g4\": 1}, \"name\": \"f\"}"),
        (.hermes, "<tool_call>{\"arguments\": {\"a\": 1,}, \"name\": \"f\"}"),
        (.hermes, "<tool_call>{\"arguments\": {\"a\": [1}}, \"name\": \"f\"}"),
        (.llama, "<|python_tag|>brave_search.call(query=\"x\")"), (.llama, "  "), (.llama, "{"),
        (.llama, "{\"name\": \"f\", \"parameters\": "), (.llama, "{\"type\": \"object\"} {}"),
        (.mistral, "[TOOL_CALLS]"), (.mistral, "[TOOL_CALLS] []"), (.mistral, "[TOOL_CALLS] [[{}]]"),
        (.mistral, "[TOOL_CALLS][,{}]"), (.mistralNamed, "[TOOL_CALLS]f[ARGS]"),
        (.mistralNamed, "[TOOL_CALLS]f g[ARGS]{}"), (.mistralNamed, "[TOOL_CALLS]f[OTHER]{}"),
        (.mistralNamed, "[TOOL_CALLS]\n\nf\n{}"),
        (.mistralNamed, "[TOOL_CALLS]" + String(repeating: "f", count: 600) + "{}"),
    ]

    @Test("what is no call comes as text, unchanged", arguments: malformed)
    func notCalls(format: ToolCallFormat, answer: String) {
        let wanted = Reading(text: answer, [])
        #expect(Self.read([answer], format) == wanted)
        #expect(Self.read(answer.map { String($0) }, format) == wanted)
    }

    @Test("a call that breaks after it has begun ends there, and the rest is text")
    func breaks() {
        let hermes = "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1 oops}}</tool_call>"
        #expect(
            Self.read([hermes], .hermes) == Reading(text: "oops}}</tool_call>", [("f", "{\"a\": 1 ")]))
        let named = "[TOOL_CALLS]f[ARGS]{\"a\"][TOOL_CALLS]g[ARGS]{}"
        #expect(Self.read([named], .mistralNamed) == Reading(text: "]", [("f", "{\"a\""), ("g", "{}")]))
        // The answer may also end, when it has as many tokens as were allowed.
        #expect(
            Self.read(["[TOOL_CALLS]f[ARGS]{\"a\": \"b"], .mistralNamed)
                == Reading(text: "", [("f", "{\"a\": \"b")]))
        let twice = #"<tool_call>{"name": "f", "arguments": {}, "arguments": {"x": 1}}</tool_call>"#
        #expect(
            Self.read([twice], .hermes)
                == Reading(text: #"{"x": 1}}</tool_call>"#, [("f", "{}")]))
    }

    @Test("a good call after a broken one is found")
    func recovers() {
        let good = "<tool_call>{\"name\": \"g\", \"arguments\": {}}</tool_call>"
        for broken in ["<tool_call>", "<tool_call>{\"name\": \"f", "<tool_", "<tool_call>{\"name\": \"f\"\n"]
        {
            let separator = broken.hasSuffix("f") ? "\n" : ""
            let reading = Self.read([broken + separator + good], .hermes)
            #expect(reading.names == ["g"])
            #expect(reading.text == broken)
        }
    }

    @Test("arguments and text pass as they arrive")
    func streams() {
        var parser = ToolCallParser(.hermes)
        #expect(parser.push("Hi <") == [.text("Hi")])
        #expect(parser.push("b>") == [.text(" <b>")])
        #expect(parser.push("\n<tool_call>\n{\"name\": \"f\", \"arguments\": ") == [])
        #expect(
            parser.push("{\"a\"") == [
                .callBegan(index: 0, name: "f", id: nil), .arguments(index: 0, "{\"a\""),
            ])
        #expect(parser.push(": 1}") == [.arguments(index: 0, ": 1}")])
        #expect(parser.push("}\n</tool") == [.callEnded(index: 0)])
        #expect(parser.finish() == [])
        #expect(parser.callCount == 1)
        var bare = ToolCallParser(.llama)
        #expect(bare.push("{\"answer\"") == [.text("{\"answer\"")])
    }

    @Test("no more is read than the calls that are allowed")
    func limit() {
        let one = "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>\n"
        #expect(Self.read([one + one], .hermes, mostCalls: 1) == Reading(text: "", [("f", "{}")]))
        var parser = ToolCallParser(.hermes, mostCalls: 2)
        _ = parser.push(one)
        #expect(!parser.isComplete)
        _ = parser.push(one)
        #expect(parser.isComplete)
        #expect(parser.push("more") == [])
    }

    @Test("large and deep arguments are read, too deep ones are not")
    func sizes() {
        let large = "{\"a\": \"" + String(repeating: "x☔", count: 50_000) + "\"}"
        let late = "<tool_call>{\"arguments\": \(large), \"name\": \"f\"}</tool_call>"
        #expect(Self.read([late], .hermes) == Reading(text: "", [("f", large)]))
        let pieces = late.split(separator: "x", omittingEmptySubsequences: false).flatMap {
            [String($0), "x"]
        }
        #expect(Self.read(pieces.dropLast(), .hermes) == Reading(text: "", [("f", large)]))
        for (depth, isFine) in [(100, true), (100_000, false)] {
            let deep =
                "{\"a\": " + String(repeating: "[", count: depth) + String(repeating: "]", count: depth) + "}"
            let reading = Self.read(["[TOOL_CALLS]f[ARGS]" + deep], .mistralNamed)
            #expect(reading.isOrdered)
            #expect((reading == Reading(text: "", [("f", deep)])) == isFine)
            #expect(reading.arguments.joined() + reading.text == deep)
        }
    }
}
