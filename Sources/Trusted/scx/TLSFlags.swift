import ArgumentParser
import SCX

/// Who this side is and whom it trusts, for workers over TCP.
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
        /// - Throws: `ValidationError` when one is not named.
        func files() throws -> TLSFiles {
            guard let tlsCert, let tlsKey, let tlsCa else {
                throw ValidationError("a worker at 'tcp://…' needs '--tls-cert', '--tls-key' and '--tls-ca'.")
            }
            return TLSFiles(certificate: tlsCert, key: tlsKey, trusted: tlsCa)
        }
    #endif
}
