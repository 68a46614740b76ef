import SCXLink

#if Network
    import SCXLinkTLS
#endif

/// Makes connections to a worker that is tested.
struct TestedPlace: Sendable {
    let address: LinkAddress
    #if Network
        let identity: TLSIdentity?
    #endif

    /// Over TCP and TLS a worker's last words may be lost, because it closes while bytes are on their way to it.
    var losesLastWords: Bool {
        if case .tcp = address { true } else { false }
    }

    /// The socket's path; nil for a worker over TCP.
    var path: String? {
        if case .unix(let path) = address { path } else { nil }
    }

    /// Makes a connection, without shared memory.
    func connect(before deadline: Deadline) throws(LinkError) -> any ByteStream {
        switch address {
        case .unix(let path): return try UnixSocket.connect(path: path, before: deadline)
        case .tcp(let host, let port):
            #if Network
                guard let identity else { throw .unreachable("\(address): TLS needs certificates") }
                return try TLSClient.connect(host: host, port: port, identity: identity, before: deadline)
            #else
                throw .unreachable(
                    "\(address) needs the trait 'Network', which this build left out; run: swift build -c release"
                )
            #endif
        }
    }
}
