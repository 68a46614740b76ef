import SCXAttacks

/// Encodings on which attacks are tried as positive controls: each must be broken by some attack, except the one-time
/// pad.
package enum ControlEncoding: Equatable, Sendable {
    /// Profile `plain`: everything in clear.
    case unprotected
    /// Rows are permuted, and channels are permuted inside the heads, without noise: SCX (SIGCOMM 2025) without its
    /// noise.
    ///
    /// `redundant` rows are added to each exchange of several rows; `noise` is the scale of Laplace noise in the
    /// first exchange.
    case permuted(redundant: Int = 0, noise: Float = 0)
    /// Each head is rotated by a secret rotation, one for queries and keys and one for values; rows are in their
    /// order.
    case rotated
    /// Rows are mixed with each other and with shields, as in GELO: A·[H; S].
    ///
    /// If A is `orthogonal` and there are no shields, mixing does not change the second moment.
    case mixed(shields: Int, orthogonal: Bool)
    /// There is one secret permutation of channels for all sessions, as in STIP.
    case fixedChannels
    /// Sums of a few secret masks are added to each row.
    case pooledMasks(count: Int)
    /// There is one mask for all rows and steps: a one-time pad of real numbers that is used many times.
    case reusedMask
    /// Uniform integers modulo 2³² are added.
    ///
    /// Each pad is used once, except that `reuse` rows use an earlier row's pad.
    case oneTimePad(reuse: Int = 0)
    /// Pads of normal real numbers are drawn anew for each row, `scale` times as large as the row: additive masks in
    /// float32.
    case realPads(scale: Float)
    /// The integers of profile `sealed`, with pads that are drawn in another way; see ``RingControlSession``.
    case ring(RingPads)
}

/// How pads modulo 2³² are drawn.
package enum RingPads: Equatable, Sendable {
    /// A new uniform pad for each row, as in profile `sealed`.
    case fresh
    /// One pad for all rows of a request, as in a published scheme of sums with noise.
    case onePerRequest
    /// For each row one pad from a pool of this many, which all sessions share.
    case pool(count: Int)
    /// Sums, with uniform factors, of this many masks, which all sessions share.
    case span(rank: Int)
    /// Uniform pads that a second session uses again.
    case twice
}

/// Random numbers for the laboratory: the same in every run, and therefore not for keys.
package struct LabRandom: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    /// SplitMix64 (Steele, Lea and Flood 2014).
    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// A uniform number from −1 to 1.
    mutating func uniform() -> Float { Float(Int32(truncatingIfNeeded: next() >> 32)) / 2_147_483_648 }

    /// A nearly normal number with deviation 1: a sum of twelve uniform numbers.
    mutating func normal() -> Float { (0..<12).reduce(0) { sum, _ in sum + uniform() } / 2 }

    /// A number of the Laplace distribution with scale 1.
    mutating func laplace() -> Float {
        let u = uniform()
        return (u < 0 ? 1 : -1) * naturalLogarithm(max(1e-9, 1 - abs(u)))
    }

    mutating func permutation(_ count: Int) -> [Int] { Array(0..<count).shuffled(using: &self) }

    mutating func normals(rows: Int, columns: Int) -> Matrix {
        Matrix(rows: rows, columns: columns, values: (0..<rows * columns).map { _ in normal() })
    }

    /// A random orthogonal matrix: normal rows, made orthonormal.
    mutating func orthogonal(_ size: Int) -> Matrix {
        var rows: [[Float]] = []
        while rows.count < size {
            var row = (0..<size).map { _ in Double(normal()) }
            for _ in 0..<2 {
                for other in rows {
                    let product = zip(other, row).reduce(0.0) { $0 + Double($1.0) * $1.1 }
                    for i in row.indices { row[i] -= product * Double(other[i]) }
                }
            }
            let length = row.reduce(0) { $0 + $1 * $1 }.squareRoot()
            if length > 1e-3 { rows.append(row.map { Float($0 / length) }) }
        }
        return Matrix(rows: size, columns: size, values: Array(rows.joined()))
    }
}
