/// Why a call ends before its syntax does.
enum CallEnd {
    /// What follows is no part of a call.
    case fault
    /// The model ended its answer.
    case answer
    /// The answer came to its limit: the arguments stay incomplete.
    case limit
}

/// What a byte did to a call that is being read.
enum CallOutcome: Equatable {
    /// Not known yet whether this is a call.
    case held
    /// The function is known; the arguments may have begun.
    case began(name: String, id: String?)
    /// A byte of a call that has begun.
    case onward
    /// The call has begun and ended with this byte.
    case whole(name: String, id: String?)
    /// The call is at its end.
    case ended
    /// This is no call, or none any more, and the byte is no part of it.
    case fault
}

/// Reads one call of any syntax, byte by byte.
///
/// The bytes of the arguments' JSON are appended to `arguments`.
enum CallReader: Sendable {
    case none
    case object(ToolCallReader)
    case named(NamedCallReader)
    case parameters(ParameterReader)
    case python(PythonCallReader)
    case keyed(KeyedCallReader)
    case quoted(QuotedCallReader)
    case elements(ElementCallReader)

    mutating func push(_ byte: UInt8, into arguments: inout [UInt8]) -> CallOutcome {
        // While a reader is changed nothing else holds it, so that its bytes are not copied.
        let outcome: CallOutcome
        switch self {
        case .object(var reader):
            self = .none
            outcome = reader.push(byte, into: &arguments)
            self = .object(reader)
        case .named(var reader):
            self = .none
            outcome = reader.push(byte, into: &arguments)
            self = .named(reader)
        case .parameters(var reader):
            self = .none
            outcome = reader.push(byte, into: &arguments)
            self = .parameters(reader)
        case .python(var reader):
            self = .none
            outcome = reader.push(byte, into: &arguments)
            self = .python(reader)
        case .keyed(var reader):
            self = .none
            outcome = reader.push(byte, into: &arguments)
            self = .keyed(reader)
        case .quoted(var reader):
            self = .none
            outcome = reader.push(byte, into: &arguments)
            self = .quoted(reader)
        case .elements(var reader):
            self = .none
            outcome = reader.push(byte, into: &arguments)
            self = .elements(reader)
        case .none: return .fault
        }
        return outcome
    }

    /// Ends a call that has begun and has no end of its own.
    ///
    /// - Parameters:
    ///   - reason: Why.
    ///   - arguments: Gets what is known of the arguments.
    /// - Returns: Bytes that turned out to be text.
    func close(_ reason: CallEnd, into arguments: inout [UInt8]) -> [UInt8] {
        switch self {
        case .none, .object, .keyed, .named: []
        case .parameters(let reader): reader.close(reason, into: &arguments)
        case .python(let reader): reader.close(reason, into: &arguments)
        case .quoted(let reader): reader.close(reason, into: &arguments)
        case .elements(let reader): reader.close(reason, into: &arguments)
        }
    }
}

extension [UInt8] {
    /// Appends a byte of a string as JSON spells it.
    mutating func append(json byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): self += [UInt8(ascii: "\\"), byte]
        case 0x0A: self += "\\n".utf8
        case 0x0D: self += "\\r".utf8
        case 0x09: self += "\\t".utf8
        case 0..<0x20:
            let digits = String(byte, radix: 16)
            self += "\\u00\(digits.utf8.count == 1 ? "0" : "")\(digits)".utf8
        default: append(byte)
        }
    }
}
