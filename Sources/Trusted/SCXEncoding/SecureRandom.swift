import Crypto
import Foundation

/// The generator of all keys: the key stream of ChaCha20, seeded by the system.
///
/// Each refill encrypts zeros under a key that is used for nothing else. The first 32 bytes of the stream become the
/// next key, and bytes are erased when they are handed out. So somebody who reads this memory later cannot compute
/// what was drawn before (Bernstein 2017, "Fast-key-erasure random-number generators").
///
/// It is noncopyable, since a copy would hand out the same numbers twice. Keys accept no other generator, so a seeded
/// generator of a test cannot be used for one.
package struct SecureRandom: ~Copyable, Sendable {
    private static let keyBytes = 32
    private var key: SymmetricKey
    /// The words that were not handed out yet, from `next` on.
    private var words: SecretBuffer<UInt32>
    private var next: Int

    /// Makes a generator with a key from the system.
    ///
    /// - Parameter bufferBytes: How many bytes are drawn at once; a multiple of 4.
    package init(bufferBytes: Int = 1 << 14) {
        precondition(bufferBytes > 0 && bufferBytes % 4 == 0, "SecureRandom: size of the buffer")
        key = SymmetricKey(size: .bits256)
        words = SecretBuffer(repeating: 0, count: bufferBytes / 4)
        next = words.count
    }

    /// Draws 32 uniform bits.
    package mutating func word() -> UInt32 {
        if next == words.count { refill() }
        let index = next
        next += 1
        var span = words.mutableSpan
        let word = span[index]
        span[index] = 0
        return word
    }

    /// Draws a uniform number below `bound`, without bias: Lemire 2019, "Fast Random Integer Generation in an
    /// Interval".
    ///
    /// - Precondition: `bound` is positive.
    package mutating func number(below bound: UInt32) -> UInt32 {
        precondition(bound > 0, "SecureRandom: no number below zero")
        var product = UInt64(word()) * UInt64(bound)
        if UInt32(truncatingIfNeeded: product) < bound {
            let reject = (0 &- bound) % bound
            while UInt32(truncatingIfNeeded: product) < reject { product = UInt64(word()) * UInt64(bound) }
        }
        return UInt32(product >> 32)
    }

    /// Draws a uniform number strictly between 0 and 1.
    package mutating func unit() -> Double { (Double(word()) + 0.5) * 0x1p-32 }

    /// Draws a Laplace variable of mean 0: density `e^(−|x| / scale) / (2 · scale)`, up to 22 scales.
    package mutating func laplace(scale: Float) -> Float { Float(laplace()) * scale }

    /// No drawn Laplace variable is beyond this many scales; one in 10⁹ would be.
    static let mostScales = 22.0

    /// Draws a Laplace variable of mean 0 and scale 1.
    ///
    /// The lowest bit of a word is the sign, the others give the magnitude's probability. One in 256 is a small
    /// probability, of which a second word gives more bits. So the values that can be drawn lie close together
    /// everywhere, and which of them was drawn does not tell to what it was added.
    mutating func laplace() -> Double {
        while true {
            let bits = word()
            var probability = (Double(bits >> 1) + 0.5) * 0x1p-31
            if bits >> 24 == 0 {
                probability = (Double(bits >> 1) + (Double(word()) + 0.5) * 0x1p-32) * 0x1p-31
            }
            let magnitude = -log(probability)
            if magnitude <= Self.mostScales { return bits & 1 == 0 ? magnitude : -magnitude }
        }
    }

    /// Draws two independent variables of the standard normal distribution, by Box and Muller.
    package mutating func normalPair() -> (Float, Float) {
        let radius = (-2 * log(unit())).squareRoot()
        let angle = 2 * Double.pi * unit()
        return (Float(radius * cos(angle)), Float(radius * sin(angle)))
    }

    private mutating func refill() {
        let count = words.count * 4
        // The key is new in each refill, so the nonce can always be the same.
        guard let nonce = try? ChaChaPoly.Nonce(data: [UInt8](repeating: 0, count: 12)),
            // The box is freed at once, so that the stream below is the only copy.
            var stream = try? ChaChaPoly.seal(Data(count: Self.keyBytes + count), using: key, nonce: nonce)
                .ciphertext
        else { preconditionFailure("SecureRandom: the cipher failed") }
        var target = words.mutableSpan
        var nextKey = SymmetricKey(data: [UInt8](repeating: 0, count: Self.keyBytes))
        unsafe stream.withUnsafeMutableBytes { bytes in
            unsafe nextKey = SymmetricKey(data: UnsafeRawBufferPointer(rebasing: bytes[..<Self.keyBytes]))
            let words = unsafe UnsafeRawBufferPointer(rebasing: bytes[Self.keyBytes...])
            unsafe target.withUnsafeMutableBytes { unsafe $0.copyMemory(from: words) }
            if let start = bytes.baseAddress { unsafe zeroize(start, byteCount: bytes.count) }
        }
        key = nextKey
        next = 0
    }
}
