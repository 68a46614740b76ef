/// A set of bytes.
struct ByteSet: Hashable, Sendable {
    private var words = SIMD4<UInt64>()

    init(_ ranges: ClosedRange<UInt8>...) {
        for range in ranges { for byte in range { insert(byte) } }
    }

    mutating func insert(_ byte: UInt8) { words[Int(byte >> 6)] |= 1 << UInt64(byte & 63) }

    func contains(_ byte: UInt8) -> Bool { words[Int(byte >> 6)] >> UInt64(byte & 63) & 1 != 0 }
}

/// Bytes that an answer may hold: what schemas are translated to, and grammars compiled from.
indirect enum Pattern: Sendable {
    case bytes([UInt8])
    case set(ByteSet)
    case sequence([Pattern])
    case choice([Pattern])
    case repeated(Pattern, atLeast: Int, atMost: Int?)
    /// Members of an object in this order, with commas between them, then what may follow any of them.
    case members([Member], further: Pattern?)
    /// A rule of the schema that the pattern belongs to; rules may contain each other.
    case rule(Int)
    case json(JSONPart)

    struct Member: Sendable {
        var pattern: Pattern
        var isRequired: Bool
    }

    static func text(_ text: String) -> Pattern { .bytes(Array(text.utf8)) }
    static var nothing: Pattern { .bytes([]) }
    static var never: Pattern { .choice([]) }

    static func optional(_ pattern: Pattern) -> Pattern { .choice([pattern, .nothing]) }
}

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

    static let digits = ByteSet(0x30...0x39)
    static let mostDigits = 18
    static let mostFractionDigits = 16
    private static let deepestIndent = 24

    /// A colon with or without a space after it.
    static var colon: Pattern { .sequence([.text(":"), .optional(.text(" "))]) }

    /// A comma and what stands before the next element.
    static var comma: Pattern { .sequence([.text(","), .json(.gap)]) }

    var pattern: Pattern {
        let digit = Pattern.set(Self.digits)
        switch self {
        case .gap:
            let indent = Pattern.repeated(.text(" "), atLeast: 0, atMost: Self.deepestIndent)
            return .choice([.nothing, .text(" "), .sequence([.text("\n"), indent])])
        case .character:
            return .choice([ScalarSet.plain.pattern, .sequence([.text("\\"), Self.escape])])
        case .string:
            let characters = Pattern.repeated(.json(.character), atLeast: 0, atMost: nil)
            return .sequence([.text("\""), characters, .text("\"")])
        case .integer:
            let more = Pattern.repeated(digit, atLeast: 0, atMost: Self.mostDigits - 1)
            return .sequence([
                .optional(.text("-")),
                .choice([.text("0"), .sequence([.set(ByteSet(0x31...0x39)), more])]),
            ])
        case .number:
            let fraction = Pattern.repeated(digit, atLeast: 1, atMost: Self.mostFractionDigits)
            let sign = Pattern.optional(.set(ByteSet(0x2B...0x2B, 0x2D...0x2D)))
            let letter = Pattern.set(ByteSet(0x45...0x45, 0x65...0x65))
            return .sequence([
                .json(.integer), .optional(.sequence([.text("."), fraction])),
                .optional(.sequence([letter, sign, .repeated(digit, atLeast: 1, atMost: 2)])),
            ])
        case .value:
            return .choice([
                .json(.object), .json(.array), .json(.string), .json(.number), .text("true"), .text("false"),
                .text("null"),
            ])
        case .object:
            let member = Pattern.sequence([.json(.string), Self.colon, .json(.value)])
            return .sequence([.text("{"), .json(.gap), .members([], further: member), .text("}")])
        case .array: return Self.list(of: .json(.value), atLeast: 0, atMost: nil)
        }
    }

    /// An array of equal elements; the element is best a rule, since it is needed twice.
    static func list(of element: Pattern, atLeast: Int, atMost: Int?) -> Pattern {
        let more = Pattern.repeated(
            .sequence([comma, element]), atLeast: max(atLeast - 1, 0), atMost: atMost.map { $0 - 1 })
        let elements = Pattern.sequence([element, more, .json(.gap)])
        let content = atMost == 0 ? .nothing : atLeast > 0 ? elements : .optional(elements)
        return .sequence([.text("["), .json(.gap), content, .text("]")])
    }

    /// What may follow a backslash; halves of surrogate pairs only come together.
    private static var escape: Pattern {
        var simple = ByteSet()
        for byte in "\"\\/bfnrt".utf8 { simple.insert(byte) }
        let hex = Pattern.set(ByteSet(0x30...0x39, 0x41...0x46, 0x61...0x66))
        let other = Pattern.set(ByteSet(0x30...0x39, 0x41...0x43, 0x45...0x46, 0x61...0x63, 0x65...0x66))
        let d = Pattern.set(ByteSet(0x44...0x44, 0x64...0x64))
        let high = Pattern.set(ByteSet(0x38...0x39, 0x41...0x42, 0x61...0x62))
        let low = Pattern.set(ByteSet(0x43...0x46, 0x63...0x66))
        return .choice([
            .set(simple),
            .sequence([
                .text("u"),
                .choice([
                    .sequence([other, hex, hex, hex]),
                    .sequence([d, .set(ByteSet(0x30...0x37)), hex, hex]),
                    .sequence([d, high, hex, hex, .text("\\u"), d, low, hex, hex]),
                ]),
            ]),
        ])
    }
}
