import CSCXKernels

/// Multiplies rows by the weights of a linear site and adds its bias: `y[t, r] = Σ_c x[t, c] · w[r, c] + bias[r]`.
///
/// The arithmetic depends on the weights' format:
/// - `f32`: float32. `bf16`: float32, except that AVX512-BF16 rounds `x` to bfloat16.
/// - `int8`, `int4`: `x` is rounded to signed bytes `qx`, with a scale `sx` for each token and group of inputs (128
///   inputs when `w` has one scale per row, 32 in int4, else the group of `w`); then
///   `y = Σ_g sx[g] · sw[g] · Σ qx · qw`, exact inside a group, float32 across groups. A token with a value that is
///   not finite gives NaN.
///
/// - Parameters:
///   - x: Activations, `[tokens, columns]`, row-major.
///   - w: Weights, `[rows, columns]`.
///   - bias: `[rows]`, or empty for none.
///   - y: Result, `[tokens, rows]`, row-major, overwritten.
///   - tokens: Rows of `x`.
///   - pool: Threads that share the work.
///   - isa: Instruction set; tests pass each available one.
/// - Precondition: The counts fit `(tokens, rows, columns)`.
/// - Complexity: `tokens · rows · columns` multiply-adds. Up to a few tokens the time is that of reading the weights.
/// - Note: Instruction sets differ in the last bits, since they add in different orders.
public func linear(
    _ x: Span<Float>, _ w: PackedMatrix, bias: Span<Float>, into y: inout MutableSpan<Float>, tokens: Int,
    pool: ThreadPool, on isa: InstructionSet = .detected
) {
    precondition(tokens >= 0, "linear: negative tokens")
    let (inputs, inputsOverflow) = tokens.multipliedReportingOverflow(by: w.columns)
    let (outputs, outputsOverflow) = tokens.multipliedReportingOverflow(by: w.rows)
    precondition(!inputsOverflow && x.count == inputs, "linear: x is not tokens x columns")
    precondition(!outputsOverflow && y.count == outputs, "linear: y is not tokens x rows")
    precondition(bias.isEmpty || bias.count == w.rows, "linear: bias is not one per row")
    guard tokens > 0 else { return }
    var matrix = unsafe w.c
    unsafe x.withUnsafeBufferPointer { x in
        unsafe bias.withUnsafeBufferPointer { bias in
            unsafe y.withUnsafeMutableBufferPointer { y in
                let biasStart = bias.isEmpty ? nil : bias.baseAddress
                // The C kernel checks nothing. The preconditions above alone ensure that it stays within its memory.
                let done = unsafe pool.withRunner { runner in
                    unsafe cscx_linear(
                        isa.c, &matrix, x.baseAddress, biasStart, y.baseAddress, tokens, runner)
                }
                precondition(done, "linear: no memory for the activations of a token")
            }
        }
    }
}

/// Multiplies rows by the weights of a linear site without bias; see ``linear(_:_:bias:into:tokens:pool:on:)``.
public func linear(
    _ x: Span<Float>, _ w: PackedMatrix, into y: inout MutableSpan<Float>, tokens: Int, pool: ThreadPool,
    on isa: InstructionSet = .detected
) {
    linear(x, w, bias: Span(), into: &y, tokens: tokens, pool: pool, on: isa)
}

extension ThreadPool {
    /// Passes the pool to a C kernel that divides its own work, while `body` runs.
    func withRunner<Result>(_ body: (_ runner: cscx_runner) -> Result) -> Result {
        withExtendedLifetime(self) {
            unsafe body(
                cscx_runner(
                    context: Unmanaged.passUnretained(self).toOpaque(), threads: threads,
                    run: { context, count, body, job in
                        guard let context = unsafe context, let body = unsafe body else { return }
                        let pool = unsafe Unmanaged<ThreadPool>.fromOpaque(context).takeUnretainedValue()
                        pool.run(count) { index in unsafe body(job, index) }
                    }))
        }
    }
}
