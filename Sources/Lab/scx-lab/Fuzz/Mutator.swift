/// Makes new inputs by changing old ones.
///
/// The same seed and the same calls give the same inputs.
package struct Mutator {
    private var state: UInt64
    private let words: [[UInt8]]
    private let longest: Int

    /// - Parameters:
    ///   - seed: Seed of the random numbers.
    ///   - words: Words to insert into inputs.
    ///   - longest: The length of the longest input, in bytes.
    package init(seed: UInt64, words: [String], longest: Int) {
        state = seed
        self.words = words.map { Array($0.utf8) }
        self.longest = longest
    }

    /// A random number below `bound`, which must be positive.
    mutating func below(_ bound: Int) -> Int {
        // SplitMix64.
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return Int((mixed ^ mixed >> 31) % UInt64(bound))
    }

    /// Changes an input in one to eight places.
    ///
    /// - Parameters:
    ///   - input: The old input.
    ///   - other: Another old input, parts of which may be inserted.
    /// - Returns: The new input, no longer than the longest that is allowed.
    package mutating func mutated(_ input: [UInt8], _ other: [UInt8]) -> [UInt8] {
        var bytes = input
        for _ in 0..<(1 << below(4)) { change(&bytes, other) }
        return Array(bytes.prefix(longest))
    }

    private mutating func change(_ bytes: inout [UInt8], _ other: [UInt8]) {
        guard !bytes.isEmpty else {
            bytes = other.isEmpty ? [UInt8(below(256))] : other
            return
        }
        let at = below(bytes.count)
        switch below(12) {
        case 0: bytes[at] ^= 1 << below(8)
        case 1: bytes[at] = UInt8(below(256))
        case 2: bytes[at] = Self.telling[below(Self.telling.count)]
        case 3: bytes.insert(Self.telling[below(Self.telling.count)], at: at)
        case 4: bytes.removeSubrange(at..<min(bytes.count, at + 1 + below(1 << below(10))))
        case 5:
            let part = part(of: bytes)
            bytes.insert(contentsOf: part, at: at)
        case 6:
            let part = part(of: other)
            bytes.insert(contentsOf: part, at: at)
        case 7:
            let part = part(of: other)
            bytes.replaceSubrange(at..<min(bytes.count, at + part.count), with: part)
        case 8 where !words.isEmpty: bytes.insert(contentsOf: words[below(words.count)], at: at)
        case 9: changeNumber(&bytes, from: at)
        case 10:
            // Many repetitions of one part, since readers often fail at great depth or length.
            let part =
                words.isEmpty || below(2) == 0 ? part(of: bytes).prefix(64) : words[below(words.count)][...]
            let room = max(0, longest - bytes.count)
            guard !part.isEmpty else { return }
            let times = min(1 << below(13), room / part.count)
            bytes.insert(contentsOf: (0..<times).flatMap { _ in part }, at: at)
        default: changeWord(&bytes, at)
        }
    }

    private mutating func part(of bytes: [UInt8]) -> ArraySlice<UInt8> {
        guard !bytes.isEmpty else { return [] }
        let start = below(bytes.count)
        return bytes[start..<min(bytes.count, start + 1 + below(1 << below(11)))]
    }

    /// Replaces the next decimal number after `at` by another one.
    private mutating func changeNumber(_ bytes: inout [UInt8], from at: Int) {
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        guard let start = bytes[at...].firstIndex(where: { digits.contains($0) }) else { return }
        let end = bytes[start...].firstIndex { !digits.contains($0) } ?? bytes.count
        bytes.replaceSubrange(start..<end, with: Self.numbers[below(Self.numbers.count)].utf8)
    }

    /// Overwrites four bytes with a little-endian number, such as one at the limits of its range.
    private mutating func changeWord(_ bytes: inout [UInt8], _ at: Int) {
        let word = Self.sizes[below(Self.sizes.count)]
        for i in 0..<4 where at + i < bytes.count {
            bytes[at + i] = UInt8(truncatingIfNeeded: word >> (8 * i))
        }
    }

    /// Bytes that have a meaning in text formats or in binary fields.
    private static let telling: [UInt8] =
        [0, 1, 0x7F, 0x80, 0xC0, 0xE2, 0xED, 0xF4, 0xFF] + Array("\"'\\{}[]()<>|*+?.,:;%-#\n\t 09aA".utf8)
    private static let numbers = [
        "0", "1", "-1", "255", "256", "65536", "2147483648", "4294967295", "9223372036854775807",
        "9223372036854775808", "-9223372036854775808", "1e308", "1e309", "1e-400", "0.1", "00", "100000",
    ]
    private static let sizes: [UInt32] = [
        0, 1, 0xFF, 0xFFFF, 1 << 16, 1 << 24, 1 << 31, .max, .max - 1, 1 << 30,
    ]
}
