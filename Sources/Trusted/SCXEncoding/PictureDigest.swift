import Crypto

/// Recognises a picture that was computed before, without keeping its pixels.
package struct PictureDigest: Hashable, Sendable {
    /// SHA-256.
    private let bytes: [UInt8]

    /// Computes the digest of a picture's pixels.
    package init(_ pixels: ArraySlice<Float>) {
        bytes = unsafe pixels.withUnsafeBytes { unsafe Array(SHA256.hash(data: $0)) }
    }
}
