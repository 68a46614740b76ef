/// A PNG file (W3C, Portable Network Graphics, third edition), read up to its compressed pixels.
///
/// It needs no library: what a stranger sends is read with all bounds checked, and the libraries' simple interface
/// would change colours by gamma, which PIL does not. Chunks about gamma and colour profiles are skipped for the same
/// reason. Of an animation the still picture is taken.
struct PNGFile {
    static let signature: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]

    /// What a pixel consists of.
    enum Colour: Int {
        case grey = 0
        case rgb = 2
        case palette = 3
        case greyAlpha = 4
        case rgba = 6

        /// Samples of a pixel.
        var channels: Int {
            switch self {
            case .grey, .palette: 1
            case .greyAlpha: 2
            case .rgb: 3
            case .rgba: 4
            }
        }

        /// How many bits a sample may have.
        var depths: [Int] {
            switch self {
            case .grey: [1, 2, 4, 8, 16]
            case .palette: [1, 2, 4, 8]
            case .rgb, .greyAlpha, .rgba: [8, 16]
            }
        }
    }

    let width: Int
    let height: Int
    let depth: Int
    let colour: Colour
    let isInterlaced: Bool
    /// Red, green and blue of each entry.
    private(set) var palette: [UInt8] = []
    /// The chunk of transparency: opacities of a palette's entries, or the one colour that is transparent.
    private(set) var transparency: [UInt8] = []
    private(set) var exif: [UInt8] = []
    private var stream: [UInt8] = []

    /// Reads all chunks.
    ///
    /// - Throws: ``ImageError`` when the file is damaged, or larger than the limits.
    init(_ bytes: [UInt8], limits: PictureLimits) throws(ImageError) {
        var chunks = Chunks(bytes: bytes)
        guard let header = try chunks.next(), header.name == "IHDR", header.range.count == 13 else {
            throw Self.fault("it has no header")
        }
        let at = header.range.lowerBound
        (width, height) = (bytes.big32(at), bytes.big32(at + 4))
        try limits.check(width: width, height: height, .png)
        depth = Int(bytes[at + 8])
        guard let colour = Colour(rawValue: Int(bytes[at + 9])), colour.depths.contains(depth) else {
            throw Self.fault("its header has an unknown kind of pixels")
        }
        guard bytes[at + 10] == 0, bytes[at + 11] == 0, bytes[at + 12] <= 1 else {
            throw Self.fault("its header has an unknown compression, filter or order")
        }
        (self.colour, isInterlaced) = (colour, bytes[at + 12] == 1)
        var wasData = false
        reading: while true {
            guard let chunk = try chunks.next() else { throw Self.fault("it has no end") }
            let isData = chunk.name == "IDAT"
            guard !isData || wasData || stream.isEmpty else {
                throw Self.fault("its pixels are not in one piece")
            }
            switch chunk.name {
            case "IDAT": stream += bytes[chunk.range]
            case "PLTE":
                guard palette.isEmpty, stream.isEmpty, chunk.range.count % 3 == 0,
                    (3...768) ~= chunk.range.count
                else {
                    throw Self.fault("its palette is not one")
                }
                palette = Array(bytes[chunk.range])
            case "tRNS":
                guard stream.isEmpty, chunk.range.count <= 256 else {
                    throw Self.fault("its transparency is not one")
                }
                transparency = Array(bytes[chunk.range])
            case "eXIf": exif = Array(bytes[chunk.range])
            case "IEND": break reading
            case "IHDR": throw Self.fault("it has two headers")
            default:
                // A capital first letter: without knowing the chunk nobody can read the picture.
                guard chunk.name.utf8.first.map({ $0 & 32 != 0 }) == true else {
                    throw .unsupported(.png, what: "a chunk of an unknown kind")
                }
            }
            wasData = isData
        }
        guard colour != .palette || !palette.isEmpty else { throw Self.fault("it has no palette") }
        switch colour {
        case .grey where !transparency.isEmpty && transparency.count < 2,
            .rgb where !transparency.isEmpty && transparency.count < 6:
            throw Self.fault("its transparency is not one")
        case .greyAlpha, .rgba: transparency = []
        default: break
        }
    }

    static func fault(_ reason: String) -> ImageError { .malformed(.png, reason: reason) }

    /// A picture within the picture: every so many columns and rows of it, from one column and row on.
    struct Pass {
        let left: Int
        let top: Int
        let across: Int
        let down: Int
        let width: Int
        let height: Int
    }

    /// The passes in which the pixels are stored: one, or the seven of Adam7, as far as they have pixels.
    var passes: [Pass] {
        let all =
            isInterlaced
            ? [
                (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
                (0, 1, 1, 2),
            ] : [(0, 0, 1, 1)]
        return all.compactMap { left, top, across, down in
            guard width > left, height > top else { return nil }
            return Pass(
                left: left, top: top, across: across, down: down,
                width: (width - left + across - 1) / across, height: (height - top + down - 1) / down)
        }
    }

    /// Bytes of a row of so many pixels, without the byte that says its filter.
    private func rowBytes(_ pixels: Int) -> Int { (pixels * colour.channels * depth + 7) / 8 }

    /// Decodes the picture.
    ///
    /// - Throws: ``ImageError`` when the pixels are damaged or incomplete.
    func picture() throws(ImageError) -> Picture {
        let passes = passes
        let count = passes.reduce(0) { $0 + $1.height * (1 + rowBytes($1.width)) }
        var data = try Inflater.inflate(stream, count: count)
        var pixels = PNGPixels(self)
        var at = 0
        for pass in passes {
            let length = rowBytes(pass.width)
            try Self.unfilter(
                &data, at: at, rows: pass.height, rowBytes: length,
                pixelBytes: max(1, colour.channels * depth / 8))
            for row in 0..<pass.height {
                try pixels.set(data, at: at + row * (1 + length) + 1, pass, row: row)
            }
            at += pass.height * (1 + length)
        }
        return Picture(width: width, height: height, bytes: pixels.bytes).turned(Orientation.read(exif))
    }

    /// Undoes the filters of rows, each of which begins with a byte that says its filter.
    private static func unfilter(
        _ data: inout [UInt8], at start: Int, rows: Int, rowBytes: Int, pixelBytes: Int
    ) throws(ImageError) {
        for row in 0..<rows {
            let at = start + row * (1 + rowBytes) + 1
            let isFirst = row == 0
            let above = at - 1 - rowBytes
            switch data[at - 1] {
            case 0: break
            case 1:
                for i in at..<at + rowBytes where i >= at + pixelBytes { data[i] &+= data[i - pixelBytes] }
            case 2:
                guard !isFirst else { break }
                for i in 0..<rowBytes { data[at + i] &+= data[above + i] }
            case 3:
                for i in 0..<rowBytes {
                    let left = i >= pixelBytes ? Int(data[at + i - pixelBytes]) : 0
                    let up = isFirst ? 0 : Int(data[above + i])
                    data[at + i] &+= UInt8((left + up) / 2)
                }
            case 4:
                for i in 0..<rowBytes {
                    let left = i >= pixelBytes ? Int(data[at + i - pixelBytes]) : 0
                    let up = isFirst ? 0 : Int(data[above + i])
                    let corner = isFirst || i < pixelBytes ? 0 : Int(data[above + i - pixelBytes])
                    data[at + i] &+= UInt8(paeth(left, up, corner))
                }
            default: throw fault("a row has an unknown filter")
            }
        }
    }

    /// Of the three neighbours the one that is nearest to `left + up - corner`.
    @inline(__always)
    private static func paeth(_ left: Int, _ up: Int, _ corner: Int) -> Int {
        let toLeft = abs(up - corner)
        let toUp = abs(left - corner)
        let toCorner = abs(left + up - 2 * corner)
        if toLeft <= toUp, toLeft <= toCorner { return left }
        return toUp <= toCorner ? up : corner
    }
}

/// Walks over the chunks of a PNG file.
private struct Chunks {
    let bytes: [UInt8]
    private var at = PNGFile.signature.count

    init(bytes: [UInt8]) { self.bytes = bytes }

    /// The name of the next chunk and where its contents are; nil at the end of the file.
    mutating func next() throws(ImageError) -> (name: String, range: Range<Int>)? {
        guard at < bytes.count else { return nil }
        guard at + 12 <= bytes.count, bytes.big32(at) <= bytes.count - at - 12 else {
            throw PNGFile.fault("it ends within a chunk")
        }
        let range = at + 8..<at + 8 + bytes.big32(at)
        guard Self.checksum(bytes, at + 4..<range.upperBound) == UInt32(bytes.big32(range.upperBound)) else {
            throw PNGFile.fault("the checksum of a chunk is wrong")
        }
        guard bytes[at + 4..<at + 8].allSatisfy({ (65...90).contains($0) || (97...122).contains($0) }) else {
            throw PNGFile.fault("a chunk has no name")
        }
        let name = String(decoding: bytes[at + 4..<at + 8], as: UTF8.self)
        at = range.upperBound + 4
        return (name, range)
    }

    /// The CRC-32 that ends a chunk.
    private static func checksum(_ bytes: [UInt8], _ range: Range<Int>) -> UInt32 {
        var sum: UInt32 = 0xFFFF_FFFF
        for i in range { sum = table[Int((sum ^ UInt32(bytes[i])) & 0xFF)] ^ sum >> 8 }
        return ~sum
    }

    private static let table: [UInt32] = (0..<256).map { byte in
        (0..<8).reduce(UInt32(byte)) { sum, _ in sum & 1 == 1 ? 0xEDB8_8320 ^ sum >> 1 : sum >> 1 }
    }
}
