import CSCXKernels

extension LayerCache {
    /// How a cache stores its elements; `pages.h` has the layout.
    ///
    /// Attention computes in float32 over what is stored, in every format.
    public enum Format: String, CaseIterable, Sendable {
        /// As float32, 4 bytes each.
        case f32
        /// As bfloat16, rounded to nearest, with a relative error of at most 2⁻⁸; 2 bytes each.
        case bf16
        /// IEEE halves, rounded to nearest: a relative error of at most 2⁻¹¹ from 2⁻¹⁴ on, an error of at most 2⁻²⁵ below;
        /// 2 bytes each. Finite elements beyond ±65,504 become that; infinities and NaN stay.
        case f16
        /// Integers from −127 to 127, 1 byte each, with one float32 scale for each token and head, keys and values apart.
        ///
        /// The scale is the largest magnitude of the head over 127, and the error at most half of it. A head with an
        /// element that is not finite is NaN as a whole.
        case int8

        /// How many bytes one token's keys and values take in one layer, including scales and padding.
        ///
        /// - Precondition: Both sizes are positive.
        public func tokenBytes(kvHeads: Int, headSize: Int) -> Int {
            precondition(kvHeads > 0 && headSize > 0, "LayerCache: empty head")
            return kvHeads * cscx_page_head_bytes(c, headSize) / LayerCache.pageTokens
        }

        /// Rounds keys or values as a cache of this format does when it stores them.
        ///
        /// - Parameters:
        ///   - rows: `[any number, headSize]`, head by head.
        ///   - headSize: Channels of a head.
        /// - Returns: The values with which attention then computes, in the same order.
        /// - Precondition: `rows` are whole heads.
        public func rounded(_ rows: ArraySlice<Float>, headSize: Int) -> [Float] {
            precondition(headSize > 0 && rows.count % headSize == 0, "LayerCache: not whole heads")
            guard self != .f32 else { return Array(rows) }
            return unsafe rows.withUnsafeBufferPointer { rows in
                floats(rows.count) { out in
                    unsafe out.withUnsafeMutableBufferPointer { out in
                        guard let from = rows.baseAddress, let to = out.baseAddress else { return }
                        for head in stride(from: 0, to: rows.count, by: headSize) {
                            unsafe cscx_kv_round(c, headSize, from + head, to + head)
                        }
                    }
                }
            }
        }

        /// The C kernels' name for the format.
        var c: cscx_kv_format {
            switch self {
            case .f32: cscx_kv_f32
            case .bf16: cscx_kv_bf16
            case .f16: cscx_kv_f16
            case .int8: cscx_kv_int8
            }
        }
    }
}
