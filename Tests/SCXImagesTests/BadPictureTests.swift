import SCXImages
import Testing

@Suite("pictures that are damaged or made to do harm")
struct BadPictureTests {
    private let decoder = PictureDecoder()

    /// The files of formats that this system reads; whichever there are, PNG is one.
    private static let files = ImageFixtures.files.filter { file in
        PictureDecoder.readableFormats.contains { format in
            file.name.hasSuffix(format == .png ? ".png" : format == .jpeg ? ".jpg" : ".webp")
        }
    }

    @Test("a file that is cut off anywhere is refused", arguments: files)
    func cut(_ file: ImageFixtures.File) {
        let bytes = file.bytes
        for count in 0..<bytes.count {
            #expect(throws: ImageError.self, "cut after \(count) bytes") {
                try decoder.picture(of: Array(bytes.prefix(count)))
            }
        }
    }

    @Test("a PNG file with any byte changed is refused", arguments: ImageFixtures.files(".png"))
    func flipped(_ file: ImageFixtures.File) {
        var bytes = file.bytes
        for at in bytes.indices {
            bytes[at] ^= UInt8(1 << (at % 8))
            #expect(throws: ImageError.self, "byte \(at)") { try decoder.picture(of: bytes) }
            bytes[at] ^= UInt8(1 << (at % 8))
        }
    }

    @Test("changed files give a picture within the limits or an error", arguments: files)
    func mutated(_ file: ImageFixtures.File) throws {
        let bytes = file.bytes
        let small = PictureDecoder(limits: PictureLimits(bytes: 5_000, side: 200, pixels: 20_000))
        var generator = FixedGenerator(seed: UInt64(bytes.count))
        for _ in 0..<150 {
            var changed = bytes
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                changed[Int.random(in: changed.indices, using: &generator)] = .random(
                    in: 0...255, using: &generator)
            }
            if file.name.hasSuffix(".png") {
                // With right checksums the faults reach what reads the chunks.
                changed = Array(bytes.prefix(8)) + changed.dropFirst(8)
                var parts = HandmadePNG(bytes)
                let index = Int.random(in: parts.chunks.indices, using: &generator)
                guard !parts.chunks[index].contents.isEmpty else { continue }
                for _ in 0..<Int.random(in: 1...3, using: &generator) {
                    let at = Int.random(in: parts.chunks[index].contents.indices, using: &generator)
                    parts.chunks[index].contents[at] = .random(in: 0...255, using: &generator)
                }
                changed = parts.bytes
            }
            do {
                let picture = try small.picture(of: changed)
                #expect(picture.width <= 200 && picture.height <= 200)
            } catch {
                #expect(!error.description.contains("\n") && error.description.utf8.count < 400)
            }
        }
    }

    @Test("a header of an enormous picture is refused before anything is decoded")
    func bombs() throws {
        let png = HandmadePNG(width: 100_000, height: 100_000, stream: HandmadePNG.stored([0]))
        #expect(throws: ImageError.size(width: 100_000, height: 100_000, limits: PictureLimits())) {
            try decoder.picture(of: png.bytes)
        }
        // Within the limits of sides, but not in all.
        let flat = HandmadePNG(width: 16_000, height: 16_000, stream: HandmadePNG.stored([0]))
        #expect(throws: ImageError.size(width: 16_000, height: 16_000, limits: PictureLimits())) {
            try decoder.picture(of: flat.bytes)
        }
        // Within all limits, with next to no pixels.
        let hollow = HandmadePNG(width: 8_000, height: 8_000, stream: HandmadePNG.stored([0]))
        #expect(throws: ImageError.malformed(.png, reason: "its pixels are incomplete")) {
            try decoder.picture(of: hollow.bytes)
        }
        // The largest values that fields can have.
        let most = HandmadePNG(width: 0xFFFF_FFFF, height: 0xFFFF_FFFF, stream: [])
        #expect(throws: ImageError.self) { try decoder.picture(of: most.bytes) }

        var jpeg = try #require(ImageFixtures.files(".jpg").first).bytes
        let frame = try #require(jpeg.indices.first { jpeg[$0] == 0xFF && jpeg[$0 + 1] == 0xC0 })
        for at in frame + 5..<frame + 9 { jpeg[at] = 0xFF }
        #expect(throws: ImageError.size(width: 65_535, height: 65_535, limits: PictureLimits())) {
            try decoder.picture(of: jpeg)
        }

        var webp = ImageFixtures.bytes("files/orientation-8.webp")
        for at in 24..<30 { webp[at] = 0xFF }
        #expect(throws: ImageError.size(width: 1 << 24, height: 1 << 24, limits: PictureLimits())) {
            try decoder.picture(of: webp)
        }
    }

    @Test("a header that says another size than the pixels have is refused")
    func otherSize() throws {
        for (width, height) in [(23, 18), (23, 16), (24, 17), (1, 1)] {
            var file = HandmadePNG(ImageFixtures.bytes("files/rgb.png"))
            file.chunks[0].contents.replaceSubrange(
                0..<8, with: HandmadePNG.word(width) + HandmadePNG.word(height))
            #expect(throws: ImageError.self) { try decoder.picture(of: file.bytes) }
        }
        var webp = ImageFixtures.bytes("files/orientation-8.webp")
        webp[24] += 1
        #expect(throws: ImageError.self) { try decoder.picture(of: webp) }
    }

    @Test("files and pictures larger than the limits are refused")
    func limits() throws {
        let bytes = ImageFixtures.bytes("files/rgb.png")
        for limits in [
            PictureLimits(bytes: bytes.count - 1), PictureLimits(side: 22),
            PictureLimits(pixels: 23 * 17 - 1),
        ] {
            #expect(throws: ImageError.self) { try PictureDecoder(limits: limits).picture(of: bytes) }
        }
        let exact = PictureLimits(bytes: bytes.count, side: 23, pixels: 23 * 17)
        #expect(try PictureDecoder(limits: exact).picture(of: bytes).width == 23)
    }

    @Test("PNG files whose chunks contradict each other are refused")
    func chunks() throws {
        let palette = HandmadePNG(ImageFixtures.bytes("files/palette-8-interlaced.png"))
        let data = try #require(palette.chunks.firstIndex { $0.name == "IDAT" })
        func refused(_ change: (inout HandmadePNG) -> Void) {
            var file = palette
            change(&file)
            #expect(throws: ImageError.self) { try decoder.picture(of: file.bytes) }
        }
        #expect(throws: Never.self) { try decoder.picture(of: palette.bytes) }
        refused { $0.chunks.removeAll { $0.name == "PLTE" } }
        refused { $0.chunks.removeAll { $0.name == "IDAT" } }
        refused { $0.chunks.removeLast() }
        refused { $0.chunks.insert($0.chunks[0], at: 1) }
        refused { $0.chunks.insert(("PLTE", [1, 2, 3]), at: 1) }
        refused { $0.chunks[1].contents.removeLast(3 * 200) }
        refused { $0.chunks.insert(("NEED", []), at: 1) }
        refused { $0.chunks.insert(("tRNS", [UInt8](repeating: 1, count: 257)), at: 2) }
        refused { file in
            // Pixels in two pieces with another chunk between them.
            let stream = file.chunks[data].contents
            file.chunks[data].contents = Array(stream.prefix(20))
            file.chunks.insert(("tEXt", [65, 0]), at: data + 1)
            file.chunks.insert(("IDAT", Array(stream.dropFirst(20))), at: data + 2)
        }
        refused { $0.chunks[data].contents.removeLast(4) }
        refused { $0.chunks[data].contents[$0.chunks[data].contents.count - 1] ^= 1 }
        refused { $0.chunks[0].contents[8] = 3 }
        refused { $0.chunks[0].contents[9] = 5 }
        refused { $0.chunks[0].contents[12] = 2 }
        let filter = HandmadePNG(width: 1, height: 1, stream: HandmadePNG.stored([5, 1, 2, 3]))
        #expect(throws: ImageError.malformed(.png, reason: "a row has an unknown filter")) {
            try decoder.picture(of: filter.bytes)
        }
    }

    @Test("a JPEG file of very many scans is refused before anything is decoded")
    func scans() throws {
        let bytes = ImageFixtures.bytes("files/progressive.jpg")
        let at = try #require(bytes.indices.last { bytes[$0] == 0xFF && bytes[$0 + 1] == 0xDA })
        let scan = bytes[at..<bytes.count - 2]
        let long = bytes.dropLast(2) + (0..<200).flatMap { _ in scan } + bytes.suffix(2)
        // So many passes are too much work for pictures of this size if the limit is near.
        let limits = PictureLimits(pixels: 33 * 27 * 10)
        let error = #expect(throws: ImageError.self) {
            try PictureDecoder(limits: limits).picture(of: Array(long))
        }
        #expect(error?.description.contains("scans of 33 × 27 pixels") == true)
    }

    @Test("a PNG file of very many blocks is refused")
    func blocks() throws {
        // A block of 90 bits whose codes take 87 of them, and which has nothing but its end, 4 of them in 45 bytes: the
        // code of lengths has symbols 1 and 18, which say 256 lengths of zero and two of one.
        var bits: [Bool] = []
        func put(_ value: Int, _ count: Int) { for bit in 0..<count { bits.append(value >> bit & 1 == 1) } }
        let order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1]
        for _ in 0..<8_000 {
            put(0, 1)
            put(2, 2)
            put(0, 5)
            put(0, 5)
            put(14, 4)
            for symbol in order { put(symbol == 1 || symbol == 18 ? 1 : 0, 3) }
            put(1, 1)
            put(138 - 11, 7)
            put(1, 1)
            put(118 - 11, 7)
            put(0, 3)
        }
        let packed = stride(from: 0, to: bits.count, by: 8).map { start in
            (0..<8).reduce(UInt8(0)) { $0 | (bits[start + $1] ? 1 << UInt8($1) : 0) }
        }
        let file = HandmadePNG(width: 300, height: 300, stream: [0x78, 0x01] + packed)
        #expect(throws: ImageError.malformed(.png, reason: "its pixels are in too many blocks")) {
            try decoder.picture(of: file.bytes)
        }
        // A stream that is far longer than what it stands for.
        let long = HandmadePNG(width: 1, height: 1, stream: [0x78, 0x01] + packed)
        #expect(throws: ImageError.malformed(.png, reason: "it has more bytes than its pixels can have")) {
            try decoder.picture(of: long.bytes)
        }
    }

    @Test("orientations that are damaged leave a picture as it is")
    func orientation() throws {
        let upright = try ImageFixtures.picture(
            try #require(ImageFixtures.files.first { $0.name == "rgb.png" }).json)
        var file = HandmadePNG(ImageFixtures.bytes("files/rgb.png"))
        let whole: [UInt8] = [
            0x4D, 0x4D, 0, 0x2A, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 3, 0, 0,
        ]
        file.chunks.insert(("eXIf", whole), at: 1)
        #expect(try decoder.picture(of: file.bytes) != upright)
        for count in 0..<whole.count {
            file.chunks[1].contents = Array(whole.prefix(count))
            #expect(try decoder.picture(of: file.bytes) == upright)
        }
        for (at, value) in [(4, 0xFF), (7, 0), (13, 2), (17, 2), (19, 0), (19, 9), (11, 0x13)]
            as [(Int, UInt8)]
        {
            file.chunks[1].contents = whole
            file.chunks[1].contents[at] = value
            #expect(try decoder.picture(of: file.bytes) == upright, "byte \(at)")
        }
    }
}
