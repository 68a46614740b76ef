/// The pixels of a PNG picture as red, green and blue, filled row by row.
struct PNGPixels {
    private let file: PNGFile
    /// The values, [height, width, 3], row-major.
    private(set) var bytes: [UInt8]
    /// Red, green and blue of each entry of the palette, or of each value of a grey of up to 8 bits.
    private let colours: [UInt8]
    /// The samples of the colour that is transparent; empty where there is none.
    private let key: [Int]

    init(_ file: PNGFile) {
        self.file = file
        bytes = [UInt8](repeating: 0, count: file.width * file.height * 3)
        var colours: [UInt8] = []
        var key: [Int] = []
        switch file.colour {
        case .palette:
            for (i, value) in file.palette.enumerated() {
                colours.append(
                    i / 3 < file.transparency.count ? value.onWhite(file.transparency[i / 3]) : value)
            }
        case .grey:
            if !file.transparency.isEmpty { key = [file.transparency.big16(0)] }
            // The largest value of any depth is white.
            let top = file.depth < 16 ? 1 << file.depth - 1 : 0
            for value in 0...top where file.depth < 16 {
                let grey = key == [value] ? 255 : UInt8(value * 255 / top)
                colours += [grey, grey, grey]
            }
        case .rgb:
            if !file.transparency.isEmpty { key = (0..<3).map { file.transparency.big16($0 * 2) } }
        case .greyAlpha, .rgba: break
        }
        (self.colours, self.key) = (colours, key)
    }

    /// Takes one row of a pass.
    ///
    /// - Parameters:
    ///   - data: Rows whose filters are undone.
    ///   - start: Where the row's first sample is.
    ///   - pass: The pass.
    ///   - row: Which row of the pass it is.
    /// - Throws: ``ImageError`` when a pixel has no entry in the palette.
    mutating func set(_ data: [UInt8], at start: Int, _ pass: PNGFile.Pass, row: Int) throws(ImageError) {
        var to = ((pass.top + row * pass.down) * file.width + pass.left) * 3
        let step = pass.across * 3
        let (colour, depth) = (file.colour, file.depth)
        // Of 16 bits the higher 8 count, as in PIL.
        let size = depth / 8
        for x in 0..<pass.width {
            switch colour {
            case .grey where depth < 16, .palette:
                let bit = x * depth
                let index = Int(data[start + bit / 8]) >> (8 - depth - bit % 8) & (1 << depth - 1)
                guard index * 3 < colours.count else { throw PNGFile.fault("a pixel is not in its palette") }
                bytes[to] = colours[index * 3]
                bytes[to + 1] = colours[index * 3 + 1]
                bytes[to + 2] = colours[index * 3 + 2]
            case .grey:
                let grey = key == [data.big16(start + x * 2)] ? 255 : data[start + x * 2]
                (bytes[to], bytes[to + 1], bytes[to + 2]) = (grey, grey, grey)
            case .greyAlpha:
                let at = start + x * 2 * size
                let grey = data[at].onWhite(data[at + size])
                (bytes[to], bytes[to + 1], bytes[to + 2]) = (grey, grey, grey)
            case .rgb, .rgba:
                let at = start + x * colour.channels * size
                let alpha = colour == .rgba ? data[at + 3 * size] : isKey(data, at, size) ? 0 : 255
                bytes[to] = data[at].onWhite(alpha)
                bytes[to + 1] = data[at + size].onWhite(alpha)
                bytes[to + 2] = data[at + 2 * size].onWhite(alpha)
            }
            to += step
        }
    }

    /// Whether the pixel is of the transparent colour.
    @inline(__always)
    private func isKey(_ data: [UInt8], _ at: Int, _ size: Int) -> Bool {
        guard !key.isEmpty else { return false }
        return (0..<3).allSatisfy {
            key[$0] == (size == 2 ? data.big16(at + $0 * 2) : Int(data[at + $0]))
        }
    }
}
