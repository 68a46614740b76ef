/// Parts of JSON that all schemas share; each is compiled once.
///
/// All are narrower than JSON where JSON would let a model go on for ever: white space is a space, or a line break with
/// an indent, and numbers have a bounded number of digits.
enum JSONPart: Int, CaseIterable, Sendable {
    /// White space where a line may end.
    case gap
    /// A character of a string, written plainly or as an escape.
    case character
    case string, integer, number, value, object, array
    /// A colon with or without a space after it.
    case colon
    /// A comma and what stands before the next element.
    case comma

    static let digits = ByteSet(0x30...0x39)
    static let mostDigits = 18
    static let mostFractionDigits = 16
    fileprivate static let deepestIndent = 24
}

extension PatternArena {
    /// What a part of JSON consists of.
    mutating func content(of part: JSONPart) -> Pattern {
        let digit = set(JSONPart.digits)
        switch part {
        case .gap:
            let space = text(" ")
            let indent = repeated(space, atLeast: 0, atMost: JSONPart.deepestIndent)
            return choice([.nothing, space, sequence([text("\n"), indent])])
        case .colon: return sequence([text(":"), optional(text(" "))])
        case .comma: return sequence([text(","), .json(.gap)])
        case .character: return choice([scalars(.plain), sequence([text("\\"), escape()])])
        case .string:
            let characters = repeated(.json(.character), atLeast: 0, atMost: nil)
            return sequence([text("\""), characters, text("\"")])
        case .integer:
            let more = repeated(digit, atLeast: 0, atMost: JSONPart.mostDigits - 1)
            let positive = sequence([set(ByteSet(0x31...0x39)), more])
            return sequence([optional(text("-")), choice([text("0"), positive])])
        case .number:
            let fraction = repeated(digit, atLeast: 1, atMost: JSONPart.mostFractionDigits)
            let sign = optional(set(ByteSet(0x2B...0x2B, 0x2D...0x2D)))
            let letter = set(ByteSet(0x45...0x45, 0x65...0x65))
            let exponent = sequence([letter, sign, repeated(digit, atLeast: 1, atMost: 2)])
            return sequence([
                .json(.integer), optional(sequence([text("."), fraction])), optional(exponent),
            ])
        case .value:
            return choice([
                .json(.object), .json(.array), .json(.string), .json(.number), text("true"), text("false"),
                text("null"),
            ])
        case .object:
            let member = sequence([.json(.string), .json(.colon), .json(.value)])
            return sequence([text("{"), .json(.gap), members([], further: member), text("}")])
        case .array: return list(of: .json(.value), atLeast: 0, atMost: nil)
        }
    }

    /// An array of equal elements; the element is best a rule, since it is needed twice.
    mutating func list(of element: Pattern, atLeast: Int, atMost: Int?) -> Pattern {
        guard element != .never else { return atLeast > 0 ? .never : list([]) }
        if atMost == 0 { return atLeast > 0 ? .never : list([]) }
        let round = sequence([.json(.comma), element])
        let more = repeated(round, atLeast: max(atLeast - 1, 0), atMost: atMost.map { $0 - 1 })
        let some = sequence([element, more, .json(.gap)])
        return list([atLeast > 0 ? some : optional(some)])
    }

    /// An array with this inside.
    private mutating func list(_ content: [Pattern]) -> Pattern {
        sequence([text("["), .json(.gap)] + content + [text("]")])
    }

    /// What may follow a backslash; halves of surrogate pairs only come together.
    private mutating func escape() -> Pattern {
        var simple = ByteSet()
        for byte in "\"\\/bfnrt".utf8 { simple.insert(byte) }
        let hex = set(ByteSet(0x30...0x39, 0x41...0x46, 0x61...0x66))
        let other = set(ByteSet(0x30...0x39, 0x41...0x43, 0x45...0x46, 0x61...0x63, 0x65...0x66))
        let d = set(ByteSet(0x44...0x44, 0x64...0x64))
        let belowSurrogates = set(ByteSet(0x30...0x37))
        let high = set(ByteSet(0x38...0x39, 0x41...0x42, 0x61...0x62))
        let low = set(ByteSet(0x43...0x46, 0x63...0x66))
        return choice([
            set(simple),
            sequence([
                text("u"),
                choice([
                    sequence([other, hex, hex, hex]),
                    sequence([d, belowSurrogates, hex, hex]),
                    sequence([d, high, hex, hex, text("\\u"), d, low, hex, hex]),
                ]),
            ]),
        ])
    }
}
