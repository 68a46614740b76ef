import SCXGateway
import SCXInference
import Testing

/// Bodies that a client asks about before it sends them, and those that are not taken.
@Suite("bodies that are announced or refused")
struct RefusedBodyTests {
    private static let path = "/v1/completions"
    private static let body = Array(#"{"prompt": "The patient", "max_tokens": 1}"#.utf8)

    /// A request's header.
    private static func head(
        _ path: String = Self.path, length: Int, version: String = "1.1", expecting: String = "100-continue"
    ) -> String {
        "POST \(path) HTTP/\(version)\r\nHost: localhost\r\nContent-Length: \(length)\r\nExpect: \(expecting)\r\n\r\n"
    }

    @Test("a client that expects it is told to go on, and keeps its connection")
    func goesOn() async throws {
        let server = try await TestServer.shared.value
        let port = server.port
        try await off {
            let connection = try HTTPConnection(port: port)
            for _ in 0..<2 {
                connection.send(Self.head(length: Self.body.count, expecting: "100-Continue"))
                #expect(try connection.line() == "HTTP/1.1 100 Continue")
                while try !connection.line().isEmpty {}
                connection.send(Self.body)
                let reply = try connection.reply()
                #expect(reply.status == 200)
                #expect(reply.headers["connection"] != "close")
            }
            // Who does not wait, or cannot know of it, is not told.
            connection.send(Array(Self.head(length: Self.body.count).utf8) + Self.body)
            var reply = try connection.reply()
            if reply.status == 100 { reply = try connection.reply() }
            #expect(reply.status == 200)
            let old = try HTTPConnection(port: port)
            old.send(Self.head(length: Self.body.count, version: "1.0"))
            old.send(Self.body)
            #expect(try old.reply().status == 200)
        }
    }

    @Test(
        "a body that would be refused is not asked for",
        arguments: [
            (Self.path, 9 << 20, "100-continue", 413, "request_too_large"),
            ("/v1/nothing", 10, "100-continue", 404, "unknown_url"),
            (Self.path, 10, "a-miracle", 417, "unknown_expectation"),
        ])
    func refused(path: String, length: Int, expecting: String, status: Int, code: String) async throws {
        let server = try await TestServer.shared.value
        let port = server.port
        try await off {
            let connection = try HTTPConnection(port: port)
            connection.send(Self.head(path, length: length, expecting: expecting))
            let reply = try connection.reply()
            #expect(reply.status == status)
            #expect(reply.errorCode == code)
            #expect(reply.headers["connection"] == "close")
            connection.finishSending()
            #expect(connection.isAtEnd())
        }
    }

    @Test("a client that sends its whole body before it reads is told that it is too large")
    func sendsAll() async throws {
        let server = try await TestServer.shared.value
        let port = server.port
        try await off {
            let connection = try HTTPConnection(port: port)
            connection.request("POST", Self.path, body: [UInt8](repeating: 0x61, count: 48 << 20))
            let reply = try connection.reply()
            #expect(reply.status == 413)
            #expect(reply.headers["connection"] == "close")
            // The whole body was read, so there is nothing to wait for.
            #expect(connection.isAtEnd())
        }
        #expect(try await server.chat("Hello").status == 200)
    }

    @Test("no more than a limited part of a refused body is read")
    func bytes() async throws {
        let server = try await TestServer { $0.limits.refusedBytes = 1 << 20 }
        let port = server.port
        try await off {
            let connection = try HTTPConnection(port: port)
            connection.send(
                "POST \(Self.path) HTTP/1.1\r\nHost: localhost\r\nContent-Length: \(1 << 40)\r\n\r\n")
            let reply = try connection.reply()
            #expect(reply.status == 413)
            // Ends when the server closes.
            let part = [UInt8](repeating: 0x61, count: 1 << 20)
            while !connection.hasEnded { connection.send(part) }
        }
    }

    @Test("a refused body that does not come is not waited for without an end")
    func time() async throws {
        let server = try await TestServer { $0.limits.refusedTime = .milliseconds(50) }
        let port = server.port
        try await off {
            let connection = try HTTPConnection(port: port)
            connection.send(Self.head(length: 1 << 30))
            #expect(try connection.reply().status == 413)
            #expect(connection.isAtEnd())
        }
    }
}
