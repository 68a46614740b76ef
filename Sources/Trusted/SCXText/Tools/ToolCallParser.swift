/// What a model's words hold.
package enum ToolCallEvent: Equatable, Sendable {
    case text(String)
    /// Calls are counted from 0.
    case callBegan(index: Int, name: String)
    /// A piece of the arguments' JSON text.
    case arguments(index: Int, String)
    case callEnded(index: Int)
}

/// Tells calls of functions from the text around them, while a model's words arrive.
///
/// What may begin a call is held back until that is known; what turns out to be none comes as text, unchanged. White
/// space next to a call is part of the format and not told. Once a call has begun its arguments pass as they arrive:
/// should they stop being JSON, the call ends there and the rest comes as text. Holds people's words: never print it.
package struct ToolCallParser: Sendable {
    private enum Place {
        /// Only white space so far: formats that need no marker may begin a call.
        case start
        case text
        /// So many bytes of the marker are there.
        case marker(Int)
        /// Between the marker or a list's comma and a call.
        case opened
        /// In the `name[ARGS]` of a call.
        case header
        /// In an object that may be a call.
        case object
        /// In arguments that stand alone.
        case arguments
        /// After a call, where so many bytes of the closing marker are there.
        case closing(Int)
        /// After a call, where another may follow.
        case between
    }

    private static let longestHeader = 512
    private static let closingMarker = Array("</tool_call>".utf8)

    private let format: ToolCallFormat
    private let mostCalls: Int
    private let marker: [UInt8]
    private var place: Place
    /// Inside the `[…]` of several calls.
    private var isInList = false
    /// A call has begun and not ended.
    private var isInCall = false
    private var hasTextSinceCall = false
    /// Bytes that are text should they not be part of a call.
    private var held: [UInt8] = []
    private var header: [UInt8] = []
    private var reader = ToolCallReader(isBare: false)
    private var scanner = JSONScanner()
    private var text: [UInt8] = []
    private var arguments: [UInt8] = []
    private var events: [ToolCallEvent] = []
    /// Calls that have ended.
    package private(set) var callCount = 0

    /// A parser for one answer.
    ///
    /// - Parameters:
    ///   - format: How the model writes calls; decoding has to keep its `markers`.
    ///   - mostCalls: After so many calls nothing is read any more; 1 for `parallel_tool_calls: false`.
    package init(_ format: ToolCallFormat, mostCalls: Int = .max) {
        self.format = format
        self.mostCalls = mostCalls
        precondition(mostCalls > 0, "ToolCallParser: no calls are none to parse")
        marker = Array(format.marker.utf8)
        place = format == .llama ? .start : .text
    }

    /// All calls that were allowed are made: the answer may stop here.
    package var isComplete: Bool { callCount >= mostCalls }

    /// Takes the next piece of the answer.
    package mutating func push(_ piece: String) -> [ToolCallEvent] {
        for byte in piece.utf8 where !isComplete { step(byte) }
        return takeEvents()
    }

    /// Takes the end of the answer: what is held back comes as text, and a call that is cut short ends.
    package mutating func finish() -> [ToolCallEvent] {
        if isInCall {
            endCall()
        } else {
            switch place {
            case .closing, .between: held = []
            case .text where callCount > 0 && !hasTextSinceCall: held = []
            default: release()
            }
        }
        place = .text
        return takeEvents()
    }

    // MARK: Output

    private mutating func takeEvents() -> [ToolCallEvent] {
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

    private mutating func hold(_ byte: UInt8, _ next: Place) {
        held.append(byte)
        place = next
    }

    /// Makes text of what is held.
    private mutating func release() {
        guard !held.isEmpty else { return }
        text += held
        held = []
        hasTextSinceCall = true
    }

    private mutating func beginCall(_ name: String) {
        held = []
        settle()
        events.append(.callBegan(index: callCount, name: name))
        isInCall = true
    }

    private mutating func endCall() {
        settle()
        events.append(.callEnded(index: callCount))
        callCount += 1
        isInCall = false
        hasTextSinceCall = false
        place =
            switch format {
            case .hermes: .closing(0)
            case .llama: .between
            case .mistral, .mistralNamed: isInList ? .between : .text
            }
    }

    /// There is no call after all: what is held is text, and the byte may begin anything that text may hold.
    private mutating func giveUp(_ byte: UInt8) {
        if isInCall { endCall() }
        release()
        isInList = false
        place = .text
        if !isComplete { step(byte) }
    }

    // MARK: Input

    private mutating func step(_ byte: UInt8) {
        let isSpace = [0x20, 0x09, 0x0A, 0x0D].contains(byte)
        switch place {
        case .start where byte == UInt8(ascii: "{"): beginObject(byte)
        case .start where isSpace: held.append(byte)
        case .start, .text:
            if isSpace {
                held.append(byte)
            } else if byte == marker[0] {
                hold(byte, .marker(1))
            } else {
                held.append(byte)
                release()
                place = .text
            }
        case .marker(let count):
            guard byte == marker[count] else { return giveUp(byte) }
            hold(byte, count + 1 == marker.count ? .opened : .marker(count + 1))
        case .opened: open(byte, isSpace)
        case .header: readHeader(byte)
        case .object: readObject(byte)
        case .arguments:
            let step = scanner.push(byte)
            if step == .fault { return giveUp(byte) }
            arguments.append(byte)
            if step == .valueEnded(0) { endCall() }
        case .closing(let count):
            if count == 0, isSpace {
                held.append(byte)
            } else if byte != Self.closingMarker[count] {
                giveUp(byte)
            } else if count + 1 == Self.closingMarker.count {
                held = []
                place = .text
            } else {
                hold(byte, .closing(count + 1))
            }
        case .between: between(byte, isSpace)
        }
    }

    private mutating func open(_ byte: UInt8, _ isSpace: Bool) {
        let isMistral = format == .mistral || format == .mistralNamed
        if isSpace {
            held.append(byte)
        } else if byte == UInt8(ascii: "{") {
            beginObject(byte)
        } else if !isMistral || isInList {
            giveUp(byte)
        } else if byte == UInt8(ascii: "[") {
            isInList = true
            held.append(byte)
        } else {
            header = []
            readHeader(byte)
        }
    }

    /// Reads on in `name[ARGS]`, with `[CALL_ID]id` perhaps after the name.
    private mutating func readHeader(_ byte: UInt8) {
        guard byte != UInt8(ascii: "{") else {
            let parts = String(decoding: header, as: UTF8.self).split(
                separator: "[", omittingEmptySubsequences: false)
            let tags = parts.dropFirst().map { $0.split(separator: "]", maxSplits: 1).first ?? "" }
            guard [[], ["ARGS"], ["CALL_ID"], ["CALL_ID", "ARGS"]].contains(tags), let name = parts.first
            else {
                return giveUp(byte)
            }
            beginCall(String(name))
            scanner = JSONScanner()
            place = .arguments
            return step(byte)
        }
        // A space can be there only because decoding puts one after a special token.
        if [0x20, 0x0A, 0x0D].contains(byte) {
            guard byte == 0x20, header.last == UInt8(ascii: "]") else { return giveUp(byte) }
        } else {
            header.append(byte)
        }
        guard header.count <= Self.longestHeader else { return giveUp(byte) }
        hold(byte, .header)
    }

    private mutating func beginObject(_ byte: UInt8) {
        reader = ToolCallReader(isBare: format == .llama)
        place = .object
        readObject(byte)
    }

    private mutating func readObject(_ byte: UInt8) {
        switch reader.push(byte) {
        case .held: held.append(byte)
        case .began(let name):
            beginCall(name)
            arguments.append(byte)
        case .argument: arguments.append(byte)
        case .aside: break
        case .ended: endCall()
        case .complete(let name, let text):
            beginCall(name)
            arguments += text.utf8
            endCall()
        case .fault: giveUp(byte)
        }
    }

    private mutating func between(_ byte: UInt8, _ isSpace: Bool) {
        if isSpace {
            held.append(byte)
        } else if isInList, byte == UInt8(ascii: ",") {
            hold(byte, .opened)
        } else if isInList, byte == UInt8(ascii: "]") {
            held = []
            isInList = false
            place = .text
        } else if format == .llama, byte == UInt8(ascii: ";") {
            held.append(byte)
        } else if format == .llama, byte == UInt8(ascii: "{") {
            beginObject(byte)
        } else if format == .llama, byte == marker[0] {
            hold(byte, .marker(1))
        } else {
            giveUp(byte)
        }
    }
}
