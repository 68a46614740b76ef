package import SCXInference

/// Tells calls of functions from the text around them, while a model's words arrive.
///
/// What may begin a call is held back until that is known; what turns out to be none comes as text, unchanged. White
/// space next to a call is part of the format and not told. Once a call has begun its arguments pass as they arrive:
/// should they stop being arguments, the call ends there and the rest comes as text. Holds people's words: never print
/// it.
package struct ToolCallParser: Sendable {
    private enum Place {
        /// Only white space so far: formats that need no mark may begin a call.
        case start
        case text
        /// After the mark of the section, or where another call has to come.
        case opened
        /// After the mark of a call.
        case called
        /// In what is, or may be, a call.
        case inside
        /// After a call, where another or an end may follow.
        case after
    }

    private let syntax: ToolCallSyntax
    private let mostCalls: Int
    private let parameters: ToolParameters
    private var place: Place
    /// Inside the `[…]` of several calls.
    private var isInList = false
    private var isInSection = false
    /// A call has begun and not ended.
    private var isInCall = false
    private var hasTextSinceCall = false
    /// Bytes that are text should they not be part of a call.
    private var held: [UInt8] = []
    private var reader = CallReader.none
    private var openings: MarkMatcher
    /// What may stand between calls, by number in `followingMarks`.
    private var following: MarkMatcher
    private let openingMarks: [String]
    private let followingMarks: [String]
    private var text: [UInt8] = []
    private var arguments: [UInt8] = []
    private var events: [AnswerEvent] = []
    /// How many calls have ended.
    package private(set) var callCount = 0

    /// A parser for one answer.
    ///
    /// - Parameters:
    ///   - format: How the model writes calls; decoding has to keep its `markers`.
    ///   - tools: The functions that the model knows, for formats that write arguments without quotes.
    ///   - mostCalls: After so many calls nothing is read any more; 1 for `parallel_tool_calls: false`.
    package init(_ format: ToolCallFormat, tools: [JSON] = [], mostCalls: Int = .max) {
        syntax = format.syntax
        self.mostCalls = mostCalls
        precondition(mostCalls > 0, "ToolCallParser: no calls are none to parse")
        parameters = ToolParameters(tools)
        openingMarks = syntax.openings
        followingMarks = syntax.openings + syntax.closings
        openings = MarkMatcher(openingMarks)
        following = MarkMatcher(followingMarks)
        place = syntax.isBare ? .start : .text
    }

    /// Whether as many calls have ended as were allowed, so that the answer may stop here.
    package var isComplete: Bool { callCount >= mostCalls }

    /// Takes the next piece of the answer.
    package mutating func push(_ piece: String) -> [AnswerEvent] {
        for byte in piece.utf8 where !isComplete { step(byte) }
        return takeEvents()
    }

    /// Takes the end of the answer: what is held back comes as text, and a call that is open ends.
    ///
    /// - Parameter atLimit: The answer was cut short, so that arguments stay as incomplete as they are.
    /// - Returns: The last events.
    package mutating func finish(atLimit: Bool = false) -> [AnswerEvent] {
        if isInCall {
            endCall(atLimit ? .limit : .answer)
            release()
        } else if !isFormat(held) {
            release()
        }
        held = []
        place = .text
        return takeEvents()
    }

    /// Whether what is held at the end is white space after a call, or the beginning of a mark that ends calls.
    private func isFormat(_ held: [UInt8]) -> Bool {
        guard callCount > 0, place == .after || (place == .text && !hasTextSinceCall) else { return false }
        let rest = held.drop { $0.isSpace || (place == .after && ";,".utf8.contains($0)) }
        return rest.isEmpty || (place == .after && syntax.closings.contains { $0.utf8.starts(with: rest) })
    }

    // MARK: Output

    private mutating func takeEvents() -> [AnswerEvent] {
        settle()
        defer { events = [] }
        return events
    }

    /// Makes events of the bytes that are known.
    private mutating func settle() {
        if !text.isEmpty { events.append(.text(String(decoding: text, as: UTF8.self))) }
        if !arguments.isEmpty {
            events.append(.arguments(index: callCount, String(decoding: arguments, as: UTF8.self)))
        }
        text = []
        arguments = []
    }

    /// Makes text of what is held.
    private mutating func release() {
        guard !held.isEmpty else { return }
        text += held
        held = []
        hasTextSinceCall = true
    }

    private mutating func beginCall(_ name: String, _ id: String?) {
        held = []
        settle()
        events.append(.callBegan(index: callCount, name: name, id: id))
        isInCall = true
    }

    /// Ends the call; what of it is text is held then.
    private mutating func endCall(_ reason: CallEnd? = nil) {
        if let reason { held = reader.close(reason, into: &arguments) }
        settle()
        events.append(.callEnded(index: callCount))
        callCount += 1
        (isInCall, hasTextSinceCall, reader) = (false, false, .none)
        following.reset()
        place = .after
    }

    /// There is no call after all: what is held is text, and the byte may begin anything that text may hold.
    private mutating func giveUp(_ byte: UInt8) {
        if isInCall { endCall(.fault) }
        release()
        (isInList, isInSection, reader) = (false, false, .none)
        openings.reset()
        place = .text
        if !isComplete { step(byte) }
    }

    // MARK: Input

    private mutating func step(_ byte: UInt8) {
        switch place {
        case .start where byte == UInt8(ascii: "{"): begin(.object(ToolCallReader(isBare: true)), byte)
        case .start where byte.isSpace: held.append(byte)
        case .start, .text: readText(byte)
        case .opened, .called: open(byte)
        case .inside: read(byte)
        case .after: follow(byte)
        }
    }

    private mutating func readText(_ byte: UInt8) {
        let isInMark = openings.count > 0
        switch openings.push(byte) {
        case .partial: held.append(byte)
        case .matched(let mark):
            held.append(byte)
            opened(by: openingMarks[mark])
        case .none where isInMark:
            release()
            place = .text
            step(byte)
        case .none:
            held.append(byte)
            guard !byte.isSpace else { return }
            release()
            place = .text
        }
    }

    /// A mark that begins calls is complete.
    private mutating func opened(by mark: String) {
        following.reset()
        if mark == syntax.section?.open {
            (isInSection, isInList, place) = (true, false, .opened)
        } else if mark == syntax.call?.open {
            place = .called
        } else if case .parameters(let marks) = syntax.body {
            // The mark in front of the name.
            (reader, place) = (.parameters(ParameterReader(marks, parameters)), .inside)
        }
    }

    /// Reads what stands between a mark and a call.
    private mutating func open(_ byte: UInt8) {
        if byte == UInt8(ascii: "["), following.count == 0, syntax.isList, !isInList, place == .opened {
            isInList = true
            held.append(byte)
            return
        }
        if following.count > 0 || !byte.isSpace, canFollow(byte) {
            held.append(byte)
            if case .matched(let mark) = following.push(byte) { followed(by: followingMarks[mark]) }
            return
        }
        guard following.count == 0 else { return giveUp(byte) }
        if byte.isSpace {
            held.append(byte)
        } else if let reader = newReader(byte) {
            begin(reader, byte)
        } else {
            giveUp(byte)
        }
    }

    /// Whether the byte may be part of a mark that stands between calls here.
    private func canFollow(_ byte: UInt8) -> Bool {
        var copy = following
        return copy.push(byte) != .none
    }

    /// A reader for a call that begins with this byte, if one may begin here.
    private func newReader(_ byte: UInt8) -> CallReader? {
        guard syntax.call == nil || place == .called || syntax.isBare else { return nil }
        switch syntax.body {
        case .object: return byte == UInt8(ascii: "{") ? .object(ToolCallReader(isBare: syntax.isBare)) : nil
        case .named(let header):
            if byte == UInt8(ascii: "{") { return .object(ToolCallReader(isBare: false)) }
            return isInList ? nil : .named(NamedCallReader(header))
        case .parameters(let marks):
            if marks.open.isEmpty { return .parameters(ParameterReader(marks, parameters)) }
            return byte == UInt8(ascii: "{") ? .object(ToolCallReader(isBare: false)) : nil
        case .python:
            if byte == UInt8(ascii: "{") { return .object(ToolCallReader(isBare: false)) }
            return .python(PythonCallReader(parameters))
        case .keyed: return byte == UInt8(ascii: "{") ? .keyed(KeyedCallReader()) : nil
        case .quoted(let notation): return .quoted(QuotedCallReader(quote: notation.textClose))
        case .elements(_, let mark): return .elements(ElementCallReader(mark: mark, parameters))
        }
    }

    private mutating func begin(_ reader: CallReader, _ byte: UInt8) {
        (self.reader, place) = (reader, .inside)
        read(byte)
    }

    private mutating func read(_ byte: UInt8) {
        var piece: [UInt8] = []
        let outcome = reader.push(byte, into: &piece)
        switch outcome {
        case .held: held.append(byte)
        case .onward: arguments += piece
        case .began(let name, let id):
            beginCall(name, id)
            arguments += piece
        case .whole(let name, let id):
            beginCall(name, id)
            arguments += piece
            endCall()
        case .ended:
            arguments += piece
            endCall()
        case .fault: giveUp(byte)
        }
    }

    /// Reads what stands after a call.
    private mutating func follow(_ byte: UInt8) {
        if following.count > 0 || !byte.isSpace, canFollow(byte) {
            held.append(byte)
            if case .matched(let mark) = following.push(byte) { followed(by: followingMarks[mark]) }
            return
        }
        guard following.count == 0 else { return giveUp(byte) }
        if byte.isSpace {
            held.append(byte)
        } else if isInList, byte == UInt8(ascii: ",") {
            held.append(byte)
            place = .opened
        } else if isInList, byte == UInt8(ascii: "]") {
            held = []
            isInList = false
            if syntax.section?.close.isEmpty != false { (isInSection, place) = (false, .text) }
        } else if syntax.isBare, byte == UInt8(ascii: ";") {
            held.append(byte)
        } else if isInSection || syntax.isBare, let reader = newReader(byte) {
            begin(reader, byte)
        } else {
            giveUp(byte)
        }
    }

    /// A mark between calls is complete.
    private mutating func followed(by mark: String) {
        if openingMarks.contains(mark) {
            // A mark that stands twice begins nothing the first time.
            if (place == .called && mark == syntax.call?.open)
                || (place == .opened && mark == syntax.section?.open)
            {
                let new = held.suffix(mark.utf8.count)
                held.removeLast(new.count)
                release()
                held = Array(new)
            }
            opened(by: mark)
        } else if place == .after || isInSection {
            // Ends and trailers are no text once a call was there.
            let isEnd = mark == syntax.section?.close
            if place == .after { held = [] }
            if isEnd {
                if place != .after { release() }
                (isInSection, isInList, place) = (false, false, .text)
                openings.reset()
            }
        }
    }
}
