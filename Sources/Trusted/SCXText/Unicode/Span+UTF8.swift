extension Span<UInt8> {
    /// The character of valid UTF-8 that begins at the offset, and where it ends.
    func scalar(at offset: Int) -> (Unicode.Scalar, end: Int) {
        let lead = self[offset]
        if lead < 0x80 { return (Unicode.Scalar(lead), offset + 1) }
        let length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4
        var value = UInt32(lead) & (0x7F >> UInt32(length))
        for i in 1..<length { value = value << 6 | UInt32(self[offset + i] & 0x3F) }
        return (Unicode.Scalar(value) ?? "\u{FFFD}", offset + length)
    }

    /// The character that ends before the offset, and where it begins; nil at the start.
    func scalar(before offset: Int) -> (Unicode.Scalar, start: Int)? {
        guard offset > 0 else { return nil }
        var start = offset - 1
        while start > 0, self[start] & 0xC0 == 0x80 { start -= 1 }
        return (scalar(at: start).0, start)
    }

    func hasPrefix(_ prefix: [UInt8], at offset: Int) -> Bool {
        guard offset >= 0, count - offset >= prefix.count else { return false }
        for i in prefix.indices where self[offset + i] != prefix[i] { return false }
        return true
    }
}

extension [UInt8] {
    /// Appends the UTF-8 of a character; of a number without one that of U+FFFD.
    mutating func append(scalar value: UInt32) {
        switch value {
        case ..<0x80: append(UInt8(value))
        case ..<0x800:
            append(UInt8(0xC0 | value >> 6))
            append(UInt8(0x80 | value & 0x3F))
        case 0xD800..<0xE000, 0x11_0000...: append(scalar: 0xFFFD)
        case ..<0x1_0000:
            append(UInt8(0xE0 | value >> 12))
            append(UInt8(0x80 | value >> 6 & 0x3F))
            append(UInt8(0x80 | value & 0x3F))
        default:
            append(UInt8(0xF0 | value >> 18))
            append(UInt8(0x80 | value >> 12 & 0x3F))
            append(UInt8(0x80 | value >> 6 & 0x3F))
            append(UInt8(0x80 | value & 0x3F))
        }
    }
}
