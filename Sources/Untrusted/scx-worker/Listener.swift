import Foundation
import SCXLink
import SCXLinkTLS
import SCXWorker

/// Takes connections and has each served on a thread of its own.
enum Listener {
    case unix(UnixListener)
    case tls(TLSServer)

    /// - Parameters:
    ///   - address: Where to listen.
    ///   - identity: Who this worker is and whom it trusts; needed for TCP.
    /// - Throws: ``LinkError`` that names the address.
    init(_ address: ListenAddress, _ identity: TLSIdentity?) throws(LinkError) {
        switch address {
        case .unix(let path): self = .unix(try UnixListener(path: path))
        case .tcp(let host, let port):
            guard let identity else { throw .unreachable("\(address): TLS needs certificates") }
            self = .tls(
                try TLSServer(host: host, port: port, identity: identity) { log("refused: \($0)") })
        }
    }

    /// Accepts until the listener fails.
    func run(_ server: WorkerServer) throws(LinkError) {
        while true {
            do throws(LinkError) {
                switch self {
                case .unix(let listener):
                    let socket = try listener.accept(before: .never)
                    Self.serve(server, socket) { () throws(LinkError) in
                        try SharedMemoryStream.accept(upgrading: socket)
                    }
                case .tls(let listener):
                    let stream = try listener.accept()
                    Self.serve(server, stream) { stream }
                }
            } catch {
                // One connection that went away before it was taken is no reason to stop.
                guard case .timedOut = error else { throw error }
            }
        }
    }

    /// Serves a connection on its own thread.
    ///
    /// - Parameters:
    ///   - server: Serves it.
    ///   - bytes: The connection as it came, to be closed whatever happens.
    ///   - prepare: Makes what is read from and written to; may wait for the peer.
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
