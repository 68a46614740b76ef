/// Decompresses a zlib stream (RFC 1950, RFC 1951), as the pixels of a PNG file are compressed.
///
/// How long the result is must be known before, so a small file cannot grow without bound. Codes of up to
/// ``HuffmanTable/fastBits`` bits, which are nearly all, are looked up at once.
struct Inflater: ~Escapable {
    private let input: Span<UInt8>
    private var at = 0
    /// Bits that were read and not yet used, the next one lowest.
    private var bits: UInt64 = 0
    private var bitCount = 0

    @_lifetime(copy input)
    private init(_ input: Span<UInt8>) { self.input = input }

    /// Decompresses a stream.
    ///
    /// - Parameters:
    ///   - stream: The stream, which may be followed by other bytes.
    ///   - count: How many bytes it must have.
    /// - Returns: The bytes.
    /// - Throws: ``ImageError`` when the stream is damaged, ends early, or has another length.
    static func inflate(_ stream: [UInt8], count: Int) throws(ImageError) -> [UInt8] {
        // No code says more than 258 bytes in less than 2 bits, so a stream that is too short is refused before there
        // is memory for what it claims to be.
        guard stream.count >= 6, count / 1_032 <= stream.count else {
            throw fault("its pixels are incomplete")
        }
        // What cannot be compressed grows by a few bytes for each block of thousands.
        guard stream.count <= count + count / 64 + 65_536 else {
            throw fault("it has more bytes than its pixels can have")
        }
        guard stream[0] & 15 == 8, stream[0] >> 4 <= 7, stream.big16(0) % 31 == 0, stream[1] & 32 == 0 else {
            throw fault("its pixels are not compressed by zlib")
        }
        var output = [UInt8](repeating: 0, count: count)
        var inflater = Inflater(stream.span)
        inflater.at = 2
        var filled = 0
        var isLast = false
        // Tables are made anew in the same memory, since a stream may consist of tiny blocks.
        var (codes, literals, distances) = (HuffmanTable(), HuffmanTable(), HuffmanTable())
        var lengths = [UInt8](repeating: 0, count: 316)
        var blocks = 0
        while !isLast {
            isLast = try inflater.take(1) == 1
            switch try inflater.take(2) {
            case 0: try inflater.stored(into: &output, &filled)
            case 1: try inflater.block(.fixedLiterals, .fixedDistances, into: &output, &filled)
            case 2:
                // A block's codes cost far more time than its bits do. Programs that compress write a block for every
                // hundred bytes or more, and most for thousands.
                blocks += 1
                guard blocks <= 1_000 + filled / 64 else { throw fault("its pixels are in too many blocks") }
                try inflater.tables(&codes, &literals, &distances, &lengths)
                try inflater.block(literals, distances, into: &output, &filled)
            default: throw fault("its pixels have a block of an unknown kind")
            }
        }
        guard filled == count else { throw fault("it has fewer pixels than its size says") }
        _ = try inflater.take(inflater.bitCount % 8)
        var sum: UInt32 = 0
        for _ in 0..<4 { sum = sum << 8 | UInt32(try inflater.take(8)) }
        guard sum == adler(output) else { throw fault("the checksum of its pixels is wrong") }
        return output
    }

    private static func fault(_ reason: String) -> ImageError { .malformed(.png, reason: reason) }

    /// The checksum of RFC 1950.
    private static func adler(_ bytes: [UInt8]) -> UInt32 {
        var (a, b): (UInt32, UInt32) = (1, 0)
        var start = 0
        while start < bytes.count {
            // So many bytes cannot overflow 32 bits before the remainder is taken.
            let end = min(start + 5_552, bytes.count)
            for i in start..<end {
                a &+= UInt32(bytes[i])
                b &+= a
            }
            (a, b) = (a % 65_521, b % 65_521)
            start = end
        }
        return b << 16 | a
    }

    private mutating func refill() {
        while bitCount <= 56, at < input.count {
            bits |= UInt64(input[at]) << UInt64(bitCount)
            at += 1
            bitCount += 8
        }
    }

    /// The next bits, at most 16, as a number whose lowest bit came first.
    private mutating func take(_ count: Int) throws(ImageError) -> Int {
        if bitCount < count { refill() }
        guard bitCount >= count else { throw Self.fault("its pixels are incomplete") }
        let value = bits & (1 << UInt64(count) - 1)
        bits >>= UInt64(count)
        bitCount -= count
        return Int(value)
    }

    /// The next symbol of a code.
    @inline(__always)
    private mutating func symbol(_ table: HuffmanTable) throws(ImageError) -> Int {
        if bitCount < HuffmanTable.longest { refill() }
        let entry = table.fast[Int(bits & UInt64(HuffmanTable.fastCount - 1))]
        guard entry == 0 else {
            let length = Int(entry & 15)
            guard length <= bitCount else { throw Self.fault("its pixels are incomplete") }
            bits >>= UInt64(length)
            bitCount -= length
            return Int(entry >> 4)
        }
        // Codes of one length are consecutive numbers, the first bit highest (RFC 1951, 3.2.2).
        var (code, first, index) = (0, 0, 0)
        for length in 1...HuffmanTable.longest {
            code |= try take(1)
            let count = table.counts[length]
            if code - first < count { return Int(table.symbols[index + code - first]) }
            index += count
            (first, code) = ((first + count) << 1, code << 1)
        }
        throw Self.fault("its pixels have an unknown code")
    }

    /// A block that is not compressed.
    private mutating func stored(into output: inout [UInt8], _ filled: inout Int) throws(ImageError) {
        _ = try take(bitCount % 8)
        let length = try take(16)
        guard try take(16) == length ^ 0xFFFF else { throw Self.fault("a block of its pixels has no length") }
        guard length <= output.count - filled else {
            throw Self.fault("it has more pixels than its size says")
        }
        for _ in 0..<length {
            output[filled] = UInt8(try take(8))
            filled += 1
        }
    }

    /// Reads the codes at the beginning of a block.
    private mutating func tables(
        _ codes: inout HuffmanTable, _ literals: inout HuffmanTable, _ distances: inout HuffmanTable,
        _ lengths: inout [UInt8]
    ) throws(ImageError) {
        let literalCount = try take(5) + 257
        let distanceCount = try take(5) + 1
        let lengthCount = try take(4) + 4
        guard literalCount <= 286, distanceCount <= 30 else {
            throw Self.fault("its pixels have a code of too many symbols")
        }
        let count = literalCount + distanceCount
        for i in 0..<19 { lengths[i] = 0 }
        for i in 0..<lengthCount { lengths[Self.lengthOrder[i]] = UInt8(try take(3)) }
        var isCode = codes.build(lengths.span.extracting(0..<19), mayBeIncomplete: false)
        guard isCode else { throw Self.fault("its pixels have a code that cannot be") }
        var filled = 0
        while filled < count {
            let symbol = try symbol(codes)
            guard symbol >= 16 else {
                lengths[filled] = UInt8(symbol)
                filled += 1
                continue
            }
            guard symbol > 16 || filled > 0 else { throw Self.fault("its pixels repeat a code of none") }
            let repeated = symbol == 16 ? lengths[filled - 1] : 0
            let times = symbol == 16 ? try take(2) + 3 : symbol == 17 ? try take(3) + 3 : try take(7) + 11
            guard filled + times <= count else {
                throw Self.fault("its pixels have a code of too many symbols")
            }
            for _ in 0..<times {
                lengths[filled] = repeated
                filled += 1
            }
        }
        guard lengths[256] > 0 else { throw Self.fault("a block of its pixels has no end") }
        isCode = literals.build(lengths.span.extracting(0..<literalCount), mayBeIncomplete: true)
        guard isCode, distances.build(lengths.span.extracting(literalCount..<count), mayBeIncomplete: true)
        else {
            throw Self.fault("its pixels have a code that cannot be")
        }
    }

    /// A compressed block after its codes.
    private mutating func block(
        _ literals: HuffmanTable, _ distances: HuffmanTable, into output: inout [UInt8], _ filled: inout Int
    ) throws(ImageError) {
        while true {
            let symbol = try symbol(literals)
            if symbol < 256 {
                guard filled < output.count else { throw Self.fault("it has more pixels than its size says") }
                output[filled] = UInt8(symbol)
                filled += 1
                continue
            }
            if symbol == 256 { return }
            guard symbol < 286 else { throw Self.fault("its pixels have an unknown code") }
            let length = Self.lengthBases[symbol - 257] + (try take(Self.lengthBits[symbol - 257]))
            let distanceSymbol = try self.symbol(distances)
            guard distanceSymbol < 30 else { throw Self.fault("its pixels have an unknown code") }
            let distance = Self.distanceBases[distanceSymbol] + (try take(Self.distanceBits[distanceSymbol]))
            guard distance <= filled else { throw Self.fault("its pixels refer to others before the first") }
            guard length <= output.count - filled else {
                throw Self.fault("it has more pixels than its size says")
            }
            // One by one, since a distance may be shorter than the length.
            for _ in 0..<length {
                output[filled] = output[filled - distance]
                filled += 1
            }
        }
    }

    /// The order of the lengths of the code of lengths (RFC 1951, 3.2.7).
    private static let lengthOrder = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]
    /// The shortest length of each symbol from 257 on, and how many bits follow that are added to it (3.2.5).
    private static let lengthBases = [
        3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131,
        163, 195, 227, 258,
    ]
    private static let lengthBits = [
        0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0,
    ]
    /// The same of distances.
    private static let distanceBases = [
        1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1_025, 1_537,
        2_049, 3_073, 4_097, 6_145, 8_193, 12_289, 16_385, 24_577,
    ]
    private static let distanceBits = [
        0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13,
    ]
}

/// A prefix code of RFC 1951, made of the lengths of its symbols' codes.
struct HuffmanTable: Sendable {
    /// Bits of the longest code.
    static let longest = 15
    /// Bits of the longest code that is looked up at once.
    static let fastBits = 9
    static let fastCount = 1 << fastBits

    /// For the next ``fastBits`` bits the symbol, times 16, and the length of its code; 0 where the code is longer.
    private(set) var fast = [UInt16](repeating: 0, count: fastCount)
    /// How many codes have each length.
    private(set) var counts = [Int](repeating: 0, count: longest + 1)
    /// The symbols in the order of their codes.
    private(set) var symbols = [UInt16](repeating: 0, count: 288)
    /// While the code is made: where the next symbol of each length goes, and its code.
    private var next = [Int](repeating: 0, count: longest + 2)
    private var codes = [Int](repeating: 0, count: longest + 2)

    /// Makes the code of these lengths; 0 for symbols that have no code.
    ///
    /// - Returns: False when the lengths are those of no prefix code.
    mutating func build(_ lengths: Span<UInt8>, mayBeIncomplete: Bool) -> Bool {
        for length in 0...Self.longest { counts[length] = 0 }
        for i in lengths.indices { counts[Int(lengths[i])] += 1 }
        counts[0] = 0
        // How many codes of the length at hand are left.
        var left = 1
        var longest = 0
        (next[1], codes[1]) = (0, 0)
        for length in 1...Self.longest {
            left = left << 1 - counts[length]
            if left < 0 { return false }
            if counts[length] > 0 { longest = length }
            next[length + 1] = next[length] + counts[length]
            codes[length + 1] = (codes[length] + counts[length]) << 1
        }
        // zlib takes codes with unused numbers only where there is at most one symbol, of one bit.
        if left > 0, !mayBeIncomplete || longest > 1 { return false }
        for i in 0..<Self.fastCount { fast[i] = 0 }
        for symbol in lengths.indices where lengths[symbol] > 0 {
            let bits = Int(lengths[symbol])
            symbols[next[bits]] = UInt16(symbol)
            next[bits] += 1
            if bits <= Self.fastBits {
                // The first bit of a code is its highest, but the lowest of the bits at hand.
                var reversed = 0
                for bit in 0..<bits where codes[bits] >> bit & 1 == 1 { reversed |= 1 << (bits - 1 - bit) }
                while reversed < Self.fastCount {
                    fast[reversed] = UInt16(symbol) << 4 | UInt16(bits)
                    reversed += 1 << bits
                }
            }
            codes[bits] += 1
        }
        return true
    }

    /// The codes of blocks that bring none (RFC 1951, 3.2.6).
    static let fixedLiterals = fixed(
        [UInt8](repeating: 8, count: 144) + [UInt8](repeating: 9, count: 112)
            + [UInt8](repeating: 7, count: 24)
            + [UInt8](repeating: 8, count: 8))
    static let fixedDistances = fixed([UInt8](repeating: 5, count: 32))

    private static func fixed(_ lengths: [UInt8]) -> HuffmanTable {
        var table = HuffmanTable()
        let isCode = table.build(lengths.span, mayBeIncomplete: false)
        precondition(isCode, "the fixed codes are complete")
        return table
    }
}
