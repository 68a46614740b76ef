#if os(Linux)
    import Testing

    import scx_init

    @Suite("a model's disk")
    struct ArchiveEntryTests {
        /// A head as POSIX.1-1988 describes it, with the right sum.
        static func head(
            _ path: String, size: String = "00000000123", kind: Character = "0", prefix: String = "",
            magic: String = "ustar", _ change: (inout [UInt8]) -> Void = { _ in }
        ) -> [UInt8] {
            var block = [UInt8](repeating: 0, count: 512)
            func put(_ text: String, at offset: Int) {
                block.replaceSubrange(offset..<offset + text.utf8.count, with: text.utf8)
            }
            put(path, at: 0)
            put("0000644\0" + "0000000\0" + "0000000\0", at: 100)
            put(size, at: 124)
            put("00000000000\0" + "        " + String(kind), at: 136)
            put(magic, at: 257)
            put(prefix, at: 345)
            change(&block)
            let sum = String(block.reduce(0) { $0 + Int($1) }, radix: 8)
            put(String(repeating: "0", count: 6 - sum.count) + sum + "\0 ", at: 148)
            return block
        }

        @Test("names the file and its size")
        func file() throws {
            let entry = try #require(try ArchiveEntry(Self.head("model-00001-of-00002.safetensors")))
            #expect(entry.path == "model-00001-of-00002.safetensors" && entry.size == 0o123)
            #expect(entry.padding == 512 - 0o123)
            let nested = try #require(try ArchiveEntry(Self.head("config.json", prefix: "1_Pooling")))
            #expect(nested.path == "1_Pooling/config.json")
            #expect(try ArchiveEntry(Self.head("a", size: "00000002000"))?.padding == 0)
        }

        @Test("reads sizes of 8 GiB and more")
        func large() throws {
            let block = Self.head("a", size: "") {
                $0.replaceSubrange(124..<136, with: [128, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1])
            }
            #expect(try ArchiveEntry(block)?.size == 8 << 30 | 1)
        }

        @Test("a block of zeros ends it")
        func end() throws {
            #expect(try ArchiveEntry([UInt8](repeating: 0, count: 512)) == nil)
        }

        @Test(
            "paths that leave the directory, hide or need escaping are refused",
            arguments: [
                "../a", "/etc/passwd", "a/../b", "a//b", "./a", ".a", "a/", "", "a/b/c/d/e", "a b", "a\u{e9}",
                "a\nb",
            ])
        func paths(path: String) {
            #expect(throws: InitError("holds a file with a path that is not allowed")) {
                try ArchiveEntry(Self.head(path))
            }
        }

        @Test(
            "links, directories and devices are refused", arguments: ["1", "2", "3", "4", "5", "6", "L", "x"])
        func kinds(kind: String) {
            #expect(throws: InitError("holds something else than files")) {
                try ArchiveEntry(Self.head("a", kind: Character(kind)))
            }
        }

        @Test("a sum that is wrong, and what is no archive, is refused")
        func noise() {
            var block = Self.head("a")
            block[0] = UInt8(ascii: "b")
            let refusal = InitError("is not a disk that 'make-image --disk' wrote")
            #expect(throws: refusal) { try ArchiveEntry(block) }
            #expect(throws: refusal) { try ArchiveEntry(Self.head("a", magic: "")) }
            #expect(throws: refusal) { try ArchiveEntry([UInt8](repeating: 255, count: 512)) }
        }

        @Test("a size that is no number, negative or beyond all disks is refused")
        func sizes() {
            for size in ["", "-0000000001", "00000000009"] {
                #expect(throws: InitError("'a' has no size that can be read")) {
                    try ArchiveEntry(Self.head("a", size: size))
                }
            }
            for bytes in [
                [128, 1] + [UInt8](repeating: 0, count: 10),
                [128, 0, 0, 0] + [UInt8](repeating: 255, count: 8),
                [UInt8](repeating: 255, count: 12),
            ] {
                #expect(throws: InitError("'a' has no size that can be read")) {
                    try ArchiveEntry(Self.head("a", size: "") { $0.replaceSubrange(124..<136, with: bytes) })
                }
            }
        }
    }
#endif
