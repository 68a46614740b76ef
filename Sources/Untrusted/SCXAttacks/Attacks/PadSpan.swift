import SCXInference
import SCXLink

/// Learns the space spanned by a few masks from known tokens, modulo 2³², and identifies every row by its part
/// outside that space.
///
/// A11 over the integers, against precomputed bases of masks (Saini and others, <https://arxiv.org/abs/2602.11088>)
/// and "Slalom at the Carnival" (CiC 2024). If pads are sums of P masks, the pads of more than P known rows span them
/// all. Elimination modulo 2³² then gives the same result for a row and for the integers of its token. Pads of
/// independent uniform numbers are never linearly dependent, so the attack stops there.
public struct PadSpan: Attack {
    public let name = "pad-span"

    public init() {}

    public func run(on target: Target) throws(AttackError) -> Findings {
        let rows = try RingRows(target)
        let vocabulary = try target.model.fixedPointVocabulary()
        let places = rows.known.keys.sorted {
            ($0.run, $0.connection, $0.number, $0.row) < ($1.run, $1.connection, $1.number, $1.row)
        }
        // With more masks than half of the channels, too little would remain outside their space.
        let limit = target.configuration.hiddenSize / 2
        var basis = RingBasis()
        var used = 0
        for place in places.prefix(limit) {
            guard let words = rows.words[place], let token = rows.known[place] else { continue }
            used += 1
            basis.add(difference(words, vocabulary.row(token)))
        }
        guard used > 1 else { throw .nothingToAttack("fewer than two known tokens among rows of integers") }
        var findings = Findings()
        findings.measures = [
            Measure("known rows", Double(used)),
            // Pads that are independent have as many dimensions as there are pads.
            Measure("dimensions of their pads", Double(basis.count), chance: Double(used)...Double(used)),
        ]
        guard basis.count < used else { return findings }
        var tokens: [[UInt32]: Int32] = [:]
        for token in 0..<Int32(vocabulary.count) {
            let rest = basis.reduced(Array(vocabulary.row(token)))
            if tokens[rest] == nil { tokens[rest] = token }
        }
        for row in rows.own {
            findings.candidatesTried += vocabulary.count
            guard let token = tokens[basis.reduced(row.words)] else { continue }
            findings.positions[row.position] = [token]
        }
        return findings
    }
}

/// Vectors modulo 2³² in echelon form: each has a pivot, a channel where it is 1 and where those after it are 0.
///
/// A vector whose numbers are all even is a multiple of a vector that was not observed. Half of it is known modulo
/// 2³¹, so from then on all vectors are taken modulo that.
struct RingBasis {
    private var vectors: [(values: [UInt32], pivot: Int)] = []
    /// The modulus minus one.
    private var mask = UInt32.max

    var count: Int { vectors.count }

    /// Adds a vector, unless it is a linear combination of those before.
    mutating func add(_ vector: [UInt32]) {
        let rest = reduced(vector)
        // Only odd numbers have an inverse.
        guard
            let pivot = rest.indices.min(by: {
                rest[$0].trailingZeroBitCount < rest[$1].trailingZeroBitCount
            }), rest[pivot] != 0
        else { return }
        let exponent = UInt32(rest[pivot].trailingZeroBitCount)
        guard mask >> exponent > 0xFFFF else { return }
        mask >>= exponent
        let inverse = Self.inverse(rest[pivot] >> exponent)
        vectors.append((rest.map { ($0 >> exponent) &* inverse & mask }, pivot))
    }

    /// The rest of a vector after multiples of these were subtracted so that it is 0 at their pivots.
    func reduced(_ vector: [UInt32]) -> [UInt32] {
        var rest = vector
        for (values, pivot) in vectors {
            let factor = rest[pivot] & mask
            guard factor != 0 else { continue }
            for i in rest.indices { rest[i] &-= factor &* values[i] }
        }
        return rest.map { $0 & mask }
    }

    /// The inverse of an odd number, by Newton's iteration: each round doubles the number of right bits.
    private static func inverse(_ odd: UInt32) -> UInt32 {
        var x = odd
        for _ in 0..<5 { x = x &* (2 &- odd &* x) }
        return x
    }
}
