import ArgumentParser
import SCX

/// The flags for TLS to workers over TCP: this side's key and certificate, and the certificates that it trusts.
struct TLSFlags: ParsableArguments {
    @Option(help: "This side's certificate for a worker over TCP, PEM (scx keys new).")
    var tlsCert: String?

    @Option(help: "The private key to it, PEM, readable by its owner only.")
    var tlsKey: String?

    @Option(help: "The certificate of the worker, PEM (scx keys trust).")
    var tlsCa: String?

    #if Network
        /// The files that the flags name.
        ///
        /// - Throws: `ValidationError` when a flag is missing.
        func files() throws -> TLSFiles {
            guard let tlsCert, let tlsKey, let tlsCa else {
                throw ValidationError("a worker at 'tcp://…' needs '--tls-cert', '--tls-key' and '--tls-ca'.")
            }
            return TLSFiles(certificate: tlsCert, key: tlsKey, trusted: tlsCa)
        }
    #endif
}
