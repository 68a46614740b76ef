import SCXInference

/// A secret vector S over the field of p = 2⁶¹ − 1, and S̃ = Ŵ S, with which products of one site are verified.
///
/// A product y = x̂ Ŵ of integers satisfies y · S = x̂ · S̃. A worker that does not know S and returns another y passes
/// with probability 1 / p < 2⁻⁶⁰, since (y − x̂ Ŵ) · S is then a uniform element of the field (Freivalds 1977). It learns of S
/// only whether a product was refused, so each try adds one such chance. The comparison is of integers, so a product that
/// wrapped is refused as well.
final class SiteSketch: Sendable {
    /// S, `[outputs]`.
    private let secret: SecretBuffer<UInt64>
    /// S̃, `[inputs]`.
    private let image: SecretBuffer<UInt64>

    init(_ weights: PackedMatrix, random: inout SecureRandom, pool: ThreadPool) {
        var secret = SecretBuffer<UInt64>(repeating: 0, count: weights.rows)
        var span = secret.mutableSpan
        for i in span.indices { span[i] = random.fieldElement() }
        var image = SecretBuffer<UInt64>(repeating: 0, count: weights.columns)
        var out = image.mutableSpan
        Sketch.weights(weights, secret.span, into: &out, pool: pool)
        self.secret = secret
        self.image = image
    }

    /// x̂ · S̃ for one row.
    func expected(_ integers: Span<Int32>) -> UInt64 {
        image.withFirst(image.count) { Sketch.dot(integers, $0) }
    }

    /// y · S for one row.
    func found(_ product: Span<Int32>) -> UInt64 {
        secret.withFirst(secret.count) { Sketch.dot(product, $0) }
    }
}

extension SecureRandom {
    /// A uniform number below 2⁶¹ − 1.
    fileprivate mutating func fieldElement() -> UInt64 {
        while true {
            let bits = (UInt64(word()) << 32 | UInt64(word())) >> 3
            if bits < Sketch.modulus { return bits }
        }
    }
}
