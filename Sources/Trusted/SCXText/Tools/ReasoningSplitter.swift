/// Tells the thoughts of a model from its answer, while its words arrive.
///
/// White space around the thoughts, and before the answer after them, is part of the format and not told.
struct ReasoningSplitter: Sendable {
    private enum Place {
        /// Only white space so far.
        case fresh
        case reasoning
        /// After the thoughts, before the answer.
        case gap
        case text
    }

    private var place: Place
    private var opening: MarkMatcher
    /// Their mark ends the thoughts, and so do marks of calls, which belong to what follows.
    private var endings: MarkMatcher
    private let endingMarks: [String]
    private let open: String
    private let close: String
    private var held: [UInt8] = []
    private var reasoning: [UInt8] = []
    private var text: [UInt8] = []
    private var hasThought = false

    /// - Parameters:
    ///   - open: Begins the thoughts.
    ///   - close: Ends them.
    ///   - calls: Marks of calls, which end them too: some models forget the other one.
    ///   - start: Where the answer begins.
    init(open: String, close: String, calls: [String], start: AnswerStart) {
        (self.open, self.close) = (open, close)
        endingMarks = [close, open] + calls
        opening = MarkMatcher([open])
        endings = MarkMatcher(endingMarks)
        place =
            switch start {
            case .fresh: .fresh
            case .reasoning: .reasoning
            case .text: .text
            }
    }

    /// Whether the model thinks now.
    var isReasoning: Bool { place == .reasoning }

    /// Takes a piece of the answer and gives what is known to be thoughts, and what is text after them.
    mutating func push(_ piece: String) -> (reasoning: String, text: String) {
        if place == .text { return ("", piece) }
        for byte in piece.utf8 { step(byte) }
        return take()
    }

    mutating func finish() -> (reasoning: String, text: String) {
        switch place {
        case .fresh, .text: text += held
        // White space at the end, or a mark that was cut short, is dropped.
        case .reasoning: if !close.utf8.starts(with: held.drop(while: \.isSpace)) { release() }
        case .gap: break
        }
        held = []
        return take()
    }

    private mutating func take() -> (reasoning: String, text: String) {
        defer { (reasoning, text) = ([], []) }
        return (String(decoding: reasoning, as: UTF8.self), String(decoding: text, as: UTF8.self))
    }

    private mutating func step(_ byte: UInt8) {
        switch place {
        case .fresh:
            held.append(byte)
            if opening.count == 0, byte.isSpace { return }
            switch opening.push(byte) {
            case .partial: break
            case .matched: (place, held) = (.reasoning, [])
            case .none:
                text += held
                (place, held) = (.text, [])
            }
        case .reasoning: think(byte)
        case .gap:
            if byte.isSpace { return }
            place = .text
            text.append(byte)
        case .text: text.append(byte)
        }
    }

    private mutating func think(_ byte: UInt8) {
        let isInMark = endings.count > 0
        switch endings.push(byte) {
        case .partial: held.append(byte)
        case .matched(let mark) where endingMarks[mark] == open:
            held.append(byte)
            // Some models write the opening mark though the prompt has it.
            if hasThought { release() } else { held = [] }
        case .matched(let mark):
            held = []
            place = endingMarks[mark] == close ? .gap : .text
            if place == .text { text += endingMarks[mark].utf8 }
        case .none where isInMark:
            release()
            think(byte)
        case .none:
            held.append(byte)
            if !byte.isSpace { release() }
        }
    }

    /// Makes thoughts of what is held.
    private mutating func release() {
        let new = hasThought ? held[...] : held.drop(while: \.isSpace)
        if !new.isEmpty { hasThought = true }
        reasoning += new
        held = []
    }
}
