/// Checks a JSON value byte by byte while it arrives, and says where names and values begin and end.
///
/// The value has to be an object or a list; the end of a number inside is not told.
struct JSONScanner: Sendable {
    /// What a byte did; numbers are the objects and lists around the name or value.
    enum Step: Equatable {
        case onward
        case nameBegan(Int)
        case nameEnded(Int)
        case valueBegan(Int)
        case valueEnded(Int)
        /// No JSON has this byte here.
        case fault
    }

    private enum Expected {
        case value, valueOrEnd, name, nameOrEnd, colon, commaOrEnd, nothing
        case string(isName: Bool)
        case escape(isName: Bool)
        case hexadecimal(Int, isName: Bool)
        case word(Substring.UTF8View)
        case number(Number)
    }

    private enum Number { case minus, zero, digits, point, fraction, exponent, sign, power }

    private static let deepest = 128

    private var expected = Expected.value
    /// For every object or list around this place, whether it is an object.
    private var containers: [Bool] = []

    mutating func push(_ byte: UInt8) -> Step {
        switch expected {
        case .string(let isName): return string(byte, isName)
        case .escape(let isName):
            if byte == UInt8(ascii: "u") {
                expected = .hexadecimal(4, isName: isName)
            } else if #""\/bfnrt"#.utf8.contains(byte) {
                expected = .string(isName: isName)
            } else {
                return .fault
            }
            return .onward
        case .hexadecimal(let count, let isName):
            guard Character(Unicode.Scalar(byte)).isHexDigit else { return .fault }
            expected = count == 1 ? .string(isName: isName) : .hexadecimal(count - 1, isName: isName)
            return .onward
        case .word(let rest):
            guard rest.first == byte else { return .fault }
            expected = rest.count == 1 ? .commaOrEnd : .word(rest.dropFirst())
            return .onward
        case .number(let place):
            if let next = Self.next(place, byte) {
                expected = .number(next)
                return .onward
            }
            guard [.zero, .digits, .fraction, .power].contains(place) else { return .fault }
            expected = .commaOrEnd
        default: break
        }
        return [0x20, 0x09, 0x0A, 0x0D].contains(byte) ? .onward : mark(byte)
    }

    /// A byte outside strings, words and numbers.
    private mutating func mark(_ byte: UInt8) -> Step {
        let depth = containers.count
        switch (expected, byte) {
        case (.nameOrEnd, UInt8(ascii: "}")), (.valueOrEnd, UInt8(ascii: "]")): return close()
        case (.commaOrEnd, UInt8(ascii: "}")) where containers.last == true: return close()
        case (.commaOrEnd, UInt8(ascii: "]")) where containers.last == false: return close()
        case (.commaOrEnd, UInt8(ascii: ",")):
            expected = containers.last == true ? .name : .value
            return .onward
        case (.colon, UInt8(ascii: ":")):
            expected = .value
            return .onward
        case (.name, UInt8(ascii: "\"")), (.nameOrEnd, UInt8(ascii: "\"")):
            expected = .string(isName: true)
            return .nameBegan(depth)
        case (.value, _), (.valueOrEnd, _): return begin(byte) ? .valueBegan(depth) : .fault
        default: return .fault
        }
    }

    /// The first byte of a value.
    private mutating func begin(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            guard containers.count < Self.deepest else { return false }
            let isObject = byte == UInt8(ascii: "{")
            containers.append(isObject)
            expected = isObject ? .nameOrEnd : .valueOrEnd
            return true
        case _ where containers.isEmpty: return false
        case UInt8(ascii: "\""): expected = .string(isName: false)
        case UInt8(ascii: "t"): expected = .word("rue"[...].utf8)
        case UInt8(ascii: "f"): expected = .word("alse"[...].utf8)
        case UInt8(ascii: "n"): expected = .word("ull"[...].utf8)
        case UInt8(ascii: "-"): expected = .number(.minus)
        case UInt8(ascii: "0"): expected = .number(.zero)
        case UInt8(ascii: "1")...UInt8(ascii: "9"): expected = .number(.digits)
        default: return false
        }
        return true
    }

    private mutating func close() -> Step {
        containers.removeLast()
        expected = containers.isEmpty ? .nothing : .commaOrEnd
        return .valueEnded(containers.count)
    }

    private mutating func string(_ byte: UInt8, _ isName: Bool) -> Step {
        switch byte {
        case UInt8(ascii: "\""):
            expected = isName ? .colon : .commaOrEnd
            return isName ? .nameEnded(containers.count) : .valueEnded(containers.count)
        case UInt8(ascii: "\\"): expected = .escape(isName: isName)
        case 0..<0x20: return .fault
        default: break
        }
        return .onward
    }

    private static func next(_ place: Number, _ byte: UInt8) -> Number? {
        let isDigit = (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
        return switch (place, byte) {
        case (.minus, UInt8(ascii: "0")): .zero
        case (.minus, _) where isDigit: .digits
        case (.digits, _) where isDigit: .digits
        case (.zero, UInt8(ascii: ".")), (.digits, UInt8(ascii: ".")): .point
        case (.point, _) where isDigit: .fraction
        case (.fraction, _) where isDigit: .fraction
        case (.zero, _) where byte | 0x20 == UInt8(ascii: "e"): .exponent
        case (.digits, _) where byte | 0x20 == UInt8(ascii: "e"): .exponent
        case (.fraction, _) where byte | 0x20 == UInt8(ascii: "e"): .exponent
        case (.exponent, UInt8(ascii: "+")), (.exponent, UInt8(ascii: "-")): .sign
        case (.exponent, _) where isDigit: .power
        case (.sign, _) where isDigit: .power
        case (.power, _) where isDigit: .power
        default: nil
        }
    }
}
