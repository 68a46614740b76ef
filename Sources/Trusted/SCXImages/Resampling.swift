#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// How a picture is resized, with PIL's numbers.
///
/// The results are those of `Image.resize` of Pillow 13 to the bit: a pass over rows and one over columns, each with
/// weights in fixed point and results rounded to bytes. Pixels of the source that a new pixel covers are weighted by a
/// filter that widens with the scale (Pillow's documentation, "Filters").
enum Resampling: Int, Sendable, CaseIterable {
    case nearest = 0
    case lanczos = 1
    case bilinear = 2
    case bicubic = 3
    case box = 4
    case hamming = 5

    /// How far the filter reaches at scale 1, in pixels.
    private var support: Double {
        switch self {
        case .nearest: 0
        case .box: 0.5
        case .bilinear, .hamming: 1
        case .bicubic: 2
        case .lanczos: 3
        }
    }

    /// The filter's weight at a distance of `x` pixels.
    private func weight(_ x: Double) -> Double {
        let distance = abs(x)
        switch self {
        case .nearest: return 0
        case .box: return x > -0.5 && x <= 0.5 ? 1 : 0
        case .bilinear: return distance < 1 ? 1 - distance : 0
        case .hamming:
            if distance == 0 { return 1 }
            guard distance < 1 else { return 0 }
            let angle = distance * .pi
            // Both constants are float32 in Pillow.
            return sin(angle) / angle * (Double(0.54 as Float) + Double(0.46 as Float) * cos(angle))
        case .bicubic:
            // The cubic of Keys with a = -1/2.
            if distance < 1 { return ((-0.5 + 2) * distance - (-0.5 + 3)) * distance * distance + 1 }
            guard distance < 2 else { return 0 }
            return (((distance - 5) * distance + 8) * distance - 4) * -0.5
        case .lanczos:
            return x >= -3 && x < 3 ? Self.sinc(x) * Self.sinc(x / 3) : 0
        }
    }

    private static func sinc(_ x: Double) -> Double {
        x == 0 ? 1 : sin(x * .pi) / (x * .pi)
    }

    /// Fractional bits of weights: 8 of 32 hold a result, and 2 its overflow.
    private static let fractionBits = 22

    /// Which pixels of a row or column make up a new one, and with which weights.
    private struct Taps {
        /// The first pixel of each new one, and how many there are.
        var ranges: [(first: Int, count: Int)] = []
        /// The weights of each new pixel, `stride` for each.
        var weights: [Int32] = []
        let stride: Int
    }

    private func taps(from old: Int, to new: Int) -> Taps {
        let scale = Double(old) / Double(new)
        // Where a picture grows, the filter does not shrink.
        let filterScale = max(scale, 1)
        let reach = support * filterScale
        var taps = Taps(stride: Int(reach.rounded(.up)) * 2 + 1)
        taps.ranges.reserveCapacity(new)
        taps.weights.reserveCapacity(new * taps.stride)
        for i in 0..<new {
            let center = (Double(i) + 0.5) * scale
            let first = max(0, Int(center - reach + 0.5))
            let count = max(0, min(old, Int(center + reach + 0.5)) - first)
            var weights = (0..<count).map { weight((Double($0 + first) - center + 0.5) * (1 / filterScale)) }
            let sum = weights.reduce(0, +)
            if sum != 0 { weights = weights.map { $0 / sum } }
            taps.ranges.append((first, count))
            for weight in weights {
                let scaled = weight * Double(1 << Self.fractionBits)
                taps.weights.append(Int32(weight < 0 ? scaled - 0.5 : scaled + 0.5))
            }
            taps.weights.append(contentsOf: repeatElement(0, count: taps.stride - count))
        }
        return taps
    }

    /// Resizes a picture.
    ///
    /// - Returns: A picture of that size; the same picture if it has it already.
    func resize(_ picture: Picture, width: Int, height: Int) -> Picture {
        guard (width, height) != (picture.width, picture.height) else { return picture }
        guard self != .nearest else { return Self.nearest(picture, width: width, height: height) }
        // The order changes how often values are rounded: since version 13 Pillow begins with the columns where the
        // height loses more than twice as many pixels as the width (measured; before, rows always came first).
        let columnsFirst = picture.height > height && picture.height - height > 2 * (picture.width - width)
        var bytes = picture.bytes
        if columnsFirst {
            bytes = Self.columns(bytes, width: picture.width, taps(from: picture.height, to: height))
        }
        if width != picture.width {
            bytes = Self.rows(
                bytes, width: picture.width, height: columnsFirst ? height : picture.height,
                taps(from: picture.width, to: width))
        }
        if !columnsFirst, height != picture.height {
            bytes = Self.columns(bytes, width: width, taps(from: picture.height, to: height))
        }
        return Picture(width: width, height: height, bytes: bytes)
    }

    /// The sum of weighted bytes as a byte.
    @inline(__always)
    private static func byte(_ sum: Int32) -> UInt8 { UInt8(clamping: sum >> Int32(fractionBits)) }

    /// Resizes each row.
    private static func rows(_ bytes: [UInt8], width: Int, height: Int, _ taps: Taps) -> [UInt8] {
        precondition(bytes.count == width * height * 3)
        precondition(taps.ranges.allSatisfy { $0.first + $0.count <= width && $0.count <= taps.stride })
        precondition(taps.weights.count == taps.ranges.count * taps.stride)
        var result = [UInt8](repeating: 0, count: height * taps.ranges.count * 3)
        let (bytes, weights) = (bytes.span, taps.weights.span)
        var pixels = result.mutableSpan
        var at = 0
        for y in 0..<height {
            for (i, range) in taps.ranges.enumerated() {
                var (red, green, blue): (Int32, Int32, Int32) = (half, half, half)
                var from = (y * width + range.first) * 3
                for k in i * taps.stride..<i * taps.stride + range.count {
                    // All places are inside, by the conditions above.
                    let weight = unsafe weights[unchecked: k]
                    red &+= Int32(unsafe bytes[unchecked: from]) &* weight
                    green &+= Int32(unsafe bytes[unchecked: from + 1]) &* weight
                    blue &+= Int32(unsafe bytes[unchecked: from + 2]) &* weight
                    from += 3
                }
                pixels[at] = byte(red)
                pixels[at + 1] = byte(green)
                pixels[at + 2] = byte(blue)
                at += 3
            }
        }
        return result
    }

    /// Resizes each column of rows that have `width` pixels.
    private static func columns(_ bytes: [UInt8], width: Int, _ taps: Taps) -> [UInt8] {
        let length = width * 3
        precondition(taps.ranges.allSatisfy { ($0.first + $0.count) * length <= bytes.count })
        precondition(taps.weights.count == taps.ranges.count * taps.stride)
        var result = [UInt8](repeating: 0, count: taps.ranges.count * length)
        var sums = [Int32](repeating: 0, count: length)
        for (i, range) in taps.ranges.enumerated() {
            for x in 0..<length { sums[x] = half }
            for k in 0..<range.count {
                let weight = taps.weights[i * taps.stride + k]
                let from = (range.first + k) * length
                for x in 0..<length { sums[x] &+= Int32(bytes[from + x]) &* weight }
            }
            for x in 0..<length { result[i * length + x] = byte(sums[x]) }
        }
        return result
    }

    /// One half in fixed point, by which sums are rounded.
    private static let half: Int32 = 1 << Int32(fractionBits - 1)

    /// Takes for each new pixel the one at its place.
    private static func nearest(_ picture: Picture, width: Int, height: Int) -> Picture {
        // Pillow adds the scale up, so its rounding errors add up as well.
        func places(_ old: Int, _ new: Int) -> [Int] {
            let scale = Double(old) / Double(new)
            var place = scale * 0.5
            return (0..<new).map { _ in
                defer { place += scale }
                return min(Int(place), old - 1)
            }
        }
        let columns = places(picture.width, width)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(width * height * 3)
        for row in places(picture.height, height) {
            for column in columns {
                let from = (row * picture.width + column) * 3
                bytes.append(contentsOf: picture.bytes[from..<from + 3])
            }
        }
        return Picture(width: width, height: height, bytes: bytes)
    }
}
