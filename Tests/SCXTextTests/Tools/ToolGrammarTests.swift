import SCXInference
import SCXText
import Testing

@Suite("grammars of calls")
struct ToolGrammarTests {
    static let schema: JSON = [
        "type": "object",
        "properties": [
            "place": ["type": "string", "description": "A town"], "days": ["type": "integer", "minimum": 0],
            "exact": ["type": "boolean"], "scale": ["type": "string", "enum": ["C", "F"]],
            "tags": ["type": "array", "items": ["type": "string"]],
            "point": ["$ref": "#/$defs/point"], "code": ["type": "string", "pattern": "^[A-Z]{2}$"],
            "note": ["type": ["string", "null"]],
        ],
        "required": ["place", "days"],
        "$defs": ["point": ["type": "object", "properties": ["x": ["type": "number"]], "required": ["x"]]],
        "additionalProperties": false,
    ]

    static let full =
        "{\"place\": \"a </b> \\n\\\"q\\\" ☔\", \"days\": 3, \"exact\": true, \"scale\": \"F\", \"tags\": [\"x\"], "
        + "\"point\": {\"x\": 1.5}, \"code\": \"CH\", \"note\": \"n\"}"
    static let short = "{\"place\": \"Rome\", \"days\": 0}"

    static func accepts(_ format: ToolCallFormat, _ arguments: String) throws -> Bool {
        let constraint = try ByteTokens.constraint(try format.grammar("f", parameters: schema))
        let text = format.text(of: [ToolCall(id: "", name: "f", arguments: arguments)])
        return ByteTokens.accepts(text.utf8, constraint)
    }

    @Test("calls as the format writes them fit their function's schema", arguments: ToolCallFormat.allCases)
    func fits(format: ToolCallFormat) throws {
        for arguments in [Self.full, Self.short] {
            #expect(try Self.accepts(format, arguments), "\(arguments)")
        }
        for wrong in [
            "{\"days\": 3}", "{\"place\": \"a\"}", "{\"place\": \"a\", \"days\": \"x\"}",
            "{\"place\": \"a\", \"days\": -1}", "{\"place\": \"a\", \"days\": 1, \"scale\": \"K\"}",
            "{\"place\": \"a\", \"days\": 1, \"more\": 1}",
            "{\"place\": \"a\", \"days\": 1, \"code\": \"ch\"}", "{\"place\": \"a\", \"days\": 1.5}",
            "{\"place\": \"a\", \"days\": 1, \"exact\": 1}",
        ] {
            #expect(try !Self.accepts(format, wrong), "\(wrong)")
        }
        // Where nothing tells texts from numbers, these are the right ones.
        guard format != .miniMax3 else { return }
        for wrong in [
            "{\"place\": \"a\", \"days\": 1, \"point\": {\"x\": \"1\"}}",
            "{\"place\": \"a\", \"days\": 1, \"tags\": [1]}",
        ] {
            #expect(try !Self.accepts(format, wrong), "\(wrong)")
        }
    }

    @Test("what a grammar allows is read as a call", arguments: ToolCallFormat.allCases)
    func read(format: ToolCallFormat) throws {
        let text = format.text(of: [ToolCall(id: "", name: "f", arguments: Self.full)])
        let syntax = AnswerSyntax(reasoning: format == .harmony ? .channels : nil, calls: format)
        let tool: JSON = ["type": "function", "function": ["name": "f", "parameters": Self.schema]]
        var parser = AnswerParser(syntax, tools: [tool])
        let reading = ToolCallParserTests.Reading(parser.push(text) + parser.finish())
        #expect(reading.names == ["f"] && reading.text.isEmpty)
        #expect(try JSON(parsing: reading.arguments.joined()) == JSON(parsing: Self.full))
    }

    @Test("a function without arguments, and one with any", arguments: ToolCallFormat.allCases)
    func empty(format: ToolCallFormat) throws {
        let none: JSON = ["type": "object", "properties": [:], "additionalProperties": false]
        let constraint = try ByteTokens.constraint(try format.grammar("f", parameters: none))
        let text = format.text(of: [ToolCall(id: "", name: "f", arguments: "{}")])
        #expect(ByteTokens.accepts(text.utf8, constraint))
        #expect(!ByteTokens.accepts((text + text).utf8, constraint))
        _ = try format.grammar("f", parameters: nil)
    }

    @Test("a schema that arguments on their own cannot be held to is refused by name")
    func refused() throws {
        let schema: JSON = ["type": "object", "properties": ["a": [:]], "minProperties": 1]
        let error = #expect(throws: ConstraintError.self) {
            try ToolCallFormat.qwenMarkup.grammar("f", parameters: schema)
        }
        #expect(error?.description.contains("minProperties") == true)
        #expect(throws: ConstraintError.self) {
            try ToolCallFormat.glm.grammar(
                "f", parameters: ["properties": ["a": ["type": "string", "pattern": "("]]])
        }
    }

    @Test("objects and lists inside of each other are held to in signs of a family's own")
    func nested() throws {
        let schema: JSON = [
            "type": "object",
            "properties": [
                "list": [
                    "type": "array", "minItems": 1, "maxItems": 2,
                    "items": [
                        "type": "object", "properties": ["a": ["type": "string", "maxLength": 2]],
                        "required": ["a"], "additionalProperties": false,
                    ],
                ],
                "either": ["anyOf": [["type": "boolean"], ["const": "none"]]],
            ],
        ]
        for format in [ToolCallFormat.gemma4, .miniMax3] {
            func accepts(_ arguments: String) throws -> Bool {
                let constraint = try ByteTokens.constraint(try format.grammar("f", parameters: schema))
                let text = format.text(of: [ToolCall(id: "", name: "f", arguments: arguments)])
                return ByteTokens.accepts(text.utf8, constraint)
            }
            for fine in [
                "{}", "{\"list\": [{\"a\": \"\"}]}",
                "{\"list\": [{\"a\": \"☔b\"}, {\"a\": \"x\"}], \"either\": true}", "{\"either\": \"none\"}",
            ] {
                #expect(try accepts(fine), "\(format) \(fine)")
            }
            for wrong in [
                "{\"list\": []}", "{\"list\": [{}]}", "{\"list\": [{\"a\": \"abc\"}]}",
                "{\"either\": \"nine\"}",
                "{\"list\": [{\"a\": \"\"}, {\"a\": \"\"}, {\"a\": \"\"}]}",
            ] {
                #expect(try !accepts(wrong), "\(format) \(wrong)")
            }
            let free: JSON = ["properties": ["a": ["type": "object"]]]
            var inner: JSON = ["type": "string"]
            for _ in 0..<10 { inner = ["type": "array", "items": inner] }
            let deep: JSON = ["properties": ["a": inner]]
            let loop: JSON = [
                "properties": ["a": ["$ref": "#/$defs/a"]],
                "$defs": ["a": ["type": "array", "items": ["$ref": "#/$defs/a"]]],
            ]
            for refused in [free, deep, loop] {
                #expect(throws: ConstraintError.self) {
                    try format.grammar("f", parameters: refused)
                }
            }
        }
    }

    @Test("a text ends at the first place where its end stands")
    func until() throws {
        let tags = AnswerSyntax(reasoning: .marks(open: "<think>", close: "</think>"))
        let answer = Grammar.literal("yes")
        func accepts(_ text: String, _ start: AnswerStart, _ syntax: AnswerSyntax = tags) throws -> Bool {
            let grammar = syntax.grammar(text: answer, call: nil, start: start)
            return ByteTokens.accepts(text.utf8, try ByteTokens.constraint(grammar))
        }
        #expect(try accepts("yes", .fresh) && accepts("<think>a <</b </thinkx é☔\n</think>\n\nyes", .fresh))
        #expect(
            try !accepts("<think>a</think>no", .fresh) && !accepts("<think>a</think>b</think>yes", .fresh))
        #expect(try accepts("<</think>yes", .reasoning) && !accepts("yes", .reasoning))
        #expect(try accepts("yes", .text) && !accepts("<think></think>yes", .text))
        let channels = AnswerSyntax(reasoning: .channels)
        #expect(try accepts("<|channel|>final<|message|>yes", .fresh, channels))
        let thought = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant"
        #expect(try accepts(thought + "<|channel|>final<|message|>yes", .fresh, channels))
        #expect(try !accepts(thought + "yes", .fresh, channels) && accepts("yes", .text, channels))
    }

    @Test("a call, or an answer, after thoughts")
    func mixed() throws {
        for format in [ToolCallFormat.harmony, .qwenMarkup] {
            let isHarmony = format == .harmony
            let syntax = AnswerSyntax(
                reasoning: isHarmony ? .channels : .marks(open: "<think>", close: "</think>"), calls: format)
            let call = try format.grammar("f", parameters: Self.schema)
            let text = format.text(of: [ToolCall(id: "", name: "f", arguments: Self.short)])
            let thought =
                isHarmony ? "<|channel|>analysis<|message|>x<|end|><|start|>assistant" : "<think>x</think>\n"
            let both = syntax.grammar(text: .literal("{}"), call: call, start: .fresh)
            let only = syntax.grammar(text: nil, call: call, start: .fresh)
            for grammar in [both, only] {
                let constraint = try ByteTokens.constraint(grammar)
                #expect(ByteTokens.accepts((thought + text).utf8, constraint))
                #expect(ByteTokens.accepts(text.utf8, constraint))
            }
            let answer = isHarmony ? "<|channel|>final<|message|>{}" : "{}"
            #expect(ByteTokens.accepts(answer.utf8, try ByteTokens.constraint(both)))
            #expect(!ByteTokens.accepts(answer.utf8, try ByteTokens.constraint(only)))
        }
    }

    @Test("a text of a pattern or length ends where its end stands, and never holds it")
    func restricted() throws {
        let constraint: (JSON) throws -> TokenConstraint = { value in
            let schema: JSON = ["type": "object", "properties": ["a": value], "required": ["a"]]
            return try ByteTokens.constraint(try ToolCallFormat.qwenMarkup.grammar("f", parameters: schema))
        }
        func accepts(_ text: String, _ constraint: TokenConstraint) -> Bool {
            let call =
                "<tool_call>\n<function=f>\n<parameter=a>\n\(text)\n</parameter>\n</function>\n</tool_call>"
            return ByteTokens.accepts(call.utf8, constraint)
        }
        let pattern = try constraint(["type": "string", "pattern": "^<[^0]*$"])
        #expect(accepts("<", pattern) && accepts("<a>\"☔\n</param</parameter>", pattern))
        #expect(!accepts("a", pattern) && !accepts("<0", pattern) && !accepts("<\n</parameter>", pattern))
        let some = try constraint(["type": "string", "minLength": 2])
        #expect(accepts("☔\n", some) && accepts("a</b>", some) && !accepts("a", some))
        #expect(!accepts("ab\n</parameter>", some))
        let few = try constraint(["type": "string", "maxLength": 3])
        #expect(accepts("", few) && accepts("☔☔☔", few) && !accepts("abcd", few))
        let many = try constraint(["type": "string", "maxLength": 300])
        #expect(
            accepts(String(repeating: "é", count: 300), many)
                && !accepts(String(repeating: "é", count: 301), many))
        let values = JSON.array((0..<2000).map { .string("v\($0)") })
        let large = try constraint(["enum": values])
        #expect(accepts("v1999", large) && !accepts("v2000", large))
    }

    @Test("many functions with many texts are held to")
    func costs() throws {
        let members = (0..<20).map { JSON.Member("p\($0)", ["type": "string"]) }
        let schema: JSON = ["type": "object", "properties": .object(members)]
        for format in [ToolCallFormat.qwenMarkup, .glm, .lfm] {
            // Steps count and not seconds, which a sanitizer multiplies.
            var limits = CompilationLimits()
            limits.time = .seconds(86_400)
            let budget = CompilationBudget(limits)
            let calls = try (0..<128).map { number throws(ConstraintError) in
                try format.grammar("f\(number)", parameters: schema, budget: budget)
            }
            _ = try CompiledGrammar(
                .choice(calls), table: ByteTokens.table.get(), endTokens: [ByteTokens.end], budget: budget)
        }
    }

    @Test("kinds of arguments whose schemas refer to each other without end are found in bounded time")
    func references() throws {
        // Each looks at a hundred others: a hundred to the fourth power in all.
        let names = ["a", "b", "c", "d", "e"]
        let definitions = zip(names, names.dropFirst() + ["f"]).map { name, next in
            JSON.Member(
                name,
                ["anyOf": .array(Array(repeating: ["$ref": .string("#/$defs/\(next)")], count: 100))])
        }
        let schema: JSON = [
            "type": "object",
            "properties": .object((0..<100).map { .init("p\($0)", ["$ref": "#/$defs/a"]) }),
            "$defs": .object(definitions + [.init("f", ["type": "string"])]),
        ]
        let tool: JSON = ["type": "function", "function": ["name": "f", "parameters": schema]]
        var parser = ToolCallParser(.qwenMarkup, tools: [tool])
        let events = parser.push(
            "<tool_call>\n<function=f>\n<parameter=p1>\nx\n</parameter>\n</function>\n</tool_call>")
        #expect(ToolCallParserTests.Reading(events + parser.finish()).names == ["f"])
    }
}
