import Foundation
import SCXImages
import SCXInference
import Testing

/// The files that `Tools/make-image-fixtures.py` wrote.
enum ImageFixtures {
    static let directory = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/images").path

    static func json(_ name: String) -> JSON {
        guard let json = try? JSON(file: "\(directory)/\(name)", limit: 10_000_000) else {
            preconditionFailure("\(name) is a part of the tests")
        }
        return json
    }

    static func bytes(_ name: String) -> [UInt8] {
        guard let data = FileManager.default.contents(atPath: "\(directory)/\(name)") else {
            preconditionFailure("\(name) is a part of the tests")
        }
        return Array(data)
    }

    /// A picture of a JSON object with `width`, `height` and `rgb`, which is base64.
    static func picture(_ json: JSON) throws -> Picture {
        let width = try #require(json["width"]?.int)
        let height = try #require(json["height"]?.int)
        let bytes = try #require(json["rgb"]?.string.flatMap { Data(base64Encoded: $0) })
        return Picture(width: width, height: height, bytes: Array(bytes))
    }

    /// A file, and the picture that PIL and transformers make of it.
    struct File: Sendable, CustomTestStringConvertible {
        let name: String
        let json: JSON
        var testDescription: String { name }
        var bytes: [UInt8] { ImageFixtures.bytes("files/\(name)") }
    }

    static let files = (json("files.json").array ?? []).compactMap { json in
        json["name"]?.string.map { File(name: $0, json: json) }
    }

    static func files(_ ending: String) -> [File] { files.filter { $0.name.hasSuffix(ending) } }

    /// FNV-1a of 64 bits.
    static func hash(_ bytes: some Sequence<UInt8>) -> String {
        var value: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in bytes { value = (value ^ UInt64(byte)) &* 0x100_0000_01B3 }
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// Writes files into a directory of their own, and removes them afterwards.
    static func withDirectory<R>(_ files: [String: String], _ body: (String) throws -> R) throws -> R {
        let directory = FileManager.default.temporaryDirectory.appending(
            path: "scx-images-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        for (name, text) in files {
            try text.write(to: directory.appending(path: name), atomically: true, encoding: .utf8)
        }
        return try body(directory.path)
    }

    /// An image processor of that configuration.
    static func processor(_ configuration: String) throws -> ImageProcessor {
        try withDirectory(["preprocessor_config.json": configuration]) { try ImageProcessor(directory: $0) }
    }
}

/// A small generator whose numbers are always the same (SplitMix64).
struct FixedGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }
}

/// A PNG file made by hand, with right checksums.
struct HandmadePNG {
    var chunks: [(name: String, contents: [UInt8])] = []

    /// Takes a file apart.
    init(_ bytes: [UInt8]) {
        var at = 8
        while at + 12 <= bytes.count {
            let length = bytes[at..<at + 4].reduce(0) { $0 << 8 | Int($1) }
            guard at + 12 + length <= bytes.count else { break }
            chunks.append(
                (
                    String(decoding: bytes[at + 4..<at + 8], as: UTF8.self),
                    Array(bytes[at + 8..<at + 8 + length])
                ))
            at += 12 + length
        }
    }

    static func word(_ value: Int) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
    }

    /// A file of that header and those compressed pixels.
    init(width: Int, height: Int, depth: UInt8 = 8, colour: UInt8 = 2, interlace: UInt8 = 0, stream: [UInt8])
    {
        chunks = [
            ("IHDR", Self.word(width) + Self.word(height) + [depth, colour, 0, 0, interlace]),
            ("IDAT", stream),
            ("IEND", []),
        ]
    }

    var bytes: [UInt8] {
        chunks.reduce([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]) { bytes, chunk in
            let named = Array(chunk.name.utf8) + chunk.contents
            var sum: UInt32 = 0xFFFF_FFFF
            for byte in named {
                sum ^= UInt32(byte)
                for _ in 0..<8 { sum = sum & 1 == 1 ? sum >> 1 ^ 0xEDB8_8320 : sum >> 1 }
            }
            return bytes + Self.word(chunk.contents.count) + named + Self.word(Int(~sum))
        }
    }

    /// A zlib stream that does not compress (RFC 1950, and blocks of kind 0 of RFC 1951).
    static func stored(_ bytes: [UInt8]) -> [UInt8] {
        precondition(bytes.count < 65_536)
        let length = [UInt8(bytes.count & 255), UInt8(bytes.count >> 8)]
        var (a, b) = (1, 0)
        for byte in bytes {
            a = (a + Int(byte)) % 65_521
            b = (b + a) % 65_521
        }
        return [0x78, 0x01, 0x01] + length + length.map { ~$0 } + bytes + word(b << 16 | a)
    }
}
