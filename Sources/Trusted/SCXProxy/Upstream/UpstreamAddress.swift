import NIOCore

/// Where an attested server is: `https://HOST` or `https://HOST:PORT`.
package struct UpstreamAddress: Equatable, Sendable, CustomStringConvertible {
    package let host: String
    package let port: Int

    /// Reads an address.
    ///
    /// - Returns: Nil for another scheme than `https`, a path, a query or a user name, and for what is no host or port.
    package init?(_ text: String) {
        guard text.utf8.count <= 512, text.hasPrefix("https://") else { return nil }
        var rest = text.dropFirst("https://".count)
        if rest.hasSuffix("/") { rest = rest.dropLast() }
        let host: Substring
        let isLiteral = rest.hasPrefix("[")
        if isLiteral {
            guard let end = rest.firstIndex(of: "]") else { return nil }
            host = rest[..<end].dropFirst()
            rest = rest[end...].dropFirst()
        } else {
            host = rest.prefix { $0 != ":" }
            rest = rest[host.endIndex...]
        }
        let isHost = host.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "."), UInt8(ascii: "-"),
                UInt8(ascii: "_"):
                true
            case UInt8(ascii: ":"): isLiteral
            default: false
            }
        }
        guard !host.isEmpty, host.utf8.count <= 255, isHost else { return nil }
        if isLiteral, (try? SocketAddress(ipAddress: String(host), port: 443)) == nil { return nil }
        var port = 443
        if !rest.isEmpty {
            let digits = rest.dropFirst()
            guard rest.hasPrefix(":"), !digits.isEmpty,
                digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
                let number = UInt16(digits), number > 0
            else { return nil }
            port = Int(number)
        }
        (self.host, self.port) = (host.lowercased(), port)
    }

    /// What a Host header says.
    var authority: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return port == 443 ? name : "\(name):\(port)"
    }

    /// The name that TLS tells the server; nil for an address in numbers, which TLS does not tell.
    var serverName: String? {
        (try? SocketAddress(ipAddress: host, port: port)) == nil ? host : nil
    }

    package var description: String { "https://\(authority)" }
}
