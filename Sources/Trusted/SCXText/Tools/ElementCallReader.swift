import SCXInference

/// Reads a call whose arguments are elements named after them, with elements inside for objects and lists, as MiniMax M3
/// writes it: `NAME">`, then for each argument `MARK<KEY>VALUE MARK</KEY>`, then `MARK</invoke>`.
///
/// A mark of the family's own stands before each tag, so that values may hold any tags. Texts pass while they arrive; other
/// values are read to their end first, and become JSON by the function's schema.
struct ElementCallReader: Sendable {
    private enum Place {
        /// In the function's name.
        case name
        /// Before a tag.
        case between
        case tag
        /// In a value that is a text for certain.
        case text
        case value
    }

    private static let longestName = 512
    private static let nameEnd = Array("\">".utf8)

    private let mark: [UInt8]
    private let parameters: ToolParameters
    private var place = Place.name
    private var function = ""
    private var key = ""
    /// What ends the value.
    private var valueEnd: [UInt8] = []
    /// Bytes of the name, a tag or a value.
    private var token: [UInt8] = []
    /// Bytes of a mark that is not complete.
    private var partial: [UInt8] = []
    /// Bytes since the last argument that was complete.
    private var unread: [UInt8] = []
    private var count = 0

    /// - Parameters:
    ///   - mark: Stands before each tag.
    ///   - parameters: Of the functions that the model knows.
    init(mark: String, _ parameters: ToolParameters) {
        (self.mark, self.parameters) = (Array(mark.utf8), parameters)
    }

    mutating func push(_ byte: UInt8, into arguments: inout [UInt8]) -> CallOutcome {
        switch place {
        case .name:
            token.append(byte)
            guard token.ends(with: Self.nameEnd) else {
                return token.count > Self.longestName || byte.isSpace ? .fault : .held
            }
            function = String(decoding: token.dropLast(Self.nameEnd.count), as: UTF8.self)
            guard !function.isEmpty else { return .fault }
            (place, token) = (.between, [])
            return .began(name: function, id: nil)
        case .between:
            unread.append(byte)
            if partial.isEmpty, byte.isSpace { return .onward }
            partial.append(byte)
            let opening = mark + [UInt8(ascii: "<")]
            guard opening.starts(with: partial) else {
                unread.removeLast()
                return .fault
            }
            if partial == opening { (place, token, partial) = (.tag, [], []) }
        case .tag:
            unread.append(byte)
            guard byte == UInt8(ascii: ">") else {
                token.append(byte)
                return token.count > Self.longestName ? .fault : .onward
            }
            let tag = String(decoding: token, as: UTF8.self)
            if tag == "/invoke" {
                arguments += (count == 0 ? "{}" : "}").utf8
                return .ended
            }
            guard !tag.isEmpty, !tag.hasPrefix("/") else { return .fault }
            beginValue(tag, into: &arguments)
        case .text, .value:
            unread.append(byte)
            readValue(byte, into: &arguments)
        }
        return .onward
    }

    private mutating func beginValue(_ tag: String, into arguments: inout [UInt8]) {
        key = tag
        valueEnd = mark + Array("</\(tag)>".utf8)
        arguments += ((count == 0 ? "{" : ", ") + JSON.string(key).text + ": ").utf8
        count += 1
        (token, partial) = ([], [])
        place = parameters.kinds(of: key, in: function) == [.string] ? .text : .value
        if place == .text { arguments.append(UInt8(ascii: "\"")) }
    }

    private mutating func readValue(_ byte: UInt8, into arguments: inout [UInt8]) {
        partial.append(byte)
        while !partial.isEmpty, !valueEnd.starts(with: partial) {
            let first = partial.removeFirst()
            if place == .text { arguments.append(json: first) } else { token.append(first) }
        }
        guard partial == valueEnd else { return }
        if place == .text { arguments.append(UInt8(ascii: "\"")) } else { arguments += json(of: token).utf8 }
        (place, partial, unread) = (.between, [], [])
    }

    private func json(of bytes: [UInt8]) -> String {
        let (schema, document) = parameters.schema(of: key, in: function)
        return ElementText.json(of: bytes, mark: mark, schema: schema, document: document)
    }

    /// Ends a call that has no end of its own.
    func close(_ reason: CallEnd, into arguments: inout [UInt8]) -> [UInt8] {
        switch place {
        case .name: return []
        case .between, .tag:
            arguments += (count == 0 ? "{}" : "}").utf8
            return reason != .fault && place == .between && partial.isEmpty ? [] : unread
        // A value takes any byte, so that only an answer's end comes here.
        case .text:
            for byte in partial { arguments.append(json: byte) }
            if reason != .limit { arguments += "\"}".utf8 }
        case .value:
            arguments += reason == .limit ? token + partial : Array((json(of: token + partial) + "}").utf8)
        }
        return []
    }
}

/// Turns a value that is written as elements inside of each other into JSON.
private struct ElementText {
    private static let deepest = 64

    private let bytes: [UInt8]
    private let mark: [UInt8]
    private let document: JSON
    private var at = 0
    private var steps = 0

    static func json(of bytes: [UInt8], mark: [UInt8], schema: JSON, document: JSON) -> String {
        var reader = ElementText(bytes: bytes, mark: mark, document: document)
        let json = reader.content(schema, depth: 0)
        // Elements that do not close are text.
        guard reader.at == bytes.count else {
            return JSON.string(String(decoding: bytes, as: UTF8.self)).text
        }
        return json
    }

    private init(bytes: [UInt8], mark: [UInt8], document: JSON) {
        (self.bytes, self.mark, self.document) = (bytes, mark, document)
    }

    private func isHere(_ wanted: [UInt8]) -> Bool { bytes[at...].starts(with: wanted) }

    /// Reads elements, or the text that is there in place of them, up to a tag that closes.
    private mutating func content(_ schema: JSON, depth: Int) -> String {
        let schema = ToolParameters.resolved(schema, in: document, &steps)
        let kinds = ToolParameters.kinds(of: schema, in: document, &steps)
        var text: [UInt8] = []
        var children: [(tag: String, json: String)] = []
        while at < bytes.count {
            guard isHere(mark) else {
                text.append(bytes[at])
                at += 1
                continue
            }
            let opening = mark + [UInt8(ascii: "<")]
            let first = at + opening.count
            guard depth < Self.deepest, isHere(opening), !isHere(opening + [UInt8(ascii: "/")]),
                let end = bytes[first...].firstIndex(of: UInt8(ascii: ">"))
            else { break }
            let start = at
            let tag = String(decoding: bytes[first..<end], as: UTF8.self)
            at = end + 1
            let isMember = schema["properties"]?[tag] != nil
            let inner = isMember ? schema["properties"]?[tag] : tag == "item" ? schema["items"] : nil
            let json = content(inner ?? .null, depth: depth + 1)
            let close = mark + Array("</\(tag)>".utf8)
            guard isHere(close) else {
                at = start
                break
            }
            at += close.count
            children.append((tag, json))
        }
        if children.isEmpty {
            let leaf = String(decoding: text, as: UTF8.self)
            if leaf.allSatisfy(\.isWhitespace), kinds == [.array] || kinds == [.object] {
                return kinds == [.array] ? "[]" : "{}"
            }
            return ToolParameters.json(of: leaf, kinds: kinds)
        }
        let isList = children.allSatisfy { $0.tag == "item" } && (kinds.isEmpty || kinds.contains(.array))
        guard !isList else { return "[" + children.map(\.json).joined(separator: ", ") + "]" }
        let members = children.map { JSON.string($0.tag).text + ": " + $0.json }
        return "{" + members.joined(separator: ", ") + "}"
    }
}
