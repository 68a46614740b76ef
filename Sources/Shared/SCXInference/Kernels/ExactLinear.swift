import CSCXKernels

/// Multiplies rows by float32 weights in float64: `y[t, r] = Σ_c x[t, c] · w[r, c]`, without a bias.
///
/// If the rows are multiples of a common step, at most 2²⁴ steps each, and the weights are those of
/// ``PackedMatrix/roundedForExactSums(pool:)``, no sum is rounded. Then noise that was added to the rows can be taken
/// from the products without a trace, and the result depends on no order of adding.
///
/// - Parameters:
///   - x: Activations, `[tokens, columns]`, row-major.
///   - w: Weights in float32, `[rows, columns]`.
///   - y: Result, `[tokens, rows]`, row-major, overwritten.
///   - tokens: Rows of `x`.
///   - pool: Threads that share the work.
///   - isa: Instruction set; tests pass each available one.
/// - Precondition: `w` is in float32 and the counts fit `(tokens, rows, columns)`.
/// - Complexity: `tokens · rows · columns` multiply-adds in float64, half as many at a time as in float32.
public func exactLinear(
    _ x: Span<Float>, _ w: PackedMatrix, into y: inout MutableSpan<Double>, tokens: Int, pool: ThreadPool,
    on isa: InstructionSet = .detected
) {
    precondition(w.format == .f32, "exactLinear: weights that are not in float32")
    let (inputs, inputsOverflow) = tokens.multipliedReportingOverflow(by: w.columns)
    let (outputs, outputsOverflow) = tokens.multipliedReportingOverflow(by: w.rows)
    precondition(
        tokens >= 0 && !inputsOverflow && x.count == inputs, "exactLinear: x is not tokens x columns")
    precondition(!outputsOverflow && y.count == outputs, "exactLinear: y is not tokens x rows")
    guard tokens > 0 else { return }
    var matrix = unsafe w.c
    unsafe x.withUnsafeBufferPointer { x in
        unsafe y.withUnsafeMutableBufferPointer { y in
            // The C kernel checks nothing. The preconditions above alone ensure that it stays within its memory.
            unsafe pool.withRunner { runner in
                unsafe cscx_exact_linear(isa.c, &matrix, x.baseAddress, y.baseAddress, tokens, runner)
            }
        }
    }
}

/// Rounds queries or keys so that no sum of their products is rounded in float64: then a score does not depend on the
/// order of the channels.
///
/// Each head becomes multiples of 2⁻ᵇ times the smallest power of two above its largest magnitude, with b =
/// (53 − ⌈log₂ headSize⌉) / 2, at most 24: 23 for heads of 64 or 128 channels. That is about the precision of
/// float32, and rounding to bfloat16 afterwards keeps the property. A head that holds something that is not finite
/// stays as it is.
///
/// - Parameters:
///   - x: Rows of heads.
///   - offset: Where the first row begins.
///   - stride: Floats from one row to the next.
///   - rows: Number of rows.
///   - heads: Adjacent heads of a row that are rounded.
///   - headSize: Channels of a head.
///   - isa: Instruction set; tests pass each available one.
/// - Precondition: The rows lie within `x`.
public func roundHeads(
    _ x: inout MutableSpan<Float>, offset: Int = 0, stride: Int, rows: Int, heads: Int, headSize: Int,
    on isa: InstructionSet = .detected
) {
    checkRows(x.count, offset: offset, stride: stride, rows: rows, width: heads * headSize, "roundHeads: x")
    let widening = Int.bitWidth - (headSize - 1).leadingZeroBitCount
    let bits = min(24, max(1, (53 - widening) / 2))
    unsafe x.withUnsafeMutableBufferPointer { x in
        guard let start = x.baseAddress else { return }
        unsafe cscx_round_heads(isa.c, start + offset, stride, rows, heads, headSize, Int32(bits))
    }
}

extension PackedMatrix {
    /// A copy of the weights in float32, rounded so that sums of products in float64 are exact.
    ///
    /// The weights of each row become multiples of 2^(e − 28), where 2^e is the smallest power of two above the sum of
    /// the row's magnitudes, which is added up in float64 in the order of the inputs. So rows of integers up to 2²⁴
    /// have products below 2⁵³ steps. A weight changes by at most 2⁻²⁹ of that sum; most weights in bfloat16 do not
    /// change. A row that holds something that is not finite stays as it is.
    ///
    /// - Parameter pool: Threads that share the rows.
    /// - Returns: A matrix of the same shape.
    /// - Throws: ``KernelError`` when there is no memory for a copy.
    public func roundedForExactSums(pool: ThreadPool) throws(KernelError) -> PackedMatrix {
        let copy = try PackedMatrix(rows: rows, columns: columns, format: .f32)
        pool.run((rows + 15) / 16) { panel in
            var values = [Float](repeating: 0, count: columns)
            for row in panel * 16..<min(rows, panel * 16 + 16) {
                var span = values.mutableSpan
                dequantize(row: row, into: &span)
                var sum = 0.0
                for c in span.indices { sum += Double(abs(span[c])) }
                if sum.isNormal, sum < 0x1p128 {
                    // Adding 1.5 · 2^52 steps to a double of at most 2^51 steps rounds it to whole steps.
                    let shift =
                        0x1.8p52 * Double(sign: .plus, exponent: Int(sum.exponent) + 1 - 28, significand: 1)
                    for c in span.indices { span[c] = Float((Double(span[c]) + shift) - shift) }
                }
                unsafe copy.pack(values.span.bytes, as: .f32, firstRow: row, count: 1, pool: pool)
            }
        }
        return copy
    }
}
