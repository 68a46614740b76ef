import Crypto

/// Recognises a picture that was computed before, without keeping its pixels.
package struct PictureDigest: Hashable, Sendable {
    /// HMAC-SHA-256, so that who reads it later cannot try pictures.
    private let bytes: [UInt8]
    /// Of this process alone: digests are not stored.
    private static let key = SymmetricKey(size: .bits256)

    /// Computes the digest of a picture's pixels.
    package init(_ pixels: ArraySlice<Float>) {
        bytes = unsafe pixels.withUnsafeBytes {
            unsafe Array(HMAC<SHA256>.authenticationCode(for: $0, using: Self.key))
        }
    }
}
