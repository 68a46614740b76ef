import Foundation
import SCXLink
import SCXWorker

/// Takes connections and has each served on a thread of its own.
struct Listener {
    private let unix: UnixListener

    init(_ address: ListenAddress) throws(LinkError) {
        switch address {
        case .unix(let path): unix = try UnixListener(path: path)
        }
    }

    /// Accepts until the listener fails.
    func run(_ server: WorkerServer) throws(LinkError) {
        while true {
            let socket: SocketStream
            do throws(LinkError) { socket = try unix.accept(before: .never) } catch {
                // One connection that went away before it was taken is no reason to stop.
                guard case .timedOut = error else { throw error }
                continue
            }
            let thread = Thread {
                if let error = server.serve(socket) { log("a connection ended: \(error)") }
            }
            thread.stackSize = 1 << 20
            thread.start()
        }
    }
}
