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
