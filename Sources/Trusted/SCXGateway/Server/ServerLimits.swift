/// Limits on what clients may send to a server, and on how long they may take.
package struct ServerLimits: Equatable, Sendable {
    /// The largest body of a request, in bytes.
    package var bodyBytes = 8 << 20
    /// How long a body may take to arrive.
    package var bodyTime = Duration.seconds(30)
    /// After a request was refused: how long, and how many bytes of its body, the server goes on reading before it closes
    /// the connection, so that a client that sends all before it reads sees the answer.
    package var refusedTime = Duration.seconds(30)
    package var refusedBytes = 64 << 20
    /// How long a client may take to read a part of its answer, and how long a connection may be idle.
    package var clientTime = Duration.seconds(60)
    /// How long TLS, and then the header of a request, may take to arrive.
    package var headerTime = Duration.seconds(10)
    /// The most connections at once.
    package var connections = 1024
    /// The most connections of one address at once.
    package var connectionsOfAddress = 256
    /// How long running answers have to end after SIGTERM.
    package var drainTime = Duration.seconds(60)
    /// The host names under which this server may be asked; its addresses always may be used.
    package var hosts = ["localhost", "127.0.0.1", "[::1]"]

    /// Origins of web pages that may send requests, beside the server's own; `*` for all.
    package var origins: [String] = []

    package init() {}

    /// Whether a Host header names this server: by one of its names, or by any address, which nobody's name is.
    func isOwnHost(_ host: String) -> Bool {
        if host.hasPrefix("[") { return true }
        let name = host.prefix { $0 != ":" }
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil } || hosts.contains(name.lowercased())
    }
}
