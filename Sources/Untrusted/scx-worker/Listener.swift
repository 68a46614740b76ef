import Foundation
import SCXLink
import SCXWorker

#if Network
    import SCXLinkTLS
#endif

/// Accepts connections and serves each on a thread of its own.
enum Listener {
    case unix(UnixListener)
    #if Network
        case tls(TLSServer)
    #endif

    /// Begins to listen.
    ///
    /// - Parameters:
    ///   - address: Where to listen.
    ///   - identity: This worker's certificate and key, and whom it trusts; needed for TCP.
    /// - Throws: ``LinkError`` that names the address.
    init(_ address: LinkAddress, _ identity: TLSIdentity?) throws(LinkError) {
        switch address {
        case .unix(let path): self = .unix(try UnixListener(path: path))
        case .tcp(let host, let port):
            #if Network
                guard let identity else { throw .unreachable("\(address): TLS needs certificates") }
                self = .tls(
                    try TLSServer(host: host, port: port, identity: identity) { log("refused: \($0)") })
            #else
                throw .unreachable(WithoutNetwork.reason(host, port))
            #endif
        }
    }

    /// Accepts connections until the listener fails.
    func run(_ server: WorkerServer) throws(LinkError) {
        while true {
            do throws(LinkError) {
                switch self {
                case .unix(let listener):
                    let socket = try listener.accept(before: .never)
                    Self.serve(server, socket) { () throws(LinkError) in
                        try SharedMemoryStream.accept(upgrading: socket)
                    }
                #if Network
                    case .tls(let listener):
                        let stream = try listener.accept()
                        Self.serve(server, stream) { stream }
                #endif
                }
            } catch {
                // A connection that ended before it was accepted is no reason to stop.
                guard case .timedOut = error else { throw error }
            }
        }
    }

    /// Serves a connection on its own thread.
    ///
    /// - Parameters:
    ///   - server: Serves it.
    ///   - bytes: The connection as it was accepted, which is closed in any case.
    ///   - prepare: Makes the stream to serve of the connection; it may wait for the peer.
    private static func serve(
        _ server: WorkerServer, _ bytes: any ByteStream,
        _ prepare: @escaping @Sendable () throws(LinkError) -> any ByteStream
    ) {
        let thread = Thread {
            defer { bytes.close() }
            do throws(LinkError) {
                if let error = server.serve(try prepare()) { throw error }
            } catch {
                log("a connection ended: \(error)")
            }
        }
        thread.stackSize = 1 << 20
        thread.start()
    }
}
