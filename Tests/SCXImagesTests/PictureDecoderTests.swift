import SCXImages
import Testing

@Suite("decoding pictures")
struct PictureDecoderTests {
    private static func reads(_ format: PictureFormat) -> Bool {
        PictureDecoder.readableFormats.contains(format)
    }

    private func check(_ file: ImageFixtures.File) throws {
        let picture = try PictureDecoder().picture(of: file.bytes)
        let expected = try ImageFixtures.picture(file.json)
        #expect(picture.width == expected.width && picture.height == expected.height)
        let differing = zip(picture.bytes, expected.bytes).count { $0 != $1 }
        #expect(differing == 0, "\(differing) of \(expected.bytes.count) values differ")
    }

    @Test(
        "PNG pictures of all kinds are those of PIL and transformers", arguments: ImageFixtures.files(".png"))
    func png(_ file: ImageFixtures.File) throws { try check(file) }

    @Test(
        "JPEG pictures are those of PIL and transformers", .enabled(if: Self.reads(.jpeg), "no libturbojpeg"),
        arguments: ImageFixtures.files(".jpg"))
    func jpeg(_ file: ImageFixtures.File) throws { try check(file) }

    @Test(
        "WebP pictures are those of PIL and transformers", .enabled(if: Self.reads(.webp), "no libwebp"),
        arguments: ImageFixtures.files(".webp"))
    func webp(_ file: ImageFixtures.File) throws { try check(file) }

    @Test("a format whose library is missing is refused with what to install")
    func missingLibrary() throws {
        for format in [PictureFormat.jpeg, .webp] where !Self.reads(format) {
            let ending = format == .jpeg ? ".jpg" : ".webp"
            let file = try #require(ImageFixtures.files(ending).first)
            let error = #expect(throws: ImageError.self) { try PictureDecoder().picture(of: file.bytes) }
            #expect(error?.description.contains(format == .jpeg ? "libturbojpeg0" : "libwebp7") == true)
        }
        let error = ImageError.library(.jpeg, name: "libturbojpeg.so.0", package: "libturbojpeg0")
        #expect(
            error.description
                == "JPEG pictures need the library libturbojpeg.so.0, which this system does not have or is too old; "
                + "install it (Debian: apt install libturbojpeg0), or send PNG")
    }

    @Test("greys of 16 bits keep their higher 8")
    func wideGrey() throws {
        let rows: [UInt8] = [0, 0x12, 0xFF, 0xAB, 0x00, 0, 0x00, 0xFF, 0xFF, 0xFF]
        let file = HandmadePNG(
            width: 2, height: 2, depth: 16, colour: 0, stream: HandmadePNG.stored(rows))
        let picture = try PictureDecoder().picture(of: file.bytes)
        #expect(picture.bytes == [0x12, 0x12, 0x12, 0xAB, 0xAB, 0xAB, 0, 0, 0, 0xFF, 0xFF, 0xFF])
    }

    @Test("a colour of 16 bits that is transparent is compared with all of its bits")
    func wideKey() throws {
        let rows: [UInt8] = [0, 0x12, 0x34, 0x12, 0x35]
        var file = HandmadePNG(width: 2, height: 1, depth: 16, colour: 0, stream: HandmadePNG.stored(rows))
        file.chunks.insert(("tRNS", [0x12, 0x34]), at: 1)
        let grey = try PictureDecoder().picture(of: file.bytes)
        #expect(grey.bytes == [255, 255, 255, 0x12, 0x12, 0x12])
        file = HandmadePNG(
            width: 2, height: 1, depth: 16,
            stream: HandmadePNG.stored([0, 1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 7]))
        file.chunks.insert(("tRNS", [1, 2, 3, 4, 5, 6]), at: 1)
        #expect(try PictureDecoder().picture(of: file.bytes).bytes == [255, 255, 255, 1, 3, 5])
    }

    @Test("what is no picture, or of a kind that is not read, is refused")
    func refused() throws {
        let decoder = PictureDecoder()
        for name in ["picture.gif", "picture.bmp"] {
            #expect(throws: ImageError.format) {
                try decoder.picture(of: ImageFixtures.bytes("refused/\(name)"))
            }
        }
        #expect(throws: ImageError.format) { try decoder.picture(of: []) }
        #expect(throws: ImageError.unsupported(.webp, what: "several frames")) {
            try decoder.picture(of: ImageFixtures.bytes("refused/animated.webp"))
        }
    }

    @Test("errors and descriptions say nothing of a picture's contents")
    func descriptions() throws {
        let picture = Picture(width: 1, height: 1, bytes: [11, 22, 33])
        #expect("\(picture)" == "a picture of 1 × 1 pixels")
        #expect(String(reflecting: picture) == "a picture of 1 × 1 pixels")
    }
}
