import SCXInference

/// A secret vector S over the field of p = 2⁶¹ − 1 elements, and S̃ = Ŵ S, by which products of one site are
/// verified.
///
/// A product y = x̂ Ŵ of integers satisfies y · S = x̂ · S̃. If a worker that does not know S returns another y, it
/// passes with probability 1 / p < 2⁻⁶⁰, since (y − x̂ Ŵ) · S is then a uniform element of the field (Freivalds
/// 1977). All that it learns about S is whether a product was refused, so each try adds one such chance. Integers are
/// compared, and not their remainders modulo 2³², so a product that wrapped is refused as well.
final class SiteSketch: Sendable {
    /// S, `[outputs]`.
    private let secret: SecretBuffer<UInt64>
    /// S̃, `[inputs]`.
    private let image: SecretBuffer<UInt64>
    /// How many matrices the site has.
    private let groups: Int

    /// Draws S, and computes S̃.
    init(_ weights: [PackedMatrix], random: inout SecureRandom, pool: ThreadPool) {
        groups = weights.count
        var secret = SecretBuffer<UInt64>(repeating: 0, count: groups * weights[0].rows)
        var span = secret.mutableSpan
        for i in span.indices { span[i] = random.fieldElement() }
        image = Self.image(of: secret.span, weights, pool)
        self.secret = secret
    }

    /// Makes a sketch of vectors that were stored.
    init(secret: consuming SecretBuffer<UInt64>, image: consuming SecretBuffer<UInt64>, groups: Int) {
        self.secret = secret
        self.image = image
        self.groups = groups
    }

    /// Computes Ŵ S.
    private static func image(
        of secret: Span<UInt64>, _ weights: [PackedMatrix], _ pool: ThreadPool
    ) -> SecretBuffer<UInt64> {
        let (rows, columns) = (weights[0].rows, weights[0].columns)
        var image = SecretBuffer<UInt64>(repeating: 0, count: weights.count * columns)
        var out = image.mutableSpan
        unsafe out.withUnsafeMutableBufferPointer { out in
            for (group, weights) in weights.enumerated() {
                var part = unsafe MutableSpan(
                    _unsafeElements: out.extracting(group * columns..<(group + 1) * columns))
                Sketch.weights(
                    weights, secret.extracting(group * rows..<(group + 1) * rows), into: &part, pool: pool)
            }
        }
        return image
    }

    /// Whether S̃ is the product of these weights; for other weights it still returns true with probability 1 / p at
    /// most.
    ///
    /// - Precondition: The weights have the site's shape.
    func isMade(of weights: [PackedMatrix], pool: ThreadPool) -> Bool {
        let right = secret.withFirst(secret.count) { Self.image(of: $0, weights, pool) }
        return image.withFirst(image.count) { image in
            var difference: UInt64 = 0
            for i in image.indices { difference |= image[i] ^ right.span[i] }
            return difference == 0
        }
    }

    /// Calls `body` with S and S̃, to be stored.
    func withParts<Result, Failure: Error>(
        _ body: (_ secret: Span<UInt64>, _ image: Span<UInt64>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try secret.withFirst(secret.count) { secret throws(Failure) in
            try image.withFirst(image.count) { image throws(Failure) in try body(secret, image) }
        }
    }

    /// A group's part of the value x̂ · S̃ of one row, whose sum over the groups y · S must equal.
    func expected(_ integers: Span<Int32>, group: Int) -> UInt64 {
        let width = image.count / groups
        return image.withFirst(image.count) {
            Sketch.dot(integers, $0.extracting(group * width..<(group + 1) * width))
        }
    }

    /// A group's part of the value y · S of one row.
    func found(_ product: Span<Int32>, group: Int) -> UInt64 {
        let width = secret.count / groups
        return secret.withFirst(secret.count) {
            Sketch.dot(product, $0.extracting(group * width..<(group + 1) * width))
        }
    }

    /// Adds the parts of each row modulo p.
    ///
    /// - Parameters:
    ///   - parts: `[rows, groups]`
    ///   - groups: How many parts a row has.
    /// - Returns: `[rows]`
    static func sums(_ parts: Span<UInt64>, groups: Int) -> SecretBuffer<UInt64> {
        var sums = SecretBuffer<UInt64>(repeating: 0, count: parts.count / groups)
        var out = sums.mutableSpan
        for i in parts.indices { out[i / groups] = Sketch.add(out[i / groups], parts[i]) }
        return sums
    }
}

extension SecureRandom {
    /// Draws a uniform number below 2⁶¹ − 1.
    fileprivate mutating func fieldElement() -> UInt64 {
        while true {
            let bits = (UInt64(word()) << 32 | UInt64(word())) >> 3
            if bits < Sketch.modulus { return bits }
        }
    }
}
