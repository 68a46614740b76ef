import SCXInference
import Testing

@Suite("key-value cache")
struct KVCacheTests {
    typealias Shape = AttentionTests.Shape
    static let shape = Shape(heads: 2, kvHeads: 2, headSize: 12)

    @Test(
        "truncating and appending again gives the bits of a cache that never had more",
        arguments: LayerCache.Format.allCases, [0, 1, 15, 16, 63, 64, 65, 100])
    func truncate(format: LayerCache.Format, kept: Int) throws {
        let rows = noise(150 * Self.shape.row, seed: 1)
        let others = noise(150 * Self.shape.row, seed: 2)
        let fresh = try AttentionTests.filled(rows, Self.shape, format: format)
        let cache = LayerCache(kvHeads: 2, headSize: 12, format: format)
        try AttentionTests.append(rows, 0..<kept, Self.shape, to: cache)
        try AttentionTests.append(others, kept..<130, Self.shape, to: cache)
        cache.truncate(to: kept)
        #expect(cache.count == kept)
        try AttentionTests.append(rows, kept..<150, Self.shape, to: cache)
        let isa = InstructionSet.detected
        #expect(
            AttentionTests.run(rows, Self.shape, tokens: 150, cache, on: isa)
                == AttentionTests.run(rows, Self.shape, tokens: 150, fresh, on: isa))
    }

    @Test("what was behind a truncated end cannot reach a result, not even NaN")
    func noLeftovers() throws {
        let rows = noise(20 * Self.shape.row, seed: 3)
        let cache = try AttentionTests.filled(rows, Self.shape)
        let nan = [Float](repeating: .nan, count: 40 * Self.shape.row)
        try AttentionTests.append(nan, 20..<40, Self.shape, to: cache)
        cache.truncate(to: 20)
        for isa in InstructionSet.available {
            let out = AttentionTests.run(rows, Self.shape, tokens: 20, cache, on: isa)
            #expect(AttentionTests.error(out, rows, Self.shape) < 2e-6)
        }
    }

    @Test(
        "counts its bytes: none when empty, whole pages of 64 tokens after that",
        arguments: zip(LayerCache.Format.allCases, [4, 2, 2, 1]))
    func bytes(format: LayerCache.Format, element: Int) throws {
        let cache = LayerCache(kvHeads: 2, headSize: 12, format: format)
        #expect(cache.byteCount == 0)
        // Values are padded to 16 channels; int8 has two scales for each token and head.
        let token = 2 * (element * (12 + 16) + (format == .int8 ? 8 : 0))
        #expect(format.tokenBytes(kvHeads: 2, headSize: 12) == token)
        #expect(cache.byteCount(tokens: 64) == 64 * token)
        try cache.reserve(64)
        #expect(cache.byteCount == 64 * token)
        try cache.reserve(65)
        #expect(cache.byteCount == 128 * token)
        cache.truncate(to: 0)
        #expect(cache.byteCount == 0 && cache.count == 0)
    }

    @Test("a long cache is as a short one, only in larger pieces", arguments: LayerCache.Format.allCases)
    func regions(format: LayerCache.Format) throws {
        let shape = Shape(heads: 1, kvHeads: 16, headSize: 128)
        func cache() -> LayerCache { LayerCache(kvHeads: 16, headSize: 128, format: format) }
        let count = 2_100
        let rows = noise(300 * shape.row, seed: 6)
        func append(_ range: Range<Int>, to cache: LayerCache) throws {
            for token in range {
                let start = token % 300 * shape.row + shape.headSize
                try cache.append(
                    rows.span, keyOffset: start, valueOffset: start + 16 * 128, stride: shape.row, tokens: 1)
            }
        }
        // One grows step by step, pages of their own first; one has all its room from the start.
        let (grown, whole) = (cache(), cache())
        let predicted = whole.byteCount(tokens: count)
        try whole.reserve(count)
        #expect(whole.byteCount == predicted)
        #expect(predicted >= count * format.tokenBytes(kvHeads: 16, headSize: 128))
        try append(0..<count, to: whole)
        for end in stride(from: 100, through: count, by: 100) {
            let predicted = grown.byteCount(tokens: end)
            try grown.reserve(end)
            try append(grown.count..<end, to: grown)
            #expect(grown.byteCount == predicted)
        }
        // Cut in the middle of a region, to pages of their own, and grown again.
        for kept in [2_099, 1_800, 700, 64, 1] {
            grown.truncate(to: kept)
            #expect(grown.byteCount >= kept * format.tokenBytes(kvHeads: 16, headSize: 128))
            try append(kept..<count, to: grown)
        }
        for token in [0, 1, 63, 64, 699, 700, 1_799, 2_098, 2_099] {
            let (a, b) = (grown.stored(token), whole.stored(token))
            #expect(a.keys == b.keys && a.values == b.values)
        }
        grown.truncate(to: 0)
        #expect(grown.byteCount == 0)
    }

    @Test("a size beyond memory throws")
    func noMemory() {
        let cache = LayerCache(kvHeads: 1 << 20, headSize: 1 << 24)
        #expect(throws: KVCacheError.self) { try cache.reserve(1) }
        #expect(cache.byteCount == 0)
    }

    @Test("all layers are truncated together")
    func allLayers() throws {
        let rows = noise(10 * Self.shape.row, seed: 4)
        let cache = KVCache(layers: 3, kvHeads: 2, headSize: 12, format: .bf16)
        try cache.reserve(10)
        for layer in cache.layers { try AttentionTests.append(rows, 0..<10, Self.shape, to: layer) }
        try AttentionTests.append(rows, 0..<5, Self.shape, to: cache.layers[0])
        #expect(cache.count == 10)
        #expect(cache.byteCount == cache.layers[0].byteCount * 3)
        cache.truncate(to: 4)
        #expect(cache.layers.map(\.count) == [4, 4, 4])
    }

    @Test("rows beyond the buffer, or a larger count, stop the process")
    func wrongShapes() async {
        await #expect(processExitsWith: .failure) {
            let rows = [Float](repeating: 0, count: 15)
            try LayerCache(kvHeads: 1, headSize: 4).append(
                rows.span, keyOffset: 0, valueOffset: 4, stride: 8, tokens: 2)
        }
        await #expect(processExitsWith: .failure) { LayerCache(kvHeads: 1, headSize: 4).truncate(to: 1) }
    }
}
