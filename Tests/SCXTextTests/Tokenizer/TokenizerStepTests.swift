import Foundation
import SCXInference
import SCXText
import Testing

/// Every part of a `tokenizer.json` one by one, with hashes of what the `tokenizers` package makes of it.
///
/// `Tools/make-tokenizer-step-fixtures.py` makes the fixtures; `Tools/check-tokenizers` shows differences text by text.
enum StepFixtures {
    static let steps = Result { try TokenizerFixtures.json("steps") }
    static let models = Result { try TokenizerFixtures.json("models") }

    static func entries(_ section: String) -> [JSON] { (try? steps.get()[section]?.array) ?? [] }

    static let encodingCount = entries("encoding").count
    static let decodingCount = entries("decoding").count
    static let modelCount = (try? models.get().array?.count) ?? 0

    /// A tokenizer whose tokens are the bytes of its words, each word with "▁" in front.
    static func revealing(normalizer: JSON = .null, preTokenizer: JSON? = nil) throws -> Tokenizer {
        let mark: JSON = [
            "type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": false,
        ]
        let level: JSON = [
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false,
        ]
        var next: UInt32 = 0x100
        let alphabet: [JSON.Member] = try (0..<256).map { byte in
            let isPrintable = (33..<127).contains(byte) || (161..<173).contains(byte) || byte >= 174
            if !isPrintable { next += 1 }
            let scalar = try #require(Unicode.Scalar(isPrintable ? UInt32(byte) : next - 1))
            return JSON.Member(String(scalar), .int(byte))
        }
        return try Tokenizer(
            json: [
                "normalizer": normalizer,
                "pre_tokenizer": [
                    "type": "Sequence",
                    "pretokenizers": .array((preTokenizer.map { [$0] } ?? []) + [mark, level]),
                ],
                "model": ["type": "BPE", "vocab": .object(alphabet), "merges": []],
            ], name: "steps.json")
    }

    /// What a revealing tokenizer makes of a text.
    static func revealed(_ text: String, _ tokenizer: Tokenizer) -> String {
        String(decoding: tokenizer.encode(text).map { UInt8(truncatingIfNeeded: $0) }, as: UTF8.self)
    }

    /// A pre-tokenizer that splits at an expression.
    static func split(_ expression: String, _ behavior: String = "Isolated", invert: Bool = false) -> JSON {
        [
            "type": "Split", "pattern": ["Regex": .string(expression)], "behavior": .string(behavior),
            "invert": .bool(invert),
        ]
    }

    /// FNV-1a over the parts, each closed by four bytes of ones, as 16 hexadecimal digits.
    static func hash(_ parts: some Sequence<[UInt8]>) -> String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for part in parts {
            for byte in part { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
            for _ in 0..<4 { hash = (hash ^ 0xFF) &* 0x100_0000_01B3 }
        }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    static func bytes(_ ids: [Int32]) -> [UInt8] {
        ids.flatMap { id in [0, 8, 16, 24].map { UInt8(truncatingIfNeeded: id >> $0) } }
    }

    /// Compares groups of results with hashes; every group or, with a stride, some of them.
    static func check(
        _ count: Int, by size: Int, _ expected: JSON?, stride: Int = 1, _ what: String,
        _ result: (Int) throws -> [UInt8]
    ) throws {
        let hashes = try #require(expected?.array)
        try #require(hashes.count == (count + size - 1) / size)
        for group in Swift.stride(from: 0, to: hashes.count, by: stride) {
            let range = group * size..<min(count, group * size + size)
            #expect(hash(try range.map(result)) == hashes[group].string, "\(what), \(range)")
        }
    }

    static func rows(_ json: JSON?) throws -> [[Int32]] {
        try #require(json?.array).map {
            try #require($0.array).compactMap { $0.int.flatMap { Int32(exactly: $0) } }
        }
    }

    /// Decodes at once, and checks that one by one gives the same.
    static func decode(_ ids: [Int32], _ tokenizer: Tokenizer, skip: Bool) -> [UInt8] {
        let decoded = tokenizer.decode(ids, skipSpecialTokens: skip)
        var stream = Tokenizer.StreamDecoder(tokenizer, skipSpecialTokens: skip)
        var parts = ""
        for id in ids { parts += stream.push(id) }
        parts += stream.finish()
        #expect(isSame(parts, decoded), "\(ids)")
        return Array(decoded.utf8)
    }
}

@Suite("parts of tokenizer files")
struct TokenizerStepTests {
    /// Debug builds take some groups only.
    #if DEBUG
        static let stride = 8
    #else
        static let stride = 1
    #endif

    @Test(
        "a normalizer or pre-tokenizer gives the words of the tokenizers package",
        arguments: 0..<StepFixtures.encodingCount)
    func encodes(index: Int) throws {
        let entry = StepFixtures.entries("encoding")[index]
        let (normalizer, preTokenizer) = (entry["normalizer"] ?? .null, entry["pre_tokenizer"])
        let what = "\(normalizer.text) \(preTokenizer?.text ?? "")".prefix(300)
        let tokenizer = try StepFixtures.revealing(normalizer: normalizer, preTokenizer: preTokenizer)
        let texts = try TokenizerFixtures.hardTexts()
        try StepFixtures.check(texts.count, by: 40, entry["texts"], "\(what)") {
            StepFixtures.bytes(tokenizer.encode(texts[$0]))
        }
        // All characters of planes 0 and 1, in texts of 64.
        try StepFixtures.check(0x20000 / 64, by: 64, entry["characters"], stride: Self.stride, "\(what)") {
            index in
            let scalars = (index * 64..<index * 64 + 64).compactMap { Unicode.Scalar(UInt32($0)) }
            return StepFixtures.bytes(tokenizer.encode(String(String.UnicodeScalarView(scalars))))
        }
    }

    @Test(
        "a decoder gives the texts of the tokenizers package, at once and one by one",
        arguments: 0..<StepFixtures.decodingCount)
    func decodes(index: Int) throws {
        let entry = StepFixtures.entries("decoding")[index]
        let tokens = try #require(try StepFixtures.steps.get()["tokens"]?.array)
        let tokenizer = try Tokenizer(
            json: [
                "decoder": entry["decoder"] ?? .null,
                "model": [
                    "type": "WordLevel", "unk_token": "[UNK]",
                    "vocab": .object(
                        try tokens.enumerated().map { id, token in
                            JSON.Member(try #require(token.string), .int(id))
                        }),
                ],
            ], name: "steps.json")
        let rows = try StepFixtures.rows(StepFixtures.steps.get()["wild"])
        try StepFixtures.check(rows.count, by: 40, entry["texts"], "\((entry["decoder"] ?? .null).text)") {
            StepFixtures.decode(rows[$0], tokenizer, skip: false)
        }
    }

    @Test(
        "a small tokenizer of each kind gives the tokens and texts of the tokenizers package",
        arguments: 0..<StepFixtures.modelCount)
    func models(index: Int) throws {
        let entry = try #require(try StepFixtures.models.get().array)[index]
        let name = entry["name"]?.string ?? ""
        let tokenizer = try Tokenizer(json: entry["tokenizer"] ?? .null, name: name)
        let texts = try TokenizerFixtures.hardTexts()
        let ids = texts.map { tokenizer.encode($0) }
        try StepFixtures.check(texts.count, by: 40, entry["texts"], name) { StepFixtures.bytes(ids[$0]) }
        let wild = try StepFixtures.rows(entry["wild"])
        for (key, rows, skip) in [
            ("decoded", ids, true), ("decoded_specials", ids, false), ("wild_decoded", wild, false),
        ] where entry[key] != nil {
            try StepFixtures.check(rows.count, by: 40, entry[key], "\(name), \(key)") {
                StepFixtures.decode(rows[$0], tokenizer, skip: skip)
            }
        }
    }
}
