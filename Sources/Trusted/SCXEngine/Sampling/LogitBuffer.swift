import SCXText

/// The logits of one row and their weights, with the passes over the vocabulary that sampling needs.
///
/// A vocabulary has up to some 150,000 entries and a step may take only a millisecond, so the whole vocabulary is never
/// sorted: a histogram finds the narrow band of logits in which top-k or top-p ends, and only that band is sorted. The
/// token drawn depends only on additions, multiplications and comparisons of floats in a fixed order, so that all
/// machines draw the same.
struct LogitBuffer: Sendable {
    private typealias Lanes = SIMD8<Float>
    private static let width = 8
    /// The histogram has `bands` bands, a power of two, and `bandsPerUnit` of them span one unit of the scaled logit.
    private static let bands = 2048
    private static let bandsPerUnit: Float = 64
    /// Number of tokens whose weights are summed before a draw looks at single tokens.
    private static let block = 1024

    private(set) var count = 0
    /// The logits, padded with negative infinity to a multiple of ``width``.
    private var logits: [Float] = []
    private var weights: [Float] = []

    /// The last token that top-k and top-p let pass.
    ///
    /// Tokens with a larger logit pass too, and among equal logits those with lower ids.
    struct Cut: Equatable {
        let logit: Float
        let id: Int32
    }

    /// The logit as this buffer uses it: NaN becomes negative infinity, so that it is never drawn, and values above
    /// 1e30 become 1e30.
    @inline(__always)
    static func cleaned(_ logit: Float) -> Float { logit <= 1e30 ? logit : logit > 1e30 ? 1e30 : -.infinity }

    mutating func load(_ source: Span<Float>) {
        if count != source.count {
            count = source.count
            let padded = (count + Self.width - 1) / Self.width * Self.width
            logits = [Float](repeating: -.infinity, count: padded)
            weights = [Float](repeating: 0, count: padded)
        }
        unsafe source.withUnsafeBufferPointer { source in
            unsafe logits.withUnsafeMutableBufferPointer { logits in
                for i in 0..<source.count { unsafe logits[i] = unsafe Self.cleaned(source[i]) }
            }
        }
    }

    func holds(_ id: Int32) -> Bool { id >= 0 && Int(id) < count }

    subscript(id: Int32) -> Float {
        get { logits[Int(id)] }
        set { logits[Int(id)] = Self.cleaned(newValue) }
    }

    /// Sets the logits of all tokens outside the mask to negative infinity; tokens beyond the mask's capacity are
    /// outside.
    mutating func keep(_ allowed: TokenMask) {
        for start in stride(from: 0, to: logits.count, by: 64) {
            let word = start < allowed.capacity ? allowed.words[start / 64] : 0
            guard word != .max else { continue }
            for place in start..<min(start + 64, logits.count) where word >> UInt64(place - start) & 1 == 0 {
                logits[place] = -.infinity
            }
        }
    }

    /// The token with the largest logit; nil when all are negative infinity.
    func best() -> (id: Int32, logit: Float)? {
        var largest = Lanes(repeating: -.infinity)
        unsafe logits.withUnsafeBytes { bytes in
            for place in stride(from: 0, to: bytes.count, by: 32) {
                largest = unsafe pointwiseMax(
                    largest, bytes.loadUnaligned(fromByteOffset: place, as: Lanes.self))
            }
        }
        let logit = largest.max()
        guard logit > -.infinity, let place = logits.firstIndex(of: logit) else { return nil }
        return (Int32(place), logit)
    }

    /// The ids of the `wanted` largest logits, the largest first.
    func largest(_ wanted: Int) -> [Int32] {
        guard wanted > 0 else { return [] }
        var kept: [Int32] = []
        var bar = -Float.infinity
        for i in 0..<count where logits[i] > bar || kept.count < wanted && logits[i] > -.infinity {
            let place = kept.firstIndex { logits[Int($0)] < logits[i] } ?? kept.count
            kept.insert(Int32(i), at: place)
            if kept.count > wanted { kept.removeLast() }
            if kept.count == wanted { bar = logits[Int(kept[wanted - 1])] }
        }
        return kept
    }

    /// Sets each weight to exp((logit − best) · scale), and returns the sum of all weights.
    mutating func weigh(relativeTo best: Float, scale: Float) -> Double {
        var sum = 0.0
        unsafe logits.withUnsafeBytes { source in
            unsafe weights.withUnsafeMutableBytes { target in
                for start in stride(from: 0, to: source.count, by: 4 * Self.block) {
                    var part = Lanes.zero
                    for place in stride(from: start, to: min(start + 4 * Self.block, source.count), by: 32) {
                        let logit = unsafe source.loadUnaligned(fromByteOffset: place, as: Lanes.self)
                        let weight = Self.exponential((logit - best) * scale)
                        unsafe target.storeBytes(of: weight, toByteOffset: place, as: Lanes.self)
                        part += weight
                    }
                    sum += Double(part.sum())
                }
            }
        }
        return sum
    }

    /// Computes eˣ for x ≤ 0; the result is 0 below −87.
    private static func exponential(_ x: Lanes) -> Lanes {
        // 2 to a whole power, made from the bits of the exponent, times 2 to a power between −1/2 and 1/2 (Taylor).
        let power = pointwiseMax(x, Lanes(repeating: -87)) * 1.442_695_04
        let magic: Float = 12_582_912  // adding it rounds to an integer, which its lowest bits then hold
        let shifted = power + magic
        let z = (power - (shifted - magic)) * 0.693_147_18
        var sum = z * (1.0 / 720) + (1.0 / 120)
        sum = sum * z + (1.0 / 24)
        sum = sum * z + (1.0 / 6)
        sum = sum * z + 0.5
        sum = sum * z + 1
        sum = sum * z + 1
        let bits =
            SIMD8<UInt32>(truncatingIfNeeded: unsafe unsafeBitCast(shifted, to: SIMD8<UInt32>.self)) &+ 127
        let scale = unsafe unsafeBitCast(bits &<< 23, to: Lanes.self)
        return (sum * scale).replacing(with: 0, where: x .< -87)
    }

    /// Finds the last token that top-k, and then top-p, let pass; nil when all tokens pass.
    func cut(best: Float, scale: Float, topK: Int, topP: Float) -> Cut? {
        var counts = [Int32](repeating: 0, count: Self.bands)
        var masses = [Double](repeating: 0, count: Self.bands)
        let factor = scale * Self.bandsPerUnit
        unsafe logits.withUnsafeBufferPointer { logits in
            unsafe weights.withUnsafeBufferPointer { weights in
                unsafe counts.withUnsafeMutableBufferPointer { counts in
                    unsafe masses.withUnsafeMutableBufferPointer { masses in
                        for i in 0..<logits.count {
                            let band = unsafe Self.band(of: logits[i], best, factor)
                            unsafe masses[band] += unsafe Double(weights[i])
                            unsafe counts[band] += 1
                        }
                    }
                }
            }
        }
        var last: Cut?
        if topK > 0, topK < count {
            var passed = 0
            for band in 0..<Self.bands {
                guard passed + Int(counts[band]) >= topK else {
                    passed += Int(counts[band])
                    continue
                }
                let inside = members(of: band, best, factor, from: nil)
                let kept = inside.prefix(topK - passed)
                last = kept.last.map { Cut(logit: logits[$0], id: Int32($0)) }
                masses[band] = kept.reduce(0) { $0 + Double(weights[$1]) }
                for beyond in (band + 1)..<max(band + 1, Self.bands) { masses[beyond] = 0 }
                break
            }
        }
        guard topP < 1 else { return last }
        let wanted = Double(topP) * masses.reduce(0, +)
        var passed = 0.0
        for band in 0..<Self.bands {
            guard passed + masses[band] >= wanted else {
                passed += masses[band]
                continue
            }
            for i in members(of: band, best, factor, from: last) {
                passed += Double(weights[i])
                last = Cut(logit: logits[i], id: Int32(i))
                if passed >= wanted { break }
            }
            break
        }
        return last
    }

    private static func lanes(_ values: [Float], _ place: Int) -> Lanes {
        unsafe values.withUnsafeBytes { unsafe $0.loadUnaligned(fromByteOffset: 4 * place, as: Lanes.self) }
    }

    /// The band of a logit: its scaled distance from the largest logit, rounded to an integer; the last band has all
    /// larger distances.
    @inline(__always)
    private static func band(of logit: Float, _ best: Float, _ factor: Float) -> Int {
        let distance = (best - logit) * factor
        let limited = distance < Float(bands - 1) ? distance : Float(bands - 1)
        // The lowest bits of such a float are the integer, as in `exponential`.
        return Int((limited + 12_582_912).bitPattern & UInt32(bands - 1))
    }

    /// The places of the tokens in a band, the largest logit first, without those that a cut excludes or whose weight
    /// is 0.
    private func members(of wanted: Int, _ best: Float, _ factor: Float, from cut: Cut?) -> [Int] {
        var places: [Int] = []
        unsafe logits.withUnsafeBufferPointer { logits in
            for i in 0..<logits.count where unsafe Self.band(of: logits[i], best, factor) == wanted {
                places.append(i)
            }
        }
        places.removeAll { place in
            guard let cut else { return weights[place] == 0 }
            return weights[place] == 0 || logits[place] < cut.logit
                || (logits[place] == cut.logit && place > Int(cut.id))
        }
        return places.sorted { logits[$0] > logits[$1] || (logits[$0] == logits[$1] && $0 < $1) }
    }

    /// Draws one of the tokens that pass the cut and have at least a given weight (that of the likeliest token is 1).
    ///
    /// - Parameters:
    ///   - cut: The last token that passes; nil when all pass.
    ///   - minWeight: The smallest weight that passes, from 0 to 1.
    ///   - unit: A random number from 0 up to, but not including, 1.
    /// - Returns: The token; nil when none passes.
    mutating func draw(_ cut: Cut?, minWeight: Float, _ unit: Double) -> Int32? {
        let lowest = max(minWeight, .leastNonzeroMagnitude)
        var masses: [Double] = []
        var total = 0.0
        for start in stride(from: 0, to: logits.count, by: Self.block) {
            var sum = Lanes.zero
            for place in stride(from: start, to: min(start + Self.block, logits.count), by: Self.width) {
                sum += passing(place, cut, lowest)
            }
            masses.append(Double(sum.sum()))
            total += Double(sum.sum())
        }
        var left = unit * total
        var last: Int32?
        for (block, mass) in masses.enumerated() where mass > 0 {
            if left >= mass, masses[(block + 1)...].contains(where: { $0 > 0 }) {
                left -= mass
                continue
            }
            let start = block * Self.block
            for place in stride(from: start, to: min(start + Self.block, logits.count), by: Self.width) {
                let passing = passing(place, cut, lowest)
                for lane in 0..<Self.width where passing[lane] > 0 {
                    last = Int32(place + lane)
                    left -= Double(passing[lane])
                    if left < 0 { return last }
                }
            }
            // Because of rounding a little is left over, which counts for the last token that passes.
            return last
        }
        return last
    }

    /// The weights of eight tokens, with 0 for those that do not pass.
    private func passing(_ place: Int, _ cut: Cut?, _ lowest: Float) -> Lanes {
        let weight = Self.lanes(weights, place)
        let heavy = weight.replacing(with: 0, where: weight .< lowest)
        guard let cut else { return heavy }
        let logit = Self.lanes(logits, place)
        // Among logits equal to the cut's, only the lower ids pass.
        let id = Int(cut.id)
        if place + Self.width <= id { return heavy.replacing(with: 0, where: logit .< cut.logit) }
        if place > id { return heavy.replacing(with: 0, where: logit .<= cut.logit) }
        var kept = heavy.replacing(with: 0, where: logit .< cut.logit)
        for lane in 0..<Self.width where place + lane > id && logit[lane] == cut.logit { kept[lane] = 0 }
        return kept
    }
}
