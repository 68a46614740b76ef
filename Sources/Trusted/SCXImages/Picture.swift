/// A decoded picture: rows of red, green and blue bytes.
///
/// Its description has the size alone, since a picture is a secret.
package struct Picture: Equatable, Sendable, CustomStringConvertible, CustomDebugStringConvertible {
    /// Columns.
    package let width: Int
    /// Rows.
    package let height: Int
    /// The values, [height, width, 3], row-major.
    package let bytes: [UInt8]

    /// - Precondition: there are `width * height * 3` bytes.
    package init(width: Int, height: Int, bytes: [UInt8]) {
        precondition(width > 0 && height > 0 && bytes.count == width * height * 3)
        (self.width, self.height, self.bytes) = (width, height, bytes)
    }

    package var description: String { "a picture of \(width) × \(height) pixels" }
    package var debugDescription: String { description }
}

extension Picture {
    /// Lays the pixels of a picture with opacities on white.
    ///
    /// The arithmetic is that of `alpha_composite` of PIL on an opaque white ground, to the bit.
    ///
    /// - Parameters:
    ///   - width: Columns.
    ///   - height: Rows.
    ///   - rgba: The values, [height, width, 4], row-major.
    init(width: Int, height: Int, onWhite rgba: [UInt8]) {
        var bytes = [UInt8](repeating: 0, count: width * height * 3)
        for i in 0..<width * height {
            let alpha = rgba[i * 4 + 3]
            for channel in 0..<3 { bytes[i * 3 + channel] = rgba[i * 4 + channel].onWhite(alpha) }
        }
        self.init(width: width, height: height, bytes: bytes)
    }

    /// The picture turned or mirrored as the orientation of EXIF asks, with the values of 1 to 8.
    func turned(_ orientation: Int) -> Picture {
        guard (2...8).contains(orientation) else { return self }
        let isTurned = orientation >= 5
        let (columns, rows) = isTurned ? (height, width) : (width, height)
        var turned = [UInt8](repeating: 0, count: bytes.count)
        var at = 0
        for y in 0..<rows {
            for x in 0..<columns {
                let (column, row) =
                    switch orientation {
                    case 2: (width - 1 - x, y)
                    case 3: (width - 1 - x, height - 1 - y)
                    case 4: (x, height - 1 - y)
                    case 5: (y, x)
                    case 6: (y, height - 1 - x)
                    case 7: (width - 1 - y, height - 1 - x)
                    default: (width - 1 - y, x)
                    }
                let from = (row * width + column) * 3
                turned[at] = bytes[from]
                turned[at + 1] = bytes[from + 1]
                turned[at + 2] = bytes[from + 2]
                at += 3
            }
        }
        return Picture(width: columns, height: rows, bytes: turned)
    }
}

extension UInt8 {
    /// A value of that opacity on a white ground, as PIL computes it in fixed point.
    @inline(__always)
    func onWhite(_ alpha: UInt8) -> UInt8 {
        if alpha == 255 { return self }
        if alpha == 0 { return 255 }
        // Both weights have 7 fractional bits; the sum is divided by 255 by adding its 256th part to itself.
        let sum = UInt32(self) * UInt32(alpha) << 7 + 255 * UInt32(255 - alpha) << 7 + 0x80 << 7
        return UInt8(truncatingIfNeeded: (((sum >> 8) + sum) >> 8) >> 7)
    }
}
