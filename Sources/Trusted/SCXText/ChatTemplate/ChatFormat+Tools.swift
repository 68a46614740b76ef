import SCXInference

extension ChatFormat {
    /// A way to give a conversation to the template.
    struct Attempt {
        var messages: [ChatMessage]
        var form = MessageForm()
        /// For the template to write.
        var tools: [JSON]?
        var usesToolTemplate = false
        /// What the text has to hold, so that nothing is dropped in silence.
        var needs: [Need] = []

        /// Bytes that are looked at to see whether a text is whole.
        private static let mostWork = 128 << 20

        /// Whether the text has everything that it needs, as far as can be seen with so much work: what is needed comes
        /// from a client, who may send any number of small parts.
        func isWhole(_ text: String) -> Bool {
            var work = 0
            for need in needs {
                work += need.texts.count * (text.utf8.count + 1)
                if work > Self.mostWork { return true }
                guard need.isMet(by: text) else { return false }
            }
            return true
        }
    }

    /// A text, or another way to write it, that a prompt has to hold so often.
    struct Need {
        var texts: [String]
        var count = 1

        /// A text that a template may write as JSON.
        init(content: String) {
            let text = content.strippedPython(nil)
            texts = [text, String(JSON.string(text).text.dropFirst().dropLast())]
        }

        init(_ text: String, count: Int = 1) { (texts, self.count) = ([text], count) }

        func isMet(by text: String) -> Bool {
            texts.contains { part in
                part.isEmpty
                    || (count == 1 ? text.containsBytes(of: part) : text.places(of: part).count >= count)
            }
        }
    }

    /// The ways to give this conversation to the template, best first.
    func attempts(_ messages: [ChatMessage], tools: [JSON]?) -> [Attempt] {
        var form = MessageForm()
        form.splitsTexts = !content.takesTexts
        form.reasoningNames = reasoningNames
        var forms = [form]
        if content.takesParts, messages.contains(where: { $0.parts != nil }) {
            form.keepsParts = true
            forms.insert(form, at: 0)
        }
        // Only as parts of a list can pictures be told of.
        if messages.contains(where: { !$0.pictures.isEmpty }) { forms.removeAll { !$0.keepsParts } }
        let usesTools = messages.contains(where: \.needsTools)
        let attempts = forms.flatMap { form in
            tools == nil && !usesTools
                ? [Attempt(messages: messages, form: form, needs: needs(messages, form))]
                : self.attempts(messages, tools, form)
        }
        // Some templates walk over the tools even where there are none.
        return attempts
            + attempts.filter { $0.tools == nil && !$0.usesToolTemplate }.map { attempt in
                var attempt = attempt
                attempt.tools = []
                return attempt
            }
    }

    /// Members under which templates look for the assistant's thoughts; transformers gives them the first.
    private var reasoningNames: [String] {
        let others = ["reasoning", "thinking", "thought", "tool_plan"]
        let facts = [template.facts, toolTemplate?.facts].compactMap(\.self)
        return ["reasoning_content"] + others.filter { name in facts.contains { $0.members.contains(name) } }
    }

    /// Parts that were sent as such, and results, which have to be in the text.
    private func needs(_ messages: [ChatMessage], _ form: MessageForm) -> [Need] {
        let texts = form.keepsParts ? messages.flatMap { $0.parts?.texts ?? [] } : []
        return texts.map { Need($0.strippedPython(nil)) }
            + messages.filter { $0.role == "tool" }.map { Need(content: $0.content) }
    }

    private func attempts(_ messages: [ChatMessage], _ tools: [JSON]?, _ form: MessageForm) -> [Attempt] {
        var attempts: [Attempt] = []
        let texts = asTexts(messages)
        let native = templateKnowsTools ? native(messages, form) : []
        let calls = messages.flatMap(\.toolCalls).map(\.name)
        let names = tools?.compactMap { ($0["function"] ?? $0)["name"]?.string } ?? []
        let counts = Dictionary((names + calls).map { ($0, 1) }, uniquingKeysWith: +)
        var needs = counts.map { Need($0.key, count: $0.value) } + needs(messages, form)
        // The template writes the tools.
        if templateKnowsTools {
            attempts += native.map {
                Attempt(
                    messages: $0.messages, form: $0.form, tools: tools, usesToolTemplate: true, needs: needs)
            }
            attempts.append(
                Attempt(
                    messages: texts, form: form, tools: tools, usesToolTemplate: tools != nil, needs: needs))
        }
        guard let tools else { return attempts + [Attempt(messages: texts, form: form)] }
        // They stand in a message.
        let instructions = toolCallFormat.instructions(tools)
        needs.append(Need(toolCallFormat.neededInstruction(tools)))
        for place in [Self.inSystem, Self.inQuestion] {
            attempts += native.map {
                Attempt(
                    messages: place(instructions, $0.messages), form: $0.form, usesToolTemplate: true,
                    needs: needs)
            }
            attempts.append(Attempt(messages: place(instructions, texts), form: form, needs: needs))
        }
        return attempts
    }

    /// Forms of the conversation for a template that writes calls and results.
    private func native(
        _ messages: [ChatMessage], _ form: MessageForm
    ) -> [(messages: [ChatMessage], form: MessageForm)] {
        let fitting = toolCallFormat.fittingIDs(messages)
        guard messages.contains(where: \.needsTools) else { return [(fitting, form)] }
        // Some templates cannot write null, some want arguments as texts, or results as parts, and some refuse several
        // calls in one message, or thoughts and words beside a call.
        var withoutNull = fitting
        for i in withoutNull.indices { withoutNull[i].isContentNull = false }
        var (textForm, partForm) = (form, form)
        textForm.hasTextArguments = true
        partForm.splitsResults = true
        var forms = [(fitting, form), (withoutNull, form)]
        if template.facts.walksOverContent || toolTemplate?.facts.walksOverContent == true {
            forms += [(fitting, partForm), (withoutNull, partForm)]
        }
        forms += [(fitting, textForm), (withoutNull, textForm)]
        let single = Self.single(withoutNull)
        if single.count != withoutNull.count { forms.append((single, form)) }
        var silent = single
        for i in silent.indices where !silent[i].toolCalls.isEmpty && !silent[i].content.isEmpty {
            silent[i].reasoning = nil
        }
        if silent != single { forms.append((silent, form)) }
        // Templates that write no calls may know what the assistant's own text is like, and results.
        return forms + [(withoutNull.map(callsInText), form)]
    }

    /// The message with its calls as the model writes them.
    private func callsInText(_ message: ChatMessage) -> ChatMessage {
        guard !message.toolCalls.isEmpty else { return message }
        var text = message
        text.toolCalls = []
        if !text.content.isEmpty { text.content += "\n" }
        text.content += toolCallFormat.text(of: message.toolCalls)
        return text
    }

    /// The conversation with one call in each message, and its results after it.
    private static func single(_ messages: [ChatMessage]) -> [ChatMessage] {
        var single: [ChatMessage] = []
        var rest = messages[...]
        while let message = rest.popFirst() {
            guard message.toolCalls.count > 1 else {
                single.append(message)
                continue
            }
            let results = Array(rest.prefix { $0.role == "tool" })
            rest = rest.dropFirst(results.count)
            var resultsOfCalls = Dictionary(grouping: results) { $0.toolCallID ?? "" }
            for (place, call) in message.toolCalls.enumerated() {
                var one = message
                one.toolCalls = [call]
                if place > 0 { (one.content, one.reasoning) = ("", nil) }
                single.append(one)
                single += resultsOfCalls.removeValue(forKey: call.id) ?? []
            }
            single += results.filter { resultsOfCalls[$0.toolCallID ?? ""] != nil }
        }
        return single
    }

    /// The conversation with calls and results as texts of the assistant and the user.
    ///
    /// Results in a row, and a question after them, become one message, since many templates want user and assistant
    /// to take turns.
    private func asTexts(_ messages: [ChatMessage]) -> [ChatMessage] {
        var texts: [ChatMessage] = []
        var endsWithResult = false
        for message in messages {
            var text = message
            (text.isContentNull, text.toolCalls, text.toolCallID) = (false, [], nil)
            if message.role == "tool" {
                text.role = "user"
                text.name = nil
                text.content = "<tool_response>\n\(message.content)\n</tool_response>"
            } else if !message.toolCalls.isEmpty {
                text.content = callsInText(message).content
            }
            if endsWithResult, text.role == "user", text.pictures.isEmpty, let last = texts.indices.last {
                texts[last].content += "\n" + text.content
            } else {
                texts.append(text)
            }
            endsWithResult = text.role == "user" && (message.role == "tool" || endsWithResult)
        }
        return texts
    }

    /// The conversation with these instructions at the end of the system's message.
    private static func inSystem(_ instructions: String, _ messages: [ChatMessage]) -> [ChatMessage] {
        guard let first = messages.first, first.role == "system" else {
            return [ChatMessage(role: "system", content: instructions)] + messages
        }
        var system = first
        system.content += (first.content.isEmpty ? "" : "\n\n") + instructions
        return [system] + messages.dropFirst()
    }

    /// The conversation with the system's message and these instructions before the first question.
    private static func inQuestion(_ instructions: String, _ messages: [ChatMessage]) -> [ChatMessage] {
        var messages = inSystem(instructions, messages)
        let opening = messages.removeFirst().content
        guard let place = messages.firstIndex(where: { $0.role == "user" }) else {
            return [ChatMessage(role: "user", content: opening)] + messages
        }
        if messages[place].pictures.isEmpty {
            messages[place].content = opening + "\n\n" + messages[place].content
        } else {
            // Texts and pictures stay in their order.
            let parts = messages[place].parts ?? []
            messages[place].content = opening + "\n\n" + messages[place].content
            messages[place].parts = [.text(opening + "\n\n")] + parts
        }
        return messages
    }
}
