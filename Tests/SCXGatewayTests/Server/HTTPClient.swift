import Foundation
import SCXInference

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// What a server answered.
struct HTTPReply: Sendable {
    let status: Int
    /// Names in lower case.
    let headers: [String: String]
    let body: [UInt8]

    var text: String { String(decoding: body, as: UTF8.self) }

    var json: JSON { (try? JSON(parsing: body.span)) ?? .null }

    /// The data of server-sent events.
    var events: [String] {
        text.split(separator: "\n\n").compactMap { event in
            event.split(separator: "\n").first { $0.hasPrefix("data: ") }.map { String($0.dropFirst(6)) }
        }
    }
}

/// A connection to a server on this machine, byte by byte, for what well-behaved clients never do.
///
/// Blocks, without a limit on time: use it through `off(_:)`.
final class HTTPConnection {
    struct Broken: Error {}

    private let descriptor: Int32
    private var buffer: [UInt8] = []

    init(port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw Broken() }
    }

    deinit { close(descriptor) }

    /// Sends as much as the server takes.
    func send(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let sent = unsafe rest.withUnsafeBytes {
                unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard sent > 0 else { return }
            rest = rest.dropFirst(sent)
        }
    }

    func send(_ text: String) { send(Array(text.utf8)) }

    /// Says that nothing more will be sent.
    func finishSending() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Sends a whole request.
    func request(_ method: String, _ path: String, _ headers: [String: String] = [:], body: [UInt8]? = nil) {
        var text = "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\n"
        for (name, value) in headers { text += "\(name): \(value)\r\n" }
        if let body { text += "Content-Length: \(body.count)\r\n" }
        send(Array((text + "\r\n").utf8) + (body ?? []))
    }

    /// Waits until the connection ends; false when something comes in place of that.
    func isAtEnd() -> Bool { seesEnd(0) }

    /// Whether the connection has ended by now.
    var hasEnded: Bool { seesEnd(Int32(MSG_DONTWAIT)) }

    private func seesEnd(_ flags: Int32) -> Bool {
        var byte: UInt8 = 0
        let count = unsafe recv(descriptor, &byte, 1, flags | Int32(MSG_PEEK))
        return count == 0 || count < 0 && errno == ECONNRESET
    }

    /// Reads more bytes; false at the end.
    private func fill() -> Bool {
        var part = [UInt8](repeating: 0, count: 65_536)
        let count = unsafe part.withUnsafeMutableBytes {
            unsafe recv(descriptor, $0.baseAddress, $0.count, 0)
        }
        guard count > 0 else { return false }
        buffer += part.prefix(count)
        return true
    }

    /// The next line, without its end.
    func line() throws -> String {
        while true {
            if let end = buffer.firstIndex(of: 10) {
                defer { buffer.removeFirst(end + 1) }
                return String(decoding: buffer[..<end].filter { $0 != 13 }, as: UTF8.self)
            }
            guard fill() else { throw Broken() }
        }
    }

    private func bytes(_ count: Int) throws -> [UInt8] {
        while buffer.count < count { guard fill() else { throw Broken() } }
        defer { buffer.removeFirst(count) }
        return Array(buffer.prefix(count))
    }

    /// The next response, whole.
    func reply() throws -> HTTPReply {
        let words = try line().split(separator: " ")
        guard words.count > 1, let status = Int(words[1]) else { throw Broken() }
        var headers: [String: String] = [:]
        while case let line = try line(), !line.isEmpty {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { throw Broken() }
            headers[parts[0].lowercased()] = parts[1].drop { $0 == " " }.description
        }
        var body: [UInt8] = []
        if headers["transfer-encoding"] == "chunked" {
            while let size = Int(try line(), radix: 16) {
                body += try bytes(size)
                _ = try line()
                if size == 0 { break }
            }
        } else {
            body = try bytes(headers["content-length"].flatMap { Int($0) } ?? 0)
        }
        return HTTPReply(status: status, headers: headers, body: body)
    }
}

/// Runs blocking work on a thread of its own, so that it takes none from the server under test.
func off<Result: Sendable>(_ work: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Swift.Result { try work() }) }
    }
}
