public func sumOfSquares(_ x: Span<Float>) -> Double {
    var s = 0.0
    for i in x.indices { s += Double(x[i]) * Double(x[i]) }
    return s
}
public func fixedEncode(_ x: Span<Float>, scale: Float, into q: inout MutableSpan<Int32>) {
    for i in x.indices { q[i] = Int32((x[i] * scale).rounded(.toNearestOrEven)) }
}
public func fixedDecode(_ y: Span<UInt32>, minus product: Span<UInt32>?, scale: Float, columnScales: Span<Float>, bias: Span<Float>, integers q: inout MutableSpan<Int32>, into out: inout MutableSpan<Float>) {
    for i in y.indices {
        let v = Int32(bitPattern: product == nil ? y[i] : y[i] &- product![i])
        q[i] = v
        out[i] = Float(v) * (scale * columnScales[i]) + (bias.isEmpty ? 0 : bias[i])
    }
}
public func ringAdd(_ q: Span<Int32>, into z: inout MutableSpan<UInt32>) {
    for i in q.indices { z[i] &+= UInt32(bitPattern: q[i]) }
}
public enum Sketch {
    public static let modulus: UInt64 = (1 << 61) - 1
    static func reduce(_ h: UInt64, _ l: UInt64) -> UInt64 {
        let (q, r) = modulus.dividingFullWidth((h % modulus, l)); _ = q; return r
    }
    static func mul(_ a: UInt64, _ b: UInt64) -> UInt64 { let p = a.multipliedFullWidth(by: b); return reduce(p.high, p.low) }
    static func add(_ a: UInt64, _ b: UInt64) -> UInt64 { let s = a + b; return s >= modulus ? s - modulus : s }
    static func of(_ v: Int32) -> UInt64 { v >= 0 ? UInt64(v) : modulus - UInt64(-Int64(v)) }
    public static func dot(_ q: Span<Int32>, _ s: Span<UInt64>) -> UInt64 {
        var r: UInt64 = 0
        for i in q.indices { r = add(r, mul(of(q[i]), s[i])) }
        return r
    }
    public static func image(of s: Span<UInt64>, _ w: PackedMatrix, into out: inout MutableSpan<UInt64>, pool: ThreadPool) {
        var row = [Float](repeating: 0, count: w.columns)
        let scales = w.rowScales
        for r in 0..<w.rows {
            var span = row.mutableSpan
            w.dequantize(row: r, into: &span)
            for c in 0..<w.columns {
                let q = scales[r] == 0 ? 0 : Int32((row[c] / scales[r]).rounded())
                out[c] = add(out[c], mul(of(q), s[r]))
            }
        }
    }
}
