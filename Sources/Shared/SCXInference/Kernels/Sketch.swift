import CSCXKernels

/// Verifies products of integers by sums modulo the prime p = 2⁶¹ - 1.
///
/// For any s, `Σ_r y[r] · s[r] = Σ_c x[c] · S[c]` if `y[r] = Σ_c w[r, c] · x[c]` without wrapping and
/// `S[c] = Σ_r w[r, c] · s[r]`. If s is drawn uniformly and kept secret from whoever computes y, a wrong y satisfies
/// the equation with probability 1/p, since the differences are smaller than p and one of them is not zero (Freivalds
/// 1977, "Probabilistic machines can use less running time"). No branch and no address depends on a number.
public enum Sketch {
    /// The prime p = 2⁶¹ - 1.
    public static let modulus: UInt64 = 1 << 61 - 1

    /// A number modulo p, in 0 ..< p.
    public static func reduce(_ a: UInt64) -> UInt64 {
        let folded = (a & modulus) + (a >> 61)
        let less = folded &- modulus
        return less &+ (modulus & (0 &- less >> 63))
    }

    /// The sum a + b modulo p.
    ///
    /// - Precondition: Both are below p.
    public static func add(_ a: UInt64, _ b: UInt64) -> UInt64 {
        precondition(a < modulus && b < modulus, "Sketch.add: not below p")
        return reduce(a + b)
    }

    /// The product a · b modulo p.
    ///
    /// - Precondition: Both are below p.
    public static func multiply(_ a: UInt64, _ b: UInt64) -> UInt64 {
        precondition(a < modulus && b < modulus, "Sketch.multiply: not below p")
        // a · b = high · 2⁶⁴ + low, and 2⁶¹ = 1 modulo p.
        let (high, low) = a.multipliedFullWidth(by: b)
        return reduce((low & modulus) + (low >> 61 | high << 3))
    }

    /// The dot product `Σ q[i] · s[i]` modulo p.
    ///
    /// - Parameters:
    ///   - q: Any signed integers.
    ///   - s: As many factors.
    ///   - isa: Instruction set; tests pass each available one. All give the same.
    /// - Returns: The sum, in 0 ..< p.
    /// - Precondition: The counts are equal.
    public static func dot(
        _ q: Span<Int32>, _ s: Span<UInt64>, on isa: InstructionSet = .detected
    ) -> UInt64 {
        precondition(q.count == s.count, "Sketch.dot: counts differ")
        return unsafe q.withUnsafeBufferPointer { q in
            unsafe s.withUnsafeBufferPointer { s in
                unsafe cscx_sketch_dot(isa.c, q.baseAddress, s.baseAddress, q.count)
            }
        }
    }

    /// The sketch of a matrix's integers: `out[c] = Σ_r w[r, c] · s[r]` modulo p.
    ///
    /// - Parameters:
    ///   - w: Weights in ring form, `[rows, columns]`.
    ///   - s: A factor for each row.
    ///   - out: `[columns]`, overwritten.
    ///   - pool: Threads that share the work.
    ///   - isa: Instruction set; tests pass each available one. All give the same.
    /// - Precondition: `w` is in ring form and the counts are those of its rows and columns.
    public static func weights(
        _ w: PackedMatrix, _ s: Span<UInt64>, into out: inout MutableSpan<UInt64>, pool: ThreadPool,
        on isa: InstructionSet = .detected
    ) {
        precondition(w.isRing, "Sketch.weights: w is not int8 with one scale per row")
        precondition(s.count == w.rows, "Sketch.weights: s is not one per row")
        precondition(out.count == w.columns, "Sketch.weights: out is not one per column")
        var matrix = unsafe w.c
        unsafe s.withUnsafeBufferPointer { s in
            unsafe out.withUnsafeMutableBufferPointer { out in
                unsafe pool.withRunner { runner in
                    unsafe cscx_sketch_weights(isa.c, &matrix, s.baseAddress, out.baseAddress, runner)
                }
            }
        }
    }
}
