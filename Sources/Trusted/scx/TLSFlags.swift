import ArgumentParser

#if Network
    import SCXLinkTLS
#endif

/// Who this side is and whom it trusts, for workers over TCP.
struct TLSFlags: ParsableArguments {
    @Option(help: "This side's certificate for a worker over TCP, PEM (scx keys new).")
    var tlsCert: String?

    @Option(help: "The private key to it, PEM, readable by its owner only.")
    var tlsKey: String?

    @Option(help: "The certificate of the worker, PEM (scx keys trust).")
    var tlsCa: String?

    #if Network
        func identity() throws -> TLSIdentity {
            guard let tlsCert, let tlsKey, let tlsCa else {
                throw ValidationError("a worker at 'tcp://…' needs '--tls-cert', '--tls-key' and '--tls-ca'.")
            }
            return try TLSIdentity(certificate: tlsCert, key: tlsKey, trusted: tlsCa)
        }
    #endif
}
