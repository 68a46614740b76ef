import CSCXSystem

/// Who is at the other end of a connection, as far as a TLS handshake and this machine can tell.
///
/// Two connections that have one of these values in common lead to one owner, whatever addresses were used to
/// connect.
public struct RemoteEnd: Equatable, Sendable {
    /// SHA-256 of the public key that the other end has proved to hold: the DER form of its certificate's
    /// SubjectPublicKeyInfo.
    ///
    /// Nil without TLS.
    public var key: [UInt8]?
    /// Its numeric address and port; nil for a Unix socket.
    public var address: String?
    /// The path of a Unix socket.
    public var path: String?
    /// The other end's process, if it runs on this machine and the system tells which it is.
    public var process: LocalProcess?

    /// An end of which nothing is known.
    public init() {}
}

/// A process of this machine, distinguished from a later process with the same number.
public struct LocalProcess: Hashable, Sendable {
    /// Its process number.
    public let number: Int32
    /// When the process started, in a unit of the system's; 0 when that is not known.
    public let start: UInt64

    /// Looks up a running process.
    ///
    /// - Parameter number: Its process number; nil is returned for one that is not positive.
    public init?(number: Int32) {
        guard number > 0 else { return nil }
        self.number = number
        start = cscx_process_start(number)
    }

    /// Finds the process that holds the other end of a TCP connection within this machine.
    ///
    /// It takes milliseconds, and finds only processes that this user may look at.
    ///
    /// - Parameters:
    ///   - own: The port of this end.
    ///   - other: The port of the other end.
    public init?(loopbackPort own: Int, other: Int) {
        self.init(number: cscx_loopback_process(Int32(clamping: own), Int32(clamping: other)))
    }
}

extension UnixSocket {
    /// Whether two paths lead to the same socket now, also through symbolic and hard links.
    public static func isSame(_ a: String, _ b: String) -> Bool {
        var (first, second) = (cscx_file_identity(), cscx_file_identity())
        guard unsafe cscx_identify_target(a, &first) == 0, unsafe cscx_identify_target(b, &second) == 0 else {
            return a == b
        }
        return (first.device, first.inode) == (second.device, second.inode)
    }
}
