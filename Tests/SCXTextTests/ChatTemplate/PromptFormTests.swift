import SCXInference
import SCXText
import Testing

@Suite("forms of prompts")
struct PromptFormTests {
    static func format(_ source: String) throws -> ChatFormat {
        ChatFormat(template: try ChatTemplate(source: source, name: "test"))
    }

    static let parts = ChatMessage(role: "user", parts: ["One.", " Two. "])
    static let text = ChatMessage(role: "user", content: "Three.")

    @Test("a template that walks over parts gets them, and texts as one part")
    func walking() throws {
        let format = try Self.format(
            "{% for m in messages %}{% for c in m['content'] | selectattr('type', 'equalto', 'text') %}({{ c['text'] | trim }}){% endfor %}{% endfor %}"
        )
        #expect(try format.prompt([Self.parts, Self.text]) == "(One.)(Two.)(Three.)")
        #expect(format.template.facts.members.contains("content"))
    }

    @Test("a template that takes both gets what the client sent")
    func both() throws {
        let format = try Self.format(
            """
            {% macro show(content) %}{% if content is string %}<{{ content }}>{% else %}{% for c in content %}[{{ c.text }}]{% endfor %}{% endif %}{% endmacro %}
            {%- for m in messages %}{{ show(m.content) }}{% endfor %}
            """)
        #expect(try format.prompt([Self.parts, Self.text]) == "[One.][ Two. ]<Three.>")
    }

    @Test(
        "a template that takes texts gets parts joined by line ends",
        arguments: [
            "{% for m in messages %}({{ m.content }}){% endfor %}",
            // Walks over content for another reason.
            "{% for m in messages %}({% for c in m.content %}{{ c }}{% endfor %}){% endfor %}",
            "{% for m in messages %}({% for l in m.content.split('\\n') %}{{ l }}\\n{% endfor %}){% endfor %}",
        ])
    func texts(source: String) throws {
        let text = try Self.format(source).prompt([Self.parts])
        #expect(text.contains("One.") && text.contains(" Two. ") && !text.contains("type"))
    }

    @Test("a part that the template would drop makes the parts one text")
    func dropped() throws {
        // Only the first part is read here.
        let format = try Self.format(
            "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{{ m.content[0].text }}{% for c in m.content %}{% endfor %}{% endif %}{% endfor %}"
        )
        #expect(try format.prompt([Self.parts]) == "One.\n Two. ")
    }

    static let picture = ChatMessage(
        role: "user", parts: [.picture(address: "data:,a"), .text("One."), .picture(address: "data:,b")])

    @Test("a template that walks over parts is told of pictures where they stand")
    func pictures() throws {
        let both = try Self.format(
            "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% for c in m.content %}{% if c.type == 'image' %}<i>{% else %}{{ c.text }}{% endif %}{% endfor %}{% endif %}{% endfor %}"
        )
        #expect(try both.prompt([Self.picture, Self.text]) == "<i>One.<i>Three.")
        // All pictures first, as in LLaVA.
        let first = try Self.format(
            "{% for m in messages %}{% for c in m.content | selectattr('type', 'equalto', 'image') %}<i>{% endfor %}{% for c in m.content | selectattr('type', 'equalto', 'text') %}{{ c.text }}{% endfor %}{% endfor %}"
        )
        #expect(try first.prompt([Self.text, Self.picture]) == "Three.<i><i>One.")
        #expect(Self.picture.pictures == ["data:,a", "data:,b"] && Self.picture.content == "One.")
    }

    @Test("a picture is never dropped: another text of its message keeps it, a template of texts refuses it")
    func keptPictures() throws {
        var message = Self.picture
        message.content = "Two."
        #expect(
            message.parts == [.picture(address: "data:,a"), .picture(address: "data:,b"), .text("Two.")])
        let texts = try Self.format("{% for m in messages %}({{ m.content }}){% endfor %}")
        let error = #expect(throws: TemplateError.self) { try texts.prompt([message]) }
        #expect(error?.reason == "it does not write pictures")
    }

    @Test("thoughts are where the template looks for them")
    func thoughts() throws {
        let message = ChatMessage(role: "assistant", content: "a", reasoning: "why")
        for name in ["reasoning_content", "thinking", "reasoning", "thought"] {
            let format = try Self.format("{% for m in messages %}{{ m.\(name) }}{% endfor %}")
            #expect(try format.prompt([message]) == "why")
        }
        let other = try Self.format("{% for m in messages %}{{ m | tojson }}{% endfor %}")
        #expect(
            try other.prompt([message])
                == #"{"role": "assistant", "content": "a", "reasoning_content": "why"}"#)
    }

    // MARK: Going on with the last message

    static let turns =
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"

    @Test("a prompt ends after the last message, in an answer, or inside the last message")
    func endings() throws {
        let format = try Self.format(Self.turns)
        let begun = ChatMessage(role: "assistant", content: "It is \n")
        #expect(try format.prompt([Self.text]) == "<user>Three.<end>\n<assistant>")
        #expect(
            try format.prompt([Self.text, begun], ending: .message)
                == "<user>Three.<end>\n<assistant>It is \n<end>\n")
        #expect(
            try format.prompt([Self.text, begun], ending: .inside) == "<user>Three.<end>\n<assistant>It is \n"
        )
        // Where the template drops white space at the end, the message has none either.
        let trims = try Self.format(Self.turns.replacing("m.content", with: "m.content | trim"))
        #expect(
            try trims.prompt([Self.text, begun], ending: .inside) == "<user>Three.<end>\n<assistant>It is")
        let parts = ChatMessage(role: "assistant", parts: ["One", "two "])
        #expect(try format.prompt([Self.text, parts], ending: .inside).hasSuffix("<assistant>One\ntwo "))
    }

    @Test("what cannot be continued is refused")
    func refused() throws {
        let format = try Self.format(Self.turns)
        let call = ToolCall(id: "a", name: "f", arguments: "{}")
        for last in [Self.text, ChatMessage(role: "assistant", content: nil, toolCalls: [call])] {
            let error = #expect(throws: TemplateError.self) { try format.prompt([last], ending: .inside) }
            #expect(error?.reason.hasPrefix("only a text of the assistant") == true)
        }
        let silent = try Self.format(
            "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}")
        #expect(throws: TemplateError.self) {
            try silent.prompt([Self.text, ChatMessage(role: "assistant", content: "a")], ending: .inside)
        }
    }

    // MARK: Thoughts

    @Test("how a model thinks is seen in its template")
    func detection() {
        for (source, format) in [
            ("{{ m.content.split('</think>') }}", ReasoningFormat.marks(open: "<think>", close: "</think>")),
            ("[THINK][/THINK]", .marks(open: "[THINK]", close: "[/THINK]")),
            ("'<seed:think>' '</seed:think>'", .marks(open: "<seed:think>", close: "</seed:think>")),
            (
                "<|START_THINKING|><|END_THINKING|>",
                .marks(open: "<|START_THINKING|>", close: "<|END_THINKING|>")
            ),
            ("<|channel|>analysis<|message|> functions.", .channels),
        ] {
            #expect(ReasoningFormat.detect(template: source) == format)
        }
        #expect(ReasoningFormat.detect(template: "<|im_start|>think<|im_end|>") == nil)
    }

    @Test("where an answer begins")
    func starts() {
        let tags = ReasoningFormat.marks(open: "<think>", close: "</think>")
        #expect(tags.start(after: "<|assistant|>\n<think>\n") == .reasoning)
        #expect(tags.start(after: "<|assistant|><think>\n\n</think>\n\n") == .text)
        #expect(tags.start(after: "What is <think>?<|assistant|>") == .fresh)
        #expect(tags.start(after: "x It is", begun: "It is") == .text)
        #expect(tags.start(after: "x <think>It", begun: "<think>It") == .reasoning)
        #expect(tags.start(after: "x <think>a</think>It", begun: "<think>a</think>It") == .text)
        #expect(ReasoningFormat.channels.start(after: "x") == .fresh)
        #expect(ReasoningFormat.channels.start(after: "x", begun: "x") == .text)
    }

    @Test("a template that walks over tools where there are none is not refused")
    func noTools() throws {
        let format = try Self.format("{% for t in tools %}{{ t }}{% endfor %}{{ messages[0].content }}")
        #expect(try format.prompt([Self.text]) == "Three.")
    }

    @Test("tools that the template drops stand in the system's message, as the family writes calls")
    func definitions() throws {
        let source =
            "{% for m in messages %}<{{ m.role }}>{{ m.content or '' }}{% for c in m.tool_calls or [] %}<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>{{ c.function.name }}<｜tool▁sep｜>{{ c.function.arguments | tojson }}<｜tool▁call▁end｜><｜tool▁calls▁end｜>{% endfor %}{% endfor %}"
        let format = try Self.format(source)
        #expect(format.toolCallFormat == .deepSeekPlain)
        let call = ToolCall(id: "a", name: "clock", arguments: "{\"zone\": \"UTC\"}")
        let text = try format.prompt(
            [
                Self.text, ChatMessage(role: "assistant", content: nil, toolCalls: [call]),
                ChatMessage(role: "tool", content: "noon", toolCallID: "a"),
            ], tools: [ToolConversationTests.tool])
        #expect(text.hasPrefix("<system>## Tools"))
        #expect(text.contains("### clock\nDescription: The time <now>\n\nParameters: {}"))
        #expect(
            text.contains(
                "<assistant><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>clock<｜tool▁sep｜>{\"zone\": \"UTC\"}"))
        #expect(text.hasSuffix("<tool>noon"))
    }

    @Test("calls that the template drops are the assistant's words, as the model writes them")
    func calls() throws {
        let source =
            "{{ tools | tojson if tools }}{% for m in messages %}<{{ m.role }}>{{ m.content or '' }}{% endfor %}<|tool_list_start|>"
        let call = ToolCall(id: "a", name: "clock", arguments: "{\"zone\": \"UTC\"}")
        let text = try Self.format(source).prompt(
            [
                Self.text, ChatMessage(role: "assistant", content: "I look.", toolCalls: [call]),
                ChatMessage(role: "tool", content: "noon", toolCallID: "a"),
            ], tools: [ToolConversationTests.tool])
        #expect(
            text.hasSuffix(
                "<assistant>I look.\n<|tool_call_start|>[clock(zone=\"UTC\")]<|tool_call_end|><tool>noon<|tool_list_start|>"
            ))
    }

    @Test("results that a template walks over are parts")
    func results() throws {
        let source =
            "{{ tools | tojson if tools }}<tool_call>{% for m in messages %}{% if m.role == 'tool' %}{% for c in m.content %}({{ c.text }}){% endfor %}{% elif m.tool_calls %}{{ m.tool_calls[0].function.name }}{% else %}{{ m.content }}{% endif %}{% endfor %}"
        let call = ToolCall(id: "a", name: "clock", arguments: "{}")
        let text = try Self.format(source).prompt(
            [
                Self.text, ChatMessage(role: "assistant", content: nil, toolCalls: [call]),
                ChatMessage(role: "tool", content: "noon", toolCallID: "a"),
            ], tools: [ToolConversationTests.tool])
        #expect(text.hasSuffix("Three.clock(noon)"))
    }
}
