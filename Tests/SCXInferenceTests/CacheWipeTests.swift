#if canImport(Glibc)
    import Glibc
    import SCXInference
    import Testing

    /// In a process of its own, whose memory is searched for what a cache held.
    @Suite("what a cache leaves in memory")
    struct CacheWipeTests {
        /// Channels of a head's values: different integers, exact in every format; the first is 127, so that int8 has the scale 1.
        static let channels = 16

        static func value(_ channel: Int) -> Float { Float((channel * 73 + 254) % 255 - 127) }

        /// The first sixteen bytes of a head's values as a format stores them, inverted so that a search does not find itself.
        static func inverted(_ format: LayerCache.Format) -> [UInt64] {
            var words: [UInt64] = [.max, .max]
            for byte in 0..<16 {
                let number: UInt8
                switch format {
                case .f32: number = UInt8(truncatingIfNeeded: value(byte / 4).bitPattern >> (8 * (byte % 4)))
                case .bf16:
                    number = UInt8(truncatingIfNeeded: value(byte / 2).bitPattern >> (16 + 8 * (byte % 2)))
                case .f16:
                    number = UInt8(
                        truncatingIfNeeded: Float16(value(byte / 2)).bitPattern >> (8 * (byte % 2)))
                case .int8: number = UInt8(bitPattern: Int8(value(byte)))
                }
                words[byte / 8] ^= UInt64(number) << (8 * (byte % 8))
            }
            return words
        }

        /// How often this process's memory, but for files, holds the bytes.
        static func occurrences(_ inverted: [UInt64]) -> Int {
            guard let maps = unsafe fopen("/proc/self/maps", "r") else { return -1 }
            defer { unsafe _ = fclose(maps) }
            let memory = unsafe open("/proc/self/mem", O_RDONLY)
            defer { close(memory) }
            var buffer = [UInt64](repeating: 0, count: 1 << 15)
            var found = 0
            var line: UnsafeMutablePointer<CChar>?
            var capacity = 0
            var ranges: [Range<UInt>] = []
            while unsafe getline(&line, &capacity, maps) > 0 {
                guard let text = unsafe line.map({ unsafe String(cString: $0) }) else { continue }
                let fields = text.split(separator: " ")
                let ends = fields[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
                // Of a sanitizer's shadow there are terabytes, with nothing in them.
                guard fields[1].hasPrefix("rw"), fields[4] == "0", ends.count == 2,
                    ends[1] - ends[0] < 1 << 32
                else {
                    continue
                }
                ranges.append(ends[0]..<ends[1])
            }
            unsafe free(line)
            for range in ranges {
                var address = range.lowerBound
                while address < range.upperBound {
                    let own = unsafe buffer.withUnsafeMutableBytes { bytes -> (start: UInt, count: Int) in
                        let size = min(bytes.count, Int(range.upperBound - address))
                        return (
                            UInt(bitPattern: bytes.baseAddress),
                            unsafe pread(memory, bytes.baseAddress, size, off_t(address))
                        )
                    }
                    guard own.count > 0 else { break }
                    for i in 0..<max(0, own.count / 8 - 1)
                    where buffer[i] == ~inverted[0] && buffer[i + 1] == ~inverted[1] {
                        let place = address + UInt(8 * i)
                        if place < own.start || place >= own.start + UInt(8 * buffer.count) { found += 1 }
                    }
                    address += UInt(own.count)
                }
            }
            return found
        }

        /// Fills a cache, computes attention over it, and lets go of it.
        ///
        /// - Returns: How often the values were in memory while the cache held them.
        static func use(_ format: LayerCache.Format, tokens: Int, wipes: Bool, truncates: Bool) throws -> Int
        {
            let width = 2 * channels
            let cache = LayerCache(kvHeads: 2, headSize: channels, format: format, wipes: wipes)
            var rows = [Float](repeating: 0, count: tokens * 2 * width)
            for token in 0..<tokens {
                for i in 0..<width { rows[(2 * token + 1) * width + i] = value(i % channels) }
            }
            try cache.append(rows.span, keyOffset: 0, valueOffset: width, stride: 2 * width, tokens: tokens)
            var out = [Float](repeating: 0, count: 8 * width)
            for isa in InstructionSet.available {
                var span = out.mutableSpan
                attention(
                    rows.span, stride: width, tokens: 8, heads: 2, cache: cache, scale: 1, into: &span,
                    on: isa)
            }
            for i in rows.indices { rows[i] = 0 }
            for i in out.indices { out[i] = 0 }
            let found = occurrences(inverted(format))
            if truncates { cache.truncate(to: 0) }
            return withExtendedLifetime((cache, rows, out)) { found }
        }

        @Test(
            "nothing when it wipes, neither in pages nor in what attention worked with; all of it when it does not"
        )
        func wipes() async {
            await #expect(processExitsWith: .success) {
                for format in LayerCache.Format.allCases {
                    let words = CacheWipeTests.inverted(format)
                    // Pages of their own, and in a region of huge pages.
                    for (tokens, truncates) in [(150, false), (150, true)] {
                        let held = try CacheWipeTests.use(
                            format, tokens: tokens, wipes: true, truncates: truncates)
                        #expect(held >= 2 * tokens, "\(format)")
                        let left = CacheWipeTests.occurrences(words)
                        // Some rows that a call had on its stack.
                        #expect(left < 8, "\(format): \(left) rows are left")
                        let floats = CacheWipeTests.occurrences(CacheWipeTests.inverted(.f32))
                        #expect(floats < 8, "\(format): \(floats) rows are left as float32")
                    }
                }
                for format in LayerCache.Format.allCases {
                    let held = try CacheWipeTests.use(format, tokens: 150, wipes: false, truncates: false)
                    #expect(held >= 300, "\(format)")
                    let left = CacheWipeTests.occurrences(CacheWipeTests.inverted(format))
                    #expect(left > 100, "\(format): the search finds \(left) of \(held) rows")
                }
            }
        }

        @Test(
            "pages of a region are wiped when the tokens that they held are forgotten, though the region stays"
        )
        func regions() async {
            await #expect(processExitsWith: .success) {
                let (words, size) = (CacheWipeTests.inverted(.int8), 256 * CacheWipeTests.channels)
                let cache = LayerCache(kvHeads: 1, headSize: size, format: .int8, wipes: true)
                try cache.reserve(1_000)  // 4 MiB and more
                var rows = [Float](repeating: 0, count: 2 * size)
                for i in 0..<size { rows[size + i] = CacheWipeTests.value(i % CacheWipeTests.channels) }
                for _ in 0..<200 {
                    try cache.append(rows.span, keyOffset: 0, valueOffset: size, stride: 2 * size, tokens: 1)
                }
                for i in rows.indices { rows[i] = 0 }
                #expect(CacheWipeTests.occurrences(words) >= 200 * 256)
                let bytes = cache.byteCount
                cache.truncate(to: 1)
                let kept = CacheWipeTests.occurrences(words)
                #expect(kept >= 64 * 256 && kept < 65 * 256, "\(kept)")
                #expect(cache.byteCount <= bytes && cache.byteCount > 0)
            }
        }
    }
#endif
