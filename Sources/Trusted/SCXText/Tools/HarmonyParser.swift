/// Reads the messages of gpt-oss: thoughts in channel `analysis`, the answer in `final`, calls in `commentary`.
///
/// An answer is a row of messages, `HEADER<|message|>TEXT<|end|>`, with `<|start|>assistant` between two. The header
/// names the channel and, for a call, the function: `<|channel|>commentary to=functions.NAME <|constrain|>json`.
struct HarmonyParser: Sendable {
    static let marks = [
        "<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|call|>", "<|return|>", "<|constrain|>",
    ]
    private static let longestHeader = 512

    private enum Place {
        /// Before `<|message|>`; whether a `<|start|>` was read, so that the role comes first.
        case header(hasRole: Bool)
        case reasoning
        case text
        case call
        /// Between two messages.
        case between
    }

    private let readsCalls: Bool
    private let mostCalls: Int
    private var place: Place
    /// Bytes of the header, or of a mark that is not complete.
    private var held: [UInt8] = []
    /// Marks that end a message, in this order: `<|end|>`, `<|return|>`, `<|call|>`, `<|start|>`, `<|channel|>`.
    private var ends = MarkMatcher(["<|end|>", "<|return|>", "<|call|>", "<|start|>", "<|channel|>"])
    private var pending: [UInt8] = []
    private var events: [AnswerEvent] = []
    private(set) var callCount = 0

    /// A parser for one answer.
    ///
    /// - Parameters:
    ///   - readsCalls: Whether calls are told as such; otherwise they are text.
    ///   - mostCalls: After so many calls nothing is read any more.
    ///   - isContinued: The prompt ends inside the answer's text.
    init(readsCalls: Bool, mostCalls: Int, isContinued: Bool) {
        (self.readsCalls, self.mostCalls) = (readsCalls, mostCalls)
        place = isContinued ? .text : .header(hasRole: false)
    }

    var isComplete: Bool { callCount >= mostCalls }

    /// Whether the model thinks now.
    var isReasoning: Bool { if case .reasoning = place { true } else { false } }

    mutating func push(_ piece: String) -> [AnswerEvent] {
        for byte in piece.utf8 where !isComplete { step(byte) }
        return takeEvents()
    }

    mutating func finish() -> [AnswerEvent] {
        switch place {
        case .header:
            // A header that was cut short says nothing; what is none is text.
            let header = String(decoding: held, as: UTF8.self).strippedPython(nil)
            let isHeader = Self.beginnings(hasRole: true).contains {
                header.hasPrefix($0) || $0.hasPrefix(header)
            }
            held = isHeader ? [] : held
            place = .text
        case .between: held = []
        case .reasoning, .text, .call: break
        }
        pending += held
        held = []
        endMessage()
        return takeEvents()
    }

    // MARK: Output

    private mutating func takeEvents() -> [AnswerEvent] {
        settle()
        defer { events = [] }
        return events
    }

    private mutating func settle() {
        guard !pending.isEmpty else { return }
        let text = String(decoding: pending, as: UTF8.self)
        pending = []
        switch place {
        case .reasoning: events.append(.reasoning(text))
        case .call: events.append(.arguments(index: callCount, text))
        default: events.append(.text(text))
        }
    }

    private mutating func endMessage() {
        settle()
        if case .call = place {
            events.append(.callEnded(index: callCount))
            callCount += 1
        }
        place = .between
    }

    // MARK: Input

    private mutating func step(_ byte: UInt8) {
        switch place {
        case .header(let hasRole): readHeader(byte, hasRole: hasRole)
        case .between: readBetween(byte)
        case .reasoning, .text, .call: readBody(byte)
        }
    }

    private mutating func readBody(_ byte: UInt8) {
        let isInMark = ends.count > 0
        switch ends.push(byte) {
        case .partial: held.append(byte)
        case .none:
            pending += held
            held = []
            if isInMark { return readBody(byte) }
            pending.append(byte)
        case .matched(let mark):
            held = []
            endMessage()
            if mark == 3 { place = .header(hasRole: true) }
            if mark == 4 {
                held = Array("<|channel|>".utf8)
                place = .header(hasRole: false)
            }
        }
    }

    private mutating func readBetween(_ byte: UInt8) {
        held.append(byte)
        let mark = held.drop(while: \.isSpace)
        let start = "<|start|>".utf8
        if mark.count == start.count, start.elementsEqual(mark) {
            held = []
            place = .header(hasRole: true)
        } else if !start.starts(with: mark) {
            // Text that no header introduces.
            place = .text
            let bytes = held
            held = []
            ends.reset()
            for byte in bytes { readBody(byte) }
        }
    }

    /// How a header may begin.
    private static func beginnings(hasRole: Bool) -> [String] {
        ["<|channel|>", "to=", "<|constrain|>", "<|message|>"] + (hasRole ? ["assistant"] : [])
    }

    private mutating func readHeader(_ byte: UInt8, hasRole: Bool) {
        held.append(byte)
        let end = Array("<|message|>".utf8)
        if held.ends(with: end) {
            let header = String(decoding: held.dropLast(end.count), as: UTF8.self)
            held = []
            ends.reset()
            return begin(header)
        }
        let header = held.drop(while: \.isSpace)
        let fits = Self.beginnings(hasRole: hasRole).contains { beginning in
            let bytes = beginning.utf8
            return header.count < bytes.count ? bytes.starts(with: header) : header.starts(with: bytes)
        }
        guard !fits || held.count > Self.longestHeader else { return }
        place = .text
        let bytes = held
        held = []
        ends.reset()
        for byte in bytes { readBody(byte) }
    }

    /// Begins the message of a header.
    private mutating func begin(_ header: String) {
        func value(after mark: String) -> String? {
            let parts = header.split(separator: mark, maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else { return nil }
            return String(parts[1].prefix { !$0.isWhitespace && $0 != "<" })
        }
        let function = value(after: "to=").flatMap { recipient in
            recipient.hasPrefix("functions.") ? String(recipient.dropFirst("functions.".count)) : nil
        }
        if readsCalls, let function, !function.isEmpty {
            place = .call
            events.append(.callBegan(index: callCount, name: function, id: nil))
        } else {
            place = value(after: "<|channel|>") == "analysis" && function == nil ? .reasoning : .text
        }
    }
}
