package import SCXAttestation

/// What servers are verified by: the same for every connection, while key and nonce are each connection's own.
package struct ServerVerifier: Sendable {
    package var policy: Policy
    /// Certificates and collateral of this side, beside those that a server sends.
    package var files: [Collateral.File]
    /// The root keys that are trusted.
    ///
    /// Programs have no option for it: only tests name others than the vendors'.
    package var roots: TrustRoots
    /// The time at which everything must be valid.
    package var now: @Sendable () -> Instant

    package init(
        policy: Policy, files: [Collateral.File] = [], roots: TrustRoots = .vendors,
        now: @escaping @Sendable () -> Instant = { .now }
    ) {
        (self.policy, self.files, self.roots, self.now) = (policy, files, roots, now)
    }
}
