/// A JSON value whose objects keep the order of their members.
///
/// Model directories may come from strangers, so the reader accepts any bytes: it limits the nesting and thereby its
/// recursion, and reports where a fault is. It reads a tokenizer of 128,000 entries in a fraction of the time that
/// Foundation's reader takes. Chat templates that print an object need the order of its members, which Foundation
/// does not keep.
public enum JSON: Equatable, Sendable {
    case null
    case bool(Bool)
    case int(Int)
    case double(Double)
    case string(String)
    case array([JSON])
    case object([Member])

    /// A name and its value.
    public struct Member: Equatable, Sendable {
        public let name: String
        public let value: JSON

        public init(_ name: String, _ value: JSON) {
            self.name = name
            self.value = value
        }
    }
}

/// Why some bytes are not JSON.
public struct JSONError: Error, Equatable, Sendable, CustomStringConvertible {
    public let reason: String
    /// How many bytes come before the fault.
    public let offset: Int

    public var description: String { "not valid JSON at byte \(offset): \(reason)" }
}

extension JSON {
    /// The member's value, or nil when this is not an object or has no such member.
    ///
    /// The search goes through the members in order, so it is meant for objects of a few dozen members. Of members
    /// with the same name the last counts, as in Python.
    public subscript(name: String) -> JSON? {
        guard case .object(let members) = self else { return nil }
        return members.last { $0.name == name }?.value
    }

    /// Whether the value is `null`.
    public var isNull: Bool { self == .null }

    /// The value if it is `true` or `false`; nil for other kinds.
    public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }

    /// The value if it is an integer, or a double without a fraction.
    public var int: Int? {
        switch self {
        case .int(let value): value
        case .double(let value): Int(exactly: value)
        default: nil
        }
    }

    /// The value if it is a number; nil for other kinds.
    public var double: Double? {
        switch self {
        case .int(let value): Double(value)
        case .double(let value): value
        default: nil
        }
    }

    /// The value if it is a string; nil for other kinds.
    public var string: String? { if case .string(let value) = self { value } else { nil } }

    /// The elements if it is an array; nil for other kinds.
    public var array: [JSON]? { if case .array(let value) = self { value } else { nil } }

    /// The members if it is an object; nil for other kinds.
    public var object: [Member]? { if case .object(let value) = self { value } else { nil } }
}

extension JSON {
    /// Reads one JSON text (RFC 8259), with white space around it.
    ///
    /// Python's `NaN`, `Infinity` and `-Infinity` are accepted too, since published configurations contain them. A
    /// lone surrogate in an escape becomes U+FFFD.
    ///
    /// - Parameters:
    ///   - bytes: UTF-8.
    ///   - depth: The deepest nesting that is accepted.
    /// - Throws: ``JSONError`` with the place of the first fault.
    public init(parsing bytes: Span<UInt8>, depth: Int = 128) throws(JSONError) {
        var reader = JSONReader(bytes: bytes)
        self = try reader.value(depth: depth)
        reader.skipSpace()
        guard reader.at == bytes.count else { throw reader.fault("text after the end") }
    }

    /// Reads a text as ``init(parsing:depth:)`` does.
    public init(parsing text: String) throws(JSONError) {
        let bytes = Array(text.utf8)
        try self.init(parsing: bytes.span)
    }
}

/// Walks over the bytes of a JSON text.
private struct JSONReader: ~Escapable {
    let bytes: Span<UInt8>
    var at = 0

    @_lifetime(copy bytes)
    init(bytes: Span<UInt8>) { self.bytes = bytes }

    func fault(_ reason: String) -> JSONError { JSONError(reason: reason, offset: at) }

    var next: UInt8? { at < bytes.count ? bytes[at] : nil }

    mutating func skipSpace() {
        while at < bytes.count {
            switch bytes[at] {
            case 0x20, 0x09, 0x0A, 0x0D: at += 1
            default: return
            }
        }
    }

    mutating func take(_ byte: UInt8) -> Bool {
        guard next == byte else { return false }
        at += 1
        return true
    }

    mutating func word(_ word: StaticString, _ value: JSON) throws(JSONError) -> JSON {
        for i in 0..<word.utf8CodeUnitCount {
            guard unsafe take(word.utf8Start[i]) else { throw fault("unknown word") }
        }
        return value
    }

    mutating func value(depth: Int) throws(JSONError) -> JSON {
        skipSpace()
        switch next {
        case nil: throw fault("unexpected end")
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case UInt8(ascii: "N"): return try word("NaN", .double(.nan))
        case UInt8(ascii: "I"): return try word("Infinity", .double(.infinity))
        default: return try number()
        }
    }

    mutating func object(depth: Int) throws(JSONError) -> JSON {
        guard depth > 0 else { throw fault("nested too deep") }
        at += 1
        var members: [JSON.Member] = []
        skipSpace()
        if take(UInt8(ascii: "}")) { return .object(members) }
        repeat {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw fault("a name is missing") }
            let name = try string()
            skipSpace()
            guard take(UInt8(ascii: ":")) else { throw fault("':' is missing") }
            members.append(.init(name, try value(depth: depth - 1)))
            skipSpace()
        } while take(UInt8(ascii: ","))
        guard take(UInt8(ascii: "}")) else { throw fault("',' or '}' is missing") }
        return .object(members)
    }

    mutating func array(depth: Int) throws(JSONError) -> JSON {
        guard depth > 0 else { throw fault("nested too deep") }
        at += 1
        var values: [JSON] = []
        skipSpace()
        if take(UInt8(ascii: "]")) { return .array(values) }
        repeat {
            values.append(try value(depth: depth - 1))
            skipSpace()
        } while take(UInt8(ascii: ","))
        guard take(UInt8(ascii: "]")) else { throw fault("',' or ']' is missing") }
        return .array(values)
    }

    mutating func number() throws(JSONError) -> JSON {
        let start = at
        let negative = take(UInt8(ascii: "-"))
        if negative, next == UInt8(ascii: "I") { return try word("Infinity", .double(-.infinity)) }
        guard let first = next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) else {
            throw fault("unexpected character")
        }
        var isInteger = true
        var value = 0
        var fits = true
        while let byte = next {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"):
                let (scaled, overflow) = value.multipliedReportingOverflow(by: 10)
                let (sum, carry) = scaled.addingReportingOverflow(Int(byte - UInt8(ascii: "0")))
                value = sum
                fits = fits && !overflow && !carry
            case UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"), UInt8(ascii: "+"),
                UInt8(ascii: "-"):
                isInteger = false
            default:
                return try finish(start, isInteger && fits ? (negative ? -value : value) : nil)
            }
            at += 1
        }
        return try finish(start, isInteger && fits ? (negative ? -value : value) : nil)
    }

    func finish(_ start: Int, _ integer: Int?) throws(JSONError) -> JSON {
        if let integer { return .int(integer) }
        var text = ""
        for i in start..<at { text.unicodeScalars.append(Unicode.Scalar(bytes[i])) }
        guard let double = Double(text) else { throw JSONError(reason: "not a number", offset: start) }
        return .double(double)
    }

    mutating func string() throws(JSONError) -> String {
        at += 1
        let start = at
        while at < bytes.count, bytes[at] != UInt8(ascii: "\""), bytes[at] != UInt8(ascii: "\\") {
            guard bytes[at] >= 0x20 else { throw fault("a control character in a string") }
            at += 1
        }
        guard at < bytes.count else { throw fault("a string does not end") }
        // Nearly all strings have no escape, and are then copied as a whole.
        if bytes[at] == UInt8(ascii: "\"") {
            defer { at += 1 }
            return try text(bytes.extracting(start..<at))
        }
        var unescaped: [UInt8] = []
        for i in start..<at { unescaped.append(bytes[i]) }
        while let byte = next {
            at += 1
            switch byte {
            case UInt8(ascii: "\""): return try text(unescaped.span)
            case UInt8(ascii: "\\"): try escape(into: &unescaped)
            case 0..<0x20: throw fault("a control character in a string")
            default: unescaped.append(byte)
            }
        }
        throw fault("a string does not end")
    }

    func text(_ utf8: Span<UInt8>) throws(JSONError) -> String {
        do { return String(copying: try UTF8Span(validating: utf8)) } catch { throw fault("not UTF-8") }
    }

    mutating func escape(into unescaped: inout [UInt8]) throws(JSONError) {
        guard let byte = next else { throw fault("a string does not end") }
        at += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): unescaped.append(byte)
        case UInt8(ascii: "b"): unescaped.append(0x08)
        case UInt8(ascii: "f"): unescaped.append(0x0C)
        case UInt8(ascii: "n"): unescaped.append(0x0A)
        case UInt8(ascii: "r"): unescaped.append(0x0D)
        case UInt8(ascii: "t"): unescaped.append(0x09)
        case UInt8(ascii: "u"):
            var code = try hex()
            if (0xD800..<0xDC00).contains(code), next == UInt8(ascii: "\\"), at + 1 < bytes.count,
                bytes[at + 1] == UInt8(ascii: "u")
            {
                let mark = at
                at += 2
                let low = try hex()
                if (0xDC00..<0xE000).contains(low) {
                    code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
                } else {
                    at = mark
                }
            }
            unescaped.append(contentsOf: String(Unicode.Scalar(code) ?? "\u{FFFD}").utf8)
        default: throw fault("unknown escape")
        }
    }

    mutating func hex() throws(JSONError) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw fault("four hexadecimal digits are missing")
            }
            code = code << 4 | UInt32(digit)
            at += 1
        }
        return code
    }
}
