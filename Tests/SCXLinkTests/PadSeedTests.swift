import SCXLink
import Testing

/// Known answers, made with the package `cryptography` of Python, one counter block at a time and not by a counter mode.
///
///     from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
///
///     def words(key, row, count):
///         aes = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
///         blocks = (row.to_bytes(8, "big") + bytes(4) + n.to_bytes(4, "big") for n in range(-(-count // 4)))
///         stream = b"".join(aes.update(block) for block in blocks)
///         return [int.from_bytes(stream[4 * i:4 * i + 4], "little") for i in range(count)]
@Suite("pads from a seed")
struct PadSeedTests {
    /// The key of NIST SP 800-38A, F.5.5 (CTR-AES256), whose counter blocks are laid out otherwise.
    static let nist = PadSeed(bytes: [
        0x60, 0x3d, 0xeb, 0x10, 0x15, 0xca, 0x71, 0xbe, 0x2b, 0x73, 0xae, 0xf0, 0x85, 0x7d, 0x77, 0x81,
        0x1f, 0x35, 0x2c, 0x07, 0x3b, 0x61, 0x08, 0xd7, 0x2d, 0x98, 0x10, 0xa3, 0x09, 0x14, 0xdf, 0xf4,
    ])

    static func words(_ seed: PadSeed, row: UInt64, count: Int) -> [UInt32] {
        var out = [UInt32](repeating: 0xAAAA_AAAA, count: count)
        var span = out.mutableSpan
        seed.expand(row: row, into: &span)
        return out
    }

    @Test(
        "are the key stream of AES-256 over the row's counter blocks",
        arguments: [
            (
                0,
                [
                    0x81f6_68e5, 0xd676_cf94, 0xc04c_4d17, 0x54a8_1043, 0x5d1e_1591, 0x1b1f_7a0b,
                    0xd0ac_d7c0, 0xe451_3eae, 0xd123_0e17,
                ]
            ),
            (
                1,
                [
                    0xa0e1_9b57, 0x8823_92d8, 0x10b8_fe05, 0xaa0a_a1a4, 0x08b5_ff51, 0xfae9_f516,
                    0x0426_4d95, 0xdcf8_81f0, 0x0be3_960d,
                ]
            ),
            (
                0xf0f1_f2f3_f4f5_f6f7,
                [
                    0x4f37_b0b4, 0xc894_36bf, 0x90d2_e171, 0xa713_bac5, 0xbc28_5f12, 0xdd14_246d,
                    0xf2a2_99e7, 0x825f_cf16, 0xddda_ef7a,
                ]
            ),
            (
                .max,
                [
                    0x9135_7eca, 0x4d84_80f4, 0x45de_5689, 0x8ccd_a4bd, 0xfd62_10be, 0x0a2a_799c,
                    0xdba3_0179, 0x4f9f_00d9, 0xa07e_6a14,
                ]
            ),
        ] as [(UInt64, [UInt32])])
    func known(row: UInt64, expected: [UInt32]) {
        // A row that ends within a block has the beginning of that block.
        for count in 0...expected.count {
            #expect(Self.words(Self.nist, row: row, count: count) == Array(expected.prefix(count)))
        }
    }

    @Test("count blocks in four bytes, far into a row")
    func long() {
        let words = Self.words(Self.nist, row: 7, count: 100_003)
        #expect(words.suffix(3) == [0x3ca1_6a8c, 0x545f_59e6, 0x94e2_4e26])
        let other = Self.words(LinkSamples.seed, row: 3, count: 5)
        #expect(other == [0x893e_bd6c, 0x5fa2_6437, 0x18b6_4e6f, 0x9b2b_5898, 0x1e93_fd22])
    }

    @Test("of several rows are those of each, one after the other")
    func rows() {
        for inputs in [1, 4, 7] {
            var all = [UInt32](repeating: 0, count: 5 * inputs)
            var span = all.mutableSpan
            Self.nist.expand(rows: 254..<259, inputs: inputs, into: &span)
            #expect(all == (254..<259).flatMap { Self.words(Self.nist, row: $0, count: inputs) })
        }
    }

    @Test("print as nothing that tells the seed")
    func printing() {
        #expect("\(Self.nist)" == "a pad seed")
        #expect(String(reflecting: Self.nist) == "a pad seed")
        #expect(Mirror(reflecting: Self.nist).children.isEmpty)
        var text = ""
        dump(Self.nist, to: &text)
        #expect(!text.contains("96") && !text.contains("60"))
    }
}
