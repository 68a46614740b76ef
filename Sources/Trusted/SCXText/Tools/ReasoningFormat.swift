import SCXInference

/// How a model that thinks before it answers sets its thoughts apart.
package enum ReasoningFormat: Equatable, Sendable {
    /// Between marks; the prompt may have written the first one already.
    case marks(open: String, close: String)
    /// In messages of a channel of their own, as gpt-oss does.
    case channels

    /// Marks of thoughts, and texts that a template which teaches them has; where none are named, the second mark.
    private static let known: [(open: String, close: String, taught: [String])] = [
        ("<think>", "</think>", []), ("<seed:think>", "</seed:think>", []),
        ("<|START_THINKING|>", "<|END_THINKING|>", []), ("[THINK]", "[/THINK]", []),
        ("<|thought_start|>", "<|thought_end|>", []), ("<thought>", "</thought>", []),
        ("<mm:think>", "</mm:think>", []), ("<|inner_prefix|>", "<|inner_suffix|>", []),
        ("<|channel>thought", "<channel|>", []),
        ("<think:opensource>", "</think:opensource>", ["</think{}>", ":opensource"]),
        ("<|open|>think<|sep|>", "<|close|>think<|sep|>", ["<|open|>", "<|sep|>", "think"]),
        ("<|think|>", "<|end|>", ["<|think|>", "<|tool_call:begin|>"]),
    ]

    /// Finds how the model of a template thinks.
    ///
    /// - Parameter source: The template's text.
    /// - Returns: Nil for a template that knows no thoughts.
    package static func detect(template source: String) -> ReasoningFormat? {
        if ToolCallSyntax.harmony.isTaught(source) { return .channels }
        let found = known.first { marks in
            (marks.taught.isEmpty ? [marks.close] : marks.taught).allSatisfy { source.contains($0) }
        }
        return found.map { .marks(open: $0.open, close: $0.close) }
    }

    /// Texts that the parser looks for; decoding has to keep them even where they are special tokens.
    package var marks: [String] {
        switch self {
        case .marks(let open, let close): [open, close]
        case .channels: HarmonyParser.marks
        }
    }

    /// Where the answer to a prompt begins.
    ///
    /// - Parameters:
    ///   - prompt: The text that the model continues.
    ///   - begun: What the client wrote of the answer itself; nil when the answer is a message of its own.
    /// - Returns: In the thoughts, in the text, or before both.
    package func start(after prompt: String, begun: String? = nil) -> AnswerStart {
        guard case .marks(let open, let close) = self else { return begun == nil ? .fresh : .text }
        if let begun, !begun.strippedPython(nil).isEmpty {
            let opened = begun.places(of: open).last
            let closed = begun.places(of: close).last
            guard let opened, opened > closed ?? -1 else { return .text }
            return .reasoning
        }
        let end = prompt.unicodeScalars.suffix(64)
        let tail = String(scalars: end).strippedPython(nil)
        return tail.hasSuffix(open) ? .reasoning : tail.hasSuffix(close) ? .text : .fresh
    }
}

/// Where an answer begins.
package enum AnswerStart: Equatable, Sendable {
    /// The model may think first.
    case fresh
    /// Inside the thoughts.
    case reasoning
    /// Inside the answer's text.
    case text
}
