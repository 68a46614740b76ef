import Foundation
import SCXGateway
import SCXInference
import Testing

/// Pages of other origins, which browsers keep from asking unless the server allows it.
@Suite("pages of other origins")
struct CrossOriginTests {
    static let origin = "https://chat.example.org"

    @Test("a page that is allowed asks, after its browser asked whether it may")
    func allowed() async throws {
        let server = try await TestServer { $0.limits.origins = [Self.origin] }
        let preflight = try await server.send(
            "OPTIONS", "/v1/chat/completions",
            [
                "Origin": Self.origin, "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization,content-type",
            ])
        #expect(preflight.status == 204)
        #expect(preflight.headers["access-control-allow-origin"] == Self.origin)
        #expect(preflight.headers["access-control-allow-methods"] == "POST")
        #expect(preflight.headers["access-control-allow-headers"] == "authorization,content-type")
        let reply = try await server.send("GET", "/v1/models", ["Origin": Self.origin])
        #expect(reply.status == 200 && reply.headers["access-control-allow-origin"] == Self.origin)
        #expect(reply.headers["vary"] == "origin")
        // Errors too can be read by the page.
        let missing = try await server.send("GET", "/nothing", ["Origin": Self.origin])
        #expect(missing.status == 404 && missing.headers["access-control-allow-origin"] == Self.origin)
    }

    @Test("other pages are refused, and their browsers told nothing")
    func refused() async throws {
        let server = try await TestServer { $0.limits.origins = [Self.origin] }
        for origin in ["https://example.org", "http://chat.example.org", "null"] {
            let reply = try await server.send("GET", "/v1/models", ["Origin": origin])
            #expect(reply.status == 403 && reply.headers["access-control-allow-origin"] == nil)
            let preflight = try await server.send(
                "OPTIONS", "/v1/models", ["Origin": origin, "Access-Control-Request-Method": "GET"])
            #expect(preflight.status == 405 && preflight.headers["access-control-allow-origin"] == nil)
        }
        // Nor is an allowed page served under a name that somebody else's name server gave this machine.
        let port = server.port
        let rebound = try await off {
            let connection = try HTTPConnection(port: port)
            connection.send(
                "GET /v1/models HTTP/1.1\r\nHost: example.org\r\nOrigin: \(Self.origin)\r\n\r\n")
            return try connection.reply().status
        }
        #expect(rebound == 403)
    }

    @Test("without allowed origins responses say nothing of them")
    func none() async throws {
        let server = try await TestServer.shared.value
        let reply = try await server.send("GET", "/v1/models")
        #expect(reply.headers["vary"] == nil && reply.headers["access-control-allow-origin"] == nil)
    }

    @Test("an origin is a scheme and a host")
    func origins() {
        for text in ["https://a.org", "http://localhost:3000", "chrome-extension://abc", "*"] {
            #expect(ServerLimits.isOrigin(text))
        }
        for text in ["", "a.org", "https://", "https://a.org/", "https://A.org", "https://a b", "://x"] {
            #expect(!ServerLimits.isOrigin(text))
        }
    }
}
