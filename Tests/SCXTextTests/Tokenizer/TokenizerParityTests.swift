import SCXInference
import SCXText
import Testing

@Suite("tokenizer parity with the tokenizers package")
struct TokenizerParityTests {
    @Test("hard cases give the same tokens", arguments: TokenizerFixtures.families)
    func encodesHardCases(family: String) throws {
        let tokenizer = try TokenizerFixtures.tokenizer(family)
        let texts = try TokenizerFixtures.hardTexts()
        let rows = try TokenizerFixtures.rows(family)
        try #require(texts.count == rows.count)
        for (text, row) in zip(texts, rows) {
            let ids = tokenizer.encode(text)
            #expect(ids == row.ids, "\(text.debugDescription)")
            let plain = tokenizer.encode(text, addSpecialTokens: false)
            #expect(ids.suffix(plain.count) == plain[...])
        }
    }

    @Test("tokens decode to the same texts, at once and one by one", arguments: TokenizerFixtures.families)
    func decodes(family: String) throws {
        let tokenizer = try TokenizerFixtures.tokenizer(family)
        for row in try TokenizerFixtures.rows(family) + TokenizerFixtures.rows(family + "/wild") {
            for (skip, expected) in [(true, row.decoded), (false, row.decodedWithSpecials)] {
                let decoded = tokenizer.decode(row.ids, skipSpecialTokens: skip)
                #expect(
                    isSame(decoded, expected),
                    "\(row.ids): \(decoded.debugDescription) instead of \(expected.debugDescription)")
                var stream = Tokenizer.StreamDecoder(tokenizer, skipSpecialTokens: skip)
                var parts = ""
                for id in row.ids { parts += stream.push(id) }
                parts += stream.finish()
                #expect(isSame(parts, decoded))
            }
        }
    }

    /// Debug builds take every fortieth group of lines, since unoptimised code is some fifty times slower.
    #if DEBUG
        static let stride = 40
    #else
        static let stride = 1
    #endif

    @Test(
        "every line of the parity texts gives the same tokens",
        .enabled(if: TokenizerFixtures.hasParityTexts, "the texts are not part of the package"),
        arguments: TokenizerFixtures.families)
    func encodesTexts(family: String) throws {
        let tokenizer = try TokenizerFixtures.tokenizer(family)
        let hashes = try #require(try TokenizerFixtures.json("text-hashes")[family]?.object)
        for text in hashes {
            let bytes = try #require(TokenizerFixtures.parityText(text.name))
            let lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
            let expected = try #require(text.value.array)
            try #require(expected.count == (lines.count + 499) / 500)
            for group in Swift.stride(from: 0, to: expected.count, by: Self.stride) {
                var hash: UInt64 = 0xCBF2_9CE4_8422_2325
                for line in lines[group * 500..<min(lines.count, group * 500 + 500)] {
                    for id in tokenizer.encode(String(decoding: line, as: UTF8.self)) + [-1] {
                        for shift in [0, 8, 16, 24] {
                            hash =
                                (hash ^ UInt64(UInt32(bitPattern: id) >> UInt32(shift) & 0xFF))
                                &* 0x100_0000_01B3
                        }
                    }
                }
                let hex = String(hash, radix: 16)
                #expect(
                    String(repeating: "0", count: 16 - hex.count) + hex == expected[group].string,
                    "\(text.name), lines from \(group * 500)")
            }
        }
    }
}
