package import ArgumentParser

/// The flags for TLS to workers over TCP: this side's key and certificate, and the certificates that it trusts.
package struct TLSFlags: ParsableArguments {
    @Option(help: "This side's certificate for a worker over TCP, PEM (scx keys new).")
    package var tlsCert: String?

    @Option(help: "The private key to it, PEM, readable by its owner only.")
    package var tlsKey: String?

    @Option(help: "The certificate of the worker, PEM (scx keys trust).")
    package var tlsCa: String?

    package init() {}

    /// The files that the flags name.
    ///
    /// - Returns: Their paths.
    /// - Throws: `ValidationError` when a flag is missing.
    package func paths() throws -> (certificate: String, key: String, trusted: String) {
        guard let tlsCert, let tlsKey, let tlsCa else {
            throw ValidationError("a worker at 'tcp://…' needs '--tls-cert', '--tls-key' and '--tls-ca'.")
        }
        return (tlsCert, tlsKey, tlsCa)
    }
}
