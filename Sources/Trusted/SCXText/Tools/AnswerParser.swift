package import SCXInference

/// How the answers of a model are to be read: its thoughts, its calls, and marks that are no part of its words.
package struct AnswerSyntax: Equatable, Sendable {
    /// Nil for a model that does not think.
    package var reasoning: ReasoningFormat?
    /// Nil when the model was told of no tools.
    package var calls: ToolCallFormat?
    /// Texts around the answer, which are left out.
    package var wrappers: [String]

    package init(
        reasoning: ReasoningFormat? = nil, calls: ToolCallFormat? = nil, wrappers: [String] = []
    ) {
        (self.reasoning, self.calls, self.wrappers) = (reasoning, calls, wrappers)
    }

    /// Texts that the parser looks for.
    ///
    /// Decoding has to keep those that are special tokens, which it leaves out by default.
    package var marks: [String] {
        let marks = (reasoning?.marks ?? []) + (calls?.markers ?? []) + wrappers
        return marks + marks.flatMap(\.controlTokens).filter { !marks.contains($0) }
    }

    /// Whether there is nothing to tell apart: the whole answer is text.
    package var isPlain: Bool { reasoning == nil && calls == nil && wrappers.isEmpty }
}

/// Tells thoughts, text and calls of an answer from each other, while it arrives.
///
/// No word is lost whatever the model writes: what fits no syntax is text. Holds people's words: never print it.
package struct AnswerParser: Sendable {
    private var harmony: HarmonyParser?
    private var splitter: ReasoningSplitter?
    private var remover: MarkRemover?
    private var tools: ToolCallParser?

    /// A parser for one answer.
    ///
    /// - Parameters:
    ///   - syntax: How the model writes; decoding has to keep its `marks`.
    ///   - start: Where the answer begins.
    ///   - tools: The functions that the model was told of.
    ///   - mostCalls: After so many calls nothing is read any more; 1 for `parallel_tool_calls: false`.
    package init(
        _ syntax: AnswerSyntax, start: AnswerStart = .fresh, tools: [JSON] = [], mostCalls: Int = .max
    ) {
        if syntax.reasoning == .channels {
            harmony = HarmonyParser(
                readsCalls: syntax.calls == .harmony, mostCalls: mostCalls, isContinued: start == .text)
            return
        }
        if case .marks(let open, let close) = syntax.reasoning {
            splitter = ReasoningSplitter(
                open: open, close: close, calls: syntax.calls?.syntax.openings ?? [], start: start)
        }
        if !syntax.wrappers.isEmpty { remover = MarkRemover(syntax.wrappers) }
        self.tools = syntax.calls.map { ToolCallParser($0, tools: tools, mostCalls: mostCalls) }
    }

    /// How many calls have ended.
    package var callCount: Int { harmony?.callCount ?? tools?.callCount ?? 0 }

    /// Whether as many calls have ended as were allowed, so that the answer may stop here.
    package var isComplete: Bool { harmony?.isComplete ?? tools?.isComplete ?? false }

    /// Whether the last piece ended inside the model's thoughts.
    package var isReasoning: Bool { harmony?.isReasoning ?? splitter?.isReasoning ?? false }

    /// Takes the next piece of the answer.
    package mutating func push(_ piece: String) -> [AnswerEvent] {
        if harmony != nil { return harmony?.push(piece) ?? [] }
        guard splitter != nil else { return read(piece) }
        let (reasoning, text) = splitter?.push(piece) ?? ("", "")
        return (reasoning.isEmpty ? [] : [.reasoning(reasoning)]) + read(text)
    }

    /// Takes the end of the answer: what is held back comes now, and a call that is open ends.
    ///
    /// - Parameter atLimit: The answer was cut short, so that arguments stay as incomplete as they are.
    /// - Returns: The last events.
    package mutating func finish(atLimit: Bool = false) -> [AnswerEvent] {
        if harmony != nil { return harmony?.finish() ?? [] }
        var events: [AnswerEvent] = []
        if let (reasoning, text) = splitter?.finish() {
            if !reasoning.isEmpty { events.append(.reasoning(reasoning)) }
            events += read(text)
        }
        if let rest = remover?.finish() { events += parse(rest) }
        return events + (tools?.finish(atLimit: atLimit) ?? [])
    }

    private mutating func read(_ text: String) -> [AnswerEvent] { parse(remover?.push(text) ?? text) }

    private mutating func parse(_ text: String) -> [AnswerEvent] {
        guard tools != nil else { return text.isEmpty ? [] : [.text(text)] }
        return tools?.push(text) ?? []
    }
}

/// Leaves some texts out of an answer.
struct MarkRemover: Sendable {
    private var matcher: MarkMatcher
    private var held: [UInt8] = []

    init(_ marks: [String]) { matcher = MarkMatcher(marks) }

    mutating func push(_ piece: String) -> String {
        var text: [UInt8] = []
        for byte in piece.utf8 { step(byte, into: &text) }
        return String(decoding: text, as: UTF8.self)
    }

    mutating func finish() -> String {
        defer { held = [] }
        return String(decoding: held, as: UTF8.self)
    }

    private mutating func step(_ byte: UInt8, into text: inout [UInt8]) {
        let isInMark = matcher.count > 0
        switch matcher.push(byte) {
        case .partial: held.append(byte)
        case .matched: held = []
        case .none:
            text += held
            held = []
            if isInMark { return step(byte, into: &text) }
            text.append(byte)
        }
    }
}

extension String {
    /// Tokens such as `<|open|>` that a mark consists of beside other text.
    fileprivate var controlTokens: [String] {
        var tokens: [String] = []
        for part in split(separator: "<|").dropFirst(hasPrefix("<|") ? 0 : 1) {
            guard let end = part.firstRange(of: "|>") else { continue }
            let token = "<|" + part[..<end.upperBound]
            if token != self, !tokens.contains(token) { tokens.append(token) }
        }
        return tokens
    }
}
