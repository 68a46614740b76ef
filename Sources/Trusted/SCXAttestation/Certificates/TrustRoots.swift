/// The keys in which all trust ends: SHA-256 of their `SubjectPublicKeyInfo`.
///
/// A root's certificate still comes from a file; it counts when its key has one of these digests and has signed it.
package struct TrustRoots: Sendable {
    package let amd: [Product: [UInt8]]
    package let intel: [UInt8]

    /// - Parameters:
    ///   - amd: Digests of 32 bytes of the AMD root keys (ARK), by product.
    ///   - intel: Digest of 32 bytes of the Intel root key.
    package init(amd: [Product: [UInt8]], intel: [UInt8]) {
        self.amd = amd
        self.intel = intel
    }

    /// The vendors' own.
    ///
    /// AMD's are of the certificates at `https://kdsintf.amd.com/vcek/v1/PRODUCT/cert_chain` (document 57230), with serial
    /// numbers 0x10000, 0x20000 and 0x30000. Intel's is of
    /// `https://certificates.trustedservices.intel.com/Intel_SGX_Provisioning_Certification_RootCA.cer`. Computed by
    /// `openssl x509 -pubkey -noout | openssl pkey -pubin -outform der | sha256sum`.
    package static let vendors = TrustRoots(
        amd: [
            .milan: digest("9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9"),
            .genoa: digest("429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831"),
            .turin: digest("4f125410563a2ab9a50356f9243f6fe0b6f73de98603f53f90339c70e9d7ad08"),
        ],
        intel: digest("a0af031289f5d5d4132f9186068a7fc13628633ba235777472e29b6b6c67a49e"))

    private static func digest(_ text: String) -> [UInt8] {
        guard let bytes = Hex.bytes(text), bytes.count == 32 else {
            preconditionFailure("TrustRoots: \(text)")
        }
        return bytes
    }
}
