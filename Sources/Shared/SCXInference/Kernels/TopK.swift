import CSCXKernels

/// The `k` largest of `logits` with their indices, largest first.
///
/// Of equal values the one with the lower index comes first; NaN is ignored. There is one pass over the logits, which
/// skips vectors without a number above the smallest one in the heap, and a heap of `k` pairs for the rest.
///
/// - Parameters:
///   - logits: The numbers.
///   - k: How many are wanted.
///   - isa: Instruction set; tests pass each available one.
/// - Returns: `k` pairs, or fewer when `logits` has fewer numbers.
/// - Precondition: `k` is not negative; fewer than 2³² logits.
/// - Complexity: O(n + m log k), where m numbers enter the heap: about k · log(n / k) in random order.
public func topK(
    _ logits: Span<Float>, _ k: Int, on isa: InstructionSet = .detected
) -> [(index: Int, value: Float)] {
    precondition(k >= 0 && logits.count <= UInt32.max, "topK: counts")
    let k = min(k, logits.count)
    var indices = [UInt32](repeating: 0, count: k)
    var held = 0
    let values = unsafe [Float](unsafeUninitializedCapacity: k) { values, initialized in
        unsafe indices.withUnsafeMutableBufferPointer { indices in
            unsafe logits.withUnsafeBufferPointer { logits in
                held = unsafe cscx_top_k(
                    isa.c, logits.baseAddress, logits.count, k, values.baseAddress, indices.baseAddress)
            }
        }
        initialized = held
    }
    return (0..<held).map { (Int(indices[$0]), values[$0]) }
}

/// The index of the largest number, the lowest one if several are equal; nil when there is no number but NaN.
///
/// - Precondition: Fewer than 2³² logits.
public func argmax(_ logits: Span<Float>, on isa: InstructionSet = .detected) -> Int? {
    topK(logits, 1, on: isa).first?.index
}
