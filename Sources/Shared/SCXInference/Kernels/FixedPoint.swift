import CSCXKernels

/// The sum of the squares of numbers, in double precision: `Σ x[i]²`.
///
/// The result has the same bits on every processor, since the squares are exact and are added in a fixed order.
public func sumOfSquares(_ x: Span<Float>) -> Double {
    unsafe x.withUnsafeBufferPointer { x in unsafe cscx_sum_of_squares(x.baseAddress, x.count) }
}

/// Rounds numbers to integers and adds a pad: `q[i] = round(x[i] · scale)`, `z[i] = q[i] + pad[i] mod 2³²`.
///
/// Ties go to even. The result has the same bits on every processor, and the time does not depend on the numbers.
///
/// - Parameters:
///   - x: The numbers, with `|x[i] · scale| < 2³¹`; for others `q` is any number.
///   - scale: Integers per unit.
///   - pad: As many integers as `x` has numbers; they must be used once only.
///   - q: The integers, from `offset` on.
///   - z: The padded integers, from `offset` on.
///   - offset: Where the results begin.
/// - Precondition: `pad` is as long as `x`, and `q` and `z` have room for the results.
public func fixedEncode(
    _ x: Span<Float>, scale: Float, pad: Span<UInt32>, into q: inout MutableSpan<Int32>,
    _ z: inout MutableSpan<UInt32>, at offset: Int = 0
) {
    precondition(pad.count == x.count, "fixedEncode: pad is not as long as x")
    checkRange(q.count, offset: offset, count: x.count, "fixedEncode: q does not hold the results")
    checkRange(z.count, offset: offset, count: x.count, "fixedEncode: z does not hold the results")
    unsafe x.withUnsafeBufferPointer { x in
        unsafe pad.withUnsafeBufferPointer { pad in
            unsafe q.withUnsafeMutableBufferPointer { q in
                unsafe z.withUnsafeMutableBufferPointer { z in
                    guard let q = q.baseAddress, let z = z.baseAddress else { return }
                    unsafe cscx_fixed_encode(
                        x.baseAddress, scale, pad.baseAddress, q + offset, z + offset, x.count)
                }
            }
        }
    }
}

/// Rounds numbers to integers, as ``fixedEncode(_:scale:pad:into:_:at:)`` does before it adds the pad.
///
/// - Precondition: `q` has room for the results.
public func fixedEncode(
    _ x: Span<Float>, scale: Float, into q: inout MutableSpan<Int32>, at offset: Int = 0
) {
    checkRange(q.count, offset: offset, count: x.count, "fixedEncode: q does not hold the results")
    unsafe x.withUnsafeBufferPointer { x in
        unsafe q.withUnsafeMutableBufferPointer { q in
            guard let q = q.baseAddress else { return }
            unsafe cscx_fixed_encode(x.baseAddress, scale, nil, q + offset, nil, x.count)
        }
    }
}

/// Subtracts the pad's product from a result and converts it to numbers: `q[i] = y[i] - product[i] mod 2³²`, signed,
/// and `out[i] = q[i] · (scale · columnScales[i]) + bias[i]`.
///
/// Each operation is rounded to float32. The result has the same bits on every processor, and the time does not
/// depend on the numbers.
///
/// - Parameters:
///   - y: The product of padded integers.
///   - product: The same product of the pad alone, as many integers as `y`; empty when there was no pad.
///   - columnScales: The scale of each result, as many as `y`; see ``PackedMatrix/rowScales``.
///   - scale: Units per integer.
///   - bias: As many as `y`, or empty for none.
///   - q: The integers, from `offset` on.
///   - out: The numbers, from `offset` on.
///   - offset: Where the results begin.
/// - Precondition: The counts are equal, and `q` and `out` have room for the results.
public func fixedDecode(
    _ y: Span<UInt32>, product: Span<UInt32>, columnScales: Span<Float>, scale: Float, bias: Span<Float>,
    into q: inout MutableSpan<Int32>, _ out: inout MutableSpan<Float>, at offset: Int = 0
) {
    let count = y.count
    precondition(product.isEmpty || product.count == count, "fixedDecode: product is not as long as y")
    precondition(columnScales.count == count, "fixedDecode: columnScales is not as long as y")
    precondition(bias.isEmpty || bias.count == count, "fixedDecode: bias is not as long as y")
    checkRange(q.count, offset: offset, count: count, "fixedDecode: q does not hold the results")
    checkRange(out.count, offset: offset, count: count, "fixedDecode: out does not hold the results")
    unsafe y.withUnsafeBufferPointer { y in
        unsafe product.withUnsafeBufferPointer { product in
            unsafe columnScales.withUnsafeBufferPointer { scales in
                unsafe bias.withUnsafeBufferPointer { bias in
                    unsafe q.withUnsafeMutableBufferPointer { q in
                        unsafe out.withUnsafeMutableBufferPointer { out in
                            guard let q = q.baseAddress, let out = out.baseAddress else { return }
                            let productStart = product.isEmpty ? nil : product.baseAddress
                            let biasStart = bias.isEmpty ? nil : bias.baseAddress
                            unsafe cscx_fixed_decode(
                                y.baseAddress, productStart, scales.baseAddress, scale, biasStart,
                                q + offset, out + offset, count)
                        }
                    }
                }
            }
        }
    }
}

/// Subtracts modulo 2³²: `y[offset + i] -= product[i]`.
///
/// - Precondition: The elements of `y` exist.
public func ringSubtract(_ product: Span<UInt32>, from y: inout MutableSpan<UInt32>, at offset: Int = 0) {
    checkRange(y.count, offset: offset, count: product.count, "ringSubtract: y is too short")
    unsafe product.withUnsafeBufferPointer { product in
        unsafe y.withUnsafeMutableBufferPointer { y in
            guard let y = y.baseAddress else { return }
            unsafe cscx_ring_subtract(y + offset, product.baseAddress, product.count)
        }
    }
}

/// Stops the process unless `count` elements from `offset` on are within `total`.
private func checkRange(_ total: Int, offset: Int, count: Int, _ what: StaticString) {
    precondition(offset >= 0 && offset <= total && count <= total - offset, "\(what)")
}

/// Adds integers modulo 2³²: `z[i] += q[i]`.
///
/// - Precondition: Both have the same length.
public func ringAdd(_ q: Span<Int32>, into z: inout MutableSpan<UInt32>) {
    precondition(q.count == z.count, "ringAdd: counts differ")
    for i in q.indices { unsafe z[unchecked: i] &+= UInt32(bitPattern: q[unchecked: i]) }
}
