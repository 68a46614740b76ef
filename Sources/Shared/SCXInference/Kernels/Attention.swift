import CSCXKernels

/// Attention, usually causal, of grouped queries against a cache that already holds the queries' own tokens.
///
/// For query row t of head h, at position p = cache.count − tokens + t, with g = h / (heads / kvHeads):
/// `out[t, h, :] = Σ_j w[j] · V[g, j, :]`, `w = softmax_j(scale · q[t, h, :] · K[g, j, :])` over max(0, p − window + 1) ≤ j ≤ p.
///
/// It computes tiles of 48 query rows by pages of 64 tokens. All heads that share a key-value head are computed
/// together, so that a decode step reads its cache once. It uses the online softmax of Milakov and Gimelshein 2018,
/// "Online normalizer calculation for softmax" (<https://arxiv.org/abs/1805.02867>), algorithm 3, so working memory
/// does not grow with the context. A step with few jobs for its threads is split into chunks of 512 tokens, whose
/// results are joined afterwards.
///
/// The bits of a row's result depend on its query and on the keys and values that it attends to. They do not depend
/// on the other rows of the call, on the pool, or on what else the cache holds. So a row has the same result in a
/// chunk of a prompt, among speculated rows or alone. `attention_shared.h` says why.
///
/// - Parameters:
///   - q: Rows that hold the queries, after their rotary embedding.
///   - offset: Where the first query row, `[heads, headSize]`, begins in `q`.
///   - stride: Floats from one query row to the next.
///   - tokens: The number of query rows. They belong to the cache's last tokens.
///   - heads: Query heads, a multiple of the cache's key-value heads.
///   - cache: Keys and values.
///   - scale: Factor of the scores, usually 1 / √headSize.
///   - cap: Scores s become cap · tanh(s / cap), as in Gemma 2; nil leaves them as they are.
///   - sinks: For each head the score of one more token, whose value is zero, as in gpt-oss; empty for none.
///   - window: How many tokens a query attends to, including its own; nil for all.
///   - causal: When false, a query also attends to later tokens, as in an encoder: to all of the cache, or to those
///     with |j − p| < window.
///   - exactScores: Whether scores are summed in float64 and rounded to float32 once. The sums are exact, in any order of
///     the channels, for queries and keys from ``roundHeads(_:offset:stride:rows:heads:headSize:on:)``.
///   - out: Receives `[tokens, heads, headSize]`, adjacent, from `outOffset` on.
///   - outOffset: Where the result begins in `out`.
///   - pool: Threads that share the tiles; nil runs all on the calling one.
///   - isa: Instruction set; tests pass each available one.
/// - Precondition: Rows lie within `q` and `out`, the cache holds at least `tokens` tokens, the window is positive.
/// - Complexity: 4 · heads · headSize flops per pair of a query and a token that it attends to. A prefill is bound by
///   arithmetic, a decode step by reading the cache.
/// - Note: All arithmetic is float32, over what the cache stores. If the format has scales, a token's score is
///   multiplied by the scale of its keys, and its weight by that of its values. Weights have a relative error of
///   about 2⁻²² · (1 + |score|), and instruction sets differ by the order of their sums. Keys or values that are not
///   finite make the rows that attend to them not finite, and no others.
public func attention(
    _ q: Span<Float>, offset: Int = 0, stride: Int, tokens: Int, heads: Int, cache: LayerCache, scale: Float,
    cap: Float? = nil, sinks: [Float] = [], window: Int? = nil, causal: Bool = true,
    exactScores: Bool = false,
    into out: inout MutableSpan<Float>, at outOffset: Int = 0,
    pool: ThreadPool? = nil, on isa: InstructionSet = .detected
) {
    let width = heads * cache.headSize
    precondition(tokens > 0 && heads > 0 && heads % cache.kvHeads == 0, "attention: heads")
    precondition(cache.count >= tokens, "attention: the cache lacks the queries' tokens")
    precondition(window.map { $0 > 0 } ?? true, "attention: window")
    precondition(cap.map { $0 > 0 } ?? true, "attention: cap")
    precondition(sinks.isEmpty || sinks.count == heads, "attention: sinks")
    precondition(
        offset >= 0 && stride >= width && offset + (tokens - 1) * stride + width <= q.count,
        "attention: query rows beyond the buffer")
    precondition(outOffset >= 0 && outOffset + tokens * width <= out.count, "attention: out is too small")

    unsafe q.withUnsafeBufferPointer { q in
        unsafe out.withUnsafeMutableBufferPointer { out in
            guard let q = q.baseAddress, let out = out.baseAddress else { return }
            unsafe cache.withPages { pages in
                // The C kernel checks nothing. The preconditions above alone ensure that it stays within its memory.
                var call = unsafe cscx_attention(
                    q: q + offset, q_stride: stride, out: out + outOffset, out_stride: width, tokens: tokens,
                    heads: heads, kv_heads: cache.kvHeads, head_size: cache.headSize, pages: pages,
                    count: cache.count, format: cache.format.c, causal: causal, scale: scale,
                    exact_scores: exactScores, cap: cap ?? 0, sinks: nil, window: window ?? .max,
                    split: false, partials: nil,
                    wipe: cache.wipes)
                let threads = pool?.threads ?? 1
                let jobs = unsafe cscx_attention_jobs(&call)
                unsafe call.split = threads > 1 && jobs < 2 * threads && cscx_attention_chunks(&call) > 1
                unsafe sinks.withUnsafeBufferPointer { sinks in
                    unsafe call.sinks = sinks.isEmpty ? nil : sinks.baseAddress
                    unsafe runAll(&call, pool, isa)
                }
            }
        }
    }
}

/// Runs a call, and joins its chunks if it is split.
private func runAll(_ call: inout cscx_attention, _ pool: ThreadPool?, _ isa: InstructionSet) {
    guard unsafe call.split else {
        unsafe runJobs(call, pool, isa)
        return
    }
    unsafe withUnsafeTemporaryAllocation(
        of: Float.self, capacity: cscx_attention_partials(&call)
    ) { partials in
        unsafe call.partials = partials.baseAddress
        unsafe runJobs(call, pool, isa)
        unsafe cscx_attention_merge(&call)
        guard unsafe call.wipe else { return }
        unsafe cscx_wipe(partials.baseAddress, partials.count * MemoryLayout<Float>.stride)
    }
}

/// Runs all jobs of a call, each with working memory of its own.
private func runJobs(_ call: cscx_attention, _ pool: ThreadPool?, _ isa: InstructionSet) {
    let job = { (index: Int) in
        var call = unsafe call
        let bytes = unsafe cscx_attention_scratch(isa.c, &call) * MemoryLayout<Float>.stride
        let scratch = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
        defer { unsafe scratch.deallocate() }
        unsafe cscx_attention_run(isa.c, &call, index, scratch.assumingMemoryBound(to: Float.self))
    }
    var call = unsafe call
    let jobs = unsafe cscx_attention_jobs(&call)
    if let pool { pool.run(jobs, job) } else { for index in 0..<jobs { job(index) } }
}
