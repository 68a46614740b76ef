/// The 256 printable characters that byte-level vocabularies write bytes with.
///
/// Printable bytes of Latin-1 stand for themselves; the other 68 become U+0100 and up, in order (GPT-2's table).
enum ByteAlphabet {
    /// The UTF-8 of each byte's character: one or two bytes.
    static let texts: [[UInt8]] = scalars.map { Array(String($0).utf8) }

    /// The byte that a character stands for, or nil.
    static func byte(of scalar: Unicode.Scalar) -> UInt8? {
        scalar.value < 0x144 ? bytes[Int(scalar.value)] : nil
    }

    private static let scalars: [Unicode.Scalar] = {
        var next: UInt32 = 0x100
        return (UInt8.min...UInt8.max).map { byte in
            switch byte {
            case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: return Unicode.Scalar(byte)
            default:
                defer { next += 1 }
                return Unicode.Scalar(next) ?? "?"
            }
        }
    }()

    private static let bytes: [UInt8?] = {
        var bytes = [UInt8?](repeating: nil, count: 0x144)
        for (byte, scalar) in scalars.enumerated() { bytes[Int(scalar.value)] = UInt8(byte) }
        return bytes
    }()
}
