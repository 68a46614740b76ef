/// The address in `tcp://HOST:PORT`.
public struct HostAndPort: Equatable, Sendable {
    public let host: String
    public let port: Int

    /// Reads an address; a host with colons, such as an IPv6 address, must be in brackets.
    public init?(_ text: String) {
        guard text.hasPrefix("tcp://"), let colon = text.lastIndex(of: ":") else { return nil }
        let host = text[text.index(text.startIndex, offsetBy: 6)..<colon]
        guard let port = Int(text[text.index(after: colon)...]), (0...65535).contains(port) else {
            return nil
        }
        if host.hasPrefix("["), host.hasSuffix("]") {
            self.host = String(host.dropFirst().dropLast())
        } else {
            guard !host.contains(":") else { return nil }
            self.host = String(host)
        }
        guard !self.host.isEmpty else { return nil }
        self.port = port
    }
}

/// Where a worker listens, as both sides' flags name it.
public enum LinkAddress: Equatable, Sendable, CustomStringConvertible {
    case unix(path: String)
    case tcp(host: String, port: Int)

    /// Reads `unix:PATH` or `tcp://HOST:PORT`; nil for anything else.
    public init?(_ text: String) {
        if text.hasPrefix("unix:"), text.count > 5 {
            self = .unix(path: String(text.dropFirst(5)))
        } else if let address = HostAndPort(text) {
            self = .tcp(host: address.host, port: address.port)
        } else {
            return nil
        }
    }

    public var description: String {
        switch self {
        case .unix(let path): "unix:\(path)"
        case .tcp(let host, let port): "tcp://\(host):\(port)"
        }
    }
}
