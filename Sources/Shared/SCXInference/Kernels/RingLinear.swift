import CSCXKernels

/// Multiplies by a linear site's integers modulo 2³²: `y[t, r] = Σ_c z[t, c] · w[r, c] mod 2³²`, exact for every `z`.
///
/// The result is not multiplied by the scales of the rows; see ``PackedMatrix/rowScales``. All instruction sets give
/// the same numbers, and the time depends on the shapes alone.
///
/// - Parameters:
///   - z: Factors, `[tokens, columns]`, row-major.
///   - w: Weights in ring form, `[rows, columns]`.
///   - y: Result, `[tokens, rows]`, row-major, overwritten.
///   - tokens: Rows of `z`.
///   - pool: Threads that share the work.
///   - isa: Instruction set; tests pass each available one.
/// - Precondition: `w` is in ring form and the counts fit `(tokens, rows, columns)`.
/// - Complexity: `tokens · rows · columns` multiply-adds. Up to a few tokens the time is that of reading the weights.
public func ringLinear(
    _ z: Span<UInt32>, _ w: PackedMatrix, into y: inout MutableSpan<UInt32>, tokens: Int, pool: ThreadPool,
    on isa: InstructionSet = .detected
) {
    precondition(w.isRing, "ringLinear: w is not int8 with one scale per row")
    precondition(tokens >= 0, "ringLinear: negative tokens")
    let (inputs, inputsOverflow) = tokens.multipliedReportingOverflow(by: w.columns)
    let (outputs, outputsOverflow) = tokens.multipliedReportingOverflow(by: w.rows)
    precondition(!inputsOverflow && z.count == inputs, "ringLinear: z is not tokens x columns")
    precondition(!outputsOverflow && y.count == outputs, "ringLinear: y is not tokens x rows")
    guard tokens > 0 else { return }
    var matrix = unsafe w.c
    unsafe z.withUnsafeBufferPointer { z in
        unsafe y.withUnsafeMutableBufferPointer { y in
            // The C kernel checks nothing. The preconditions above alone ensure that it stays within its memory.
            let done = unsafe pool.withRunner { runner in
                unsafe cscx_ring_linear(isa.c, &matrix, z.baseAddress, y.baseAddress, tokens, runner)
            }
            precondition(done, "ringLinear: no memory for a token")
        }
    }
}

extension PackedMatrix {
    /// Whether the matrix is in ring form: signed bytes with one scale per row, as products modulo 2³² need them.
    public var isRing: Bool { format == .int8 && groupSize == columns }

    /// The scale of each row: its weights are its integers times the scale.
    ///
    /// A row of zeros has the scale 0, and a row with a weight that is not finite has NaN.
    ///
    /// - Precondition: The matrix is in ring form.
    public var rowScales: [Float] {
        precondition(isRing, "PackedMatrix.rowScales: not int8 with one scale per row")
        let matrix = unsafe c
        return (0..<rows).map { row in
            // There is a scale for every row, including rows of padding.
            unsafe matrix.scales.assumingMemoryBound(to: Float.self)[row]
        }
    }

    /// The squared Euclidean norm of each row's integers, `Σ_c w[r, c]²`.
    ///
    /// - Precondition: The matrix is in ring form.
    public func rowNorms(pool: ThreadPool) -> [UInt64] {
        precondition(isRing, "PackedMatrix.rowNorms: not int8 with one scale per row")
        var matrix = unsafe c
        var squares = [UInt64](repeating: 0, count: rows)
        unsafe squares.withUnsafeMutableBufferPointer { squares in
            unsafe pool.withRunner { runner in
                unsafe cscx_row_norms(&matrix, squares.baseAddress, runner)
            }
        }
        return squares
    }
}
