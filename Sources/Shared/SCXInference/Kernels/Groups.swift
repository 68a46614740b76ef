import CSCXKernels

/// Numbers in groups of 64 with few bits each, as they travel when the number of bytes matters more than the last
/// digits.
///
/// A group is one 32-bit word, then 64 codes: 16 words of 8 bits or 8 words of 4 bits each, the first code in the
/// lowest bits. The word's lower half is a minimum m and its upper half a step s, both of them IEEE halves
/// (binary16). Code c stands for the number m + s · c, computed in float32 and rounded once. The last group may have
/// fewer numbers; its other codes mean nothing.
public enum Groups {
    /// Numbers in a group.
    public static let size = 64

    /// How many words `count` numbers of `bits` bits take.
    public static func wordCount(_ count: Int, bits: Int) -> Int {
        (count + size - 1) / size * (1 + 2 * bits)
    }

    /// Rounds each number to the nearest one that its group can represent.
    ///
    /// m is rounded down and s up, so the error is at most half of s, which is (maximum − m) / 255 in 8 bits and
    /// (maximum − m) / 15 in 4.
    ///
    /// - Parameters:
    ///   - x: The numbers.
    ///   - first: The first of them to be rounded; `words` and `out` are written from there on, too.
    ///   - bits: 4 or 8.
    ///   - words: Receives the groups.
    ///   - out: Receives the numbers that the groups represent.
    ///   - isa: Instruction set; tests pass each available one.
    /// - Returns: False when a half cannot hold one of the numbers, because it is above 65,504 or not a number; the
    ///   results must then not be used.
    /// - Precondition: The counts fit.
    public static func quantize(
        _ x: Span<Float>, from first: Int, bits: Int, into words: inout MutableSpan<UInt32>,
        rounded out: inout MutableSpan<Float>, on isa: InstructionSet = .detected
    ) -> Bool {
        check(words.count, out.count, first, bits)
        precondition(x.count == out.count, "Groups: counts differ")
        let count = x.count - first
        return unsafe x.withUnsafeBufferPointer { x in
            unsafe out.withUnsafeMutableBufferPointer { out in
                unsafe words.withUnsafeMutableBufferPointer { words in
                    guard let x = x.baseAddress, let out = out.baseAddress, let words = words.baseAddress
                    else { return true }
                    return unsafe cscx_quantize_groups(
                        isa.c, x + first, count, bits, words + first, out + first)
                }
            }
        }
    }

    /// Computes the numbers that groups represent.
    ///
    /// - Parameters:
    ///   - words: The groups.
    ///   - first: Where they begin in `words`, and their numbers in `out`.
    ///   - bits: 4 or 8.
    ///   - out: Receives the numbers.
    ///   - isa: Instruction set; tests pass each available one.
    /// - Returns: False when a minimum or a step is not finite.
    /// - Precondition: The counts fit.
    public static func dequantize(
        _ words: Span<UInt32>, from first: Int, bits: Int, into out: inout MutableSpan<Float>,
        on isa: InstructionSet = .detected
    ) -> Bool {
        check(words.count, out.count, first, bits)
        let count = out.count - first
        return unsafe words.withUnsafeBufferPointer { words in
            unsafe out.withUnsafeMutableBufferPointer { out in
                guard let words = words.baseAddress, let out = out.baseAddress else { return true }
                return unsafe cscx_dequantize_groups(isa.c, words + first, count, bits, out + first)
            }
        }
    }

    /// These checks alone ensure that the C kernels, which check nothing, stay within their memory.
    private static func check(_ words: Int, _ numbers: Int, _ first: Int, _ bits: Int) {
        precondition(bits == 4 || bits == 8, "Groups: bits")
        precondition(first >= 0 && first <= numbers, "Groups: first")
        precondition(words == first + wordCount(numbers - first, bits: bits), "Groups: words")
    }
}
