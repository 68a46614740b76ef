/// Why bytes that somebody else made cannot be read, in a few words.
struct FormError: Error, Equatable {
    let reason: String

    init(_ reason: String) { self.reason = reason }
}

/// Reads fields of fixed or counted size, in order, and never beyond the end.
///
/// Integers are little-endian, as all of AMD's and Intel's structures have them.
struct ByteReader {
    private let bytes: [UInt8]
    private(set) var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var remaining: Int { bytes.count - position }

    /// What was read since a position that this reader had.
    func read(since start: Int) -> [UInt8] { Array(bytes[start..<position]) }

    mutating func take(_ count: Int, _ name: String) throws(FormError) -> [UInt8] {
        guard count >= 0, count <= remaining else {
            throw FormError("\(name) needs \(count) bytes where \(remaining) are left")
        }
        defer { position += count }
        return Array(bytes[position..<position + count])
    }

    mutating func integer<Value: FixedWidthInteger & UnsignedInteger>(
        _ name: String, as type: Value.Type = Value.self
    ) throws(FormError) -> Value {
        let field = try take(Value.bitWidth / 8, name)
        return field.reversed().reduce(0) { $0 << 8 | Value($1) }
    }

    /// Reads bytes that the format reserves, which must be zero in the versions that are known here.
    mutating func zeros(_ count: Int, _ name: String) throws(FormError) {
        guard try take(count, name).allSatisfy({ $0 == 0 }) else { throw FormError("\(name) is not zero") }
    }

    func end(_ name: String) throws(FormError) {
        guard remaining == 0 else { throw FormError("\(remaining) bytes follow \(name)") }
    }
}

/// Bytes as digits of base 16, and back.
package enum Hex {
    /// The bytes in lower case, without separators.
    package static func text(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(
            decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    /// The bytes that digits of either case name.
    ///
    /// - Returns: Nil where the text holds anything else, or an odd number of digits.
    package static func bytes(_ text: String) -> [UInt8]? {
        let digits = Array(text.utf8)
        guard digits.count.isMultiple(of: 2) else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(digits.count / 2)
        for start in stride(from: 0, to: digits.count, by: 2) {
            guard let high = value(digits[start]), let low = value(digits[start + 1]) else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }

    private static func value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}

extension Sequence<UInt8> {
    var isZero: Bool { allSatisfy { $0 == 0 } }
}
