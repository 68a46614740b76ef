#if !Network
    /// Stands for who this worker is to others: nobody, because TLS was left out of this build.
    enum TLSIdentity {}

    /// What this program says where it would need what was left out of it.
    enum WithoutNetwork {
        /// Why an address over TCP cannot be listened on, and what to do.
        static func reason(_ host: String, _ port: Int) -> String {
            "tcp://\(host):\(port) needs the trait 'Network', which this build left out; run: swift build -c release"
        }
    }
#endif
