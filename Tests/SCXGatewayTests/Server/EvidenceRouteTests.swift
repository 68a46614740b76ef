import Foundation
import Logging
import SCXGateway
import SCXInference
import Synchronization
import Testing

/// The routes that attested servers, and those who give them secrets, add to a server.
@Suite("routes of attestation")
struct EvidenceRouteTests {
    /// Runs a body against a server with both routes, whose answers say what they were asked.
    private func serving(_ body: @escaping @Sendable (_ port: Int) async throws -> Void) async throws {
        var routes = RouteTable(
            secretsQuestion: { "0011" },
            decide: { key, document in
                key == "good"
                    ? .given(Array("{\"sealed\": \"\(document)\"}".utf8)) : .refused(["501 reportData: no"])
            })
        routes.addAttestation { nonce throws(APIError) in
            guard nonce[0] != 0xff else {
                throw APIError(
                    status: 503, "No evidence could be had.", type: "server_error", code: "no_evidence")
            }
            return nonce
        }
        var options = GatewayServer.Options()
        options.port = 0
        options.limits.headerTime = .seconds(86_400)
        options.limits.bodyTime = .seconds(86_400)
        let logger = Logger(label: "scx") { RedactedLog(label: $0, level: .critical) { _ in } }
        let observer = ServerObserver(metrics: ServerMetrics(model: "", profiles: []), logger: logger)
        let server = GatewayServer(options: options, routes: routes, observer: observer)
        let (ports, found) = AsyncStream<Int>.makeStream()
        let task = Task {
            defer { found.finish() }
            try await server.run { found.yield($0) }
        }
        defer { task.cancel() }
        guard let port = await ports.first(where: { _ in true }) else { return try await task.value }
        try await body(port)
    }

    private func ask(
        _ port: Int, _ method: String, _ path: String, _ body: String? = nil
    ) async throws -> HTTPReply {
        try await off {
            let connection = try HTTPConnection(port: port)
            connection.request(method, path, [:], body: body.map { Array($0.utf8) })
            return try connection.reply()
        }
    }

    @Test("A nonce reaches the evidence as it was sent, and anything else is refused")
    func nonces() async throws {
        try await serving { port in
            let nonce = (0..<32).map { UInt8($0) }
            let digits = nonce.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
            let path = "/.well-known/scx-attestation"
            for query in ["nonce=\(digits)", "a=b&nonce=\(digits.uppercased())"] {
                let reply = try await ask(port, "GET", "\(path)?\(query)")
                #expect(reply.status == 200)
                #expect(reply.body == nonce)
                #expect(reply.headers["cache-control"] == "no-store")
            }
            for query in [
                "", "?", "?nonce=", "?nonce=00", "?nonce=\(digits)0", "?nonce=\(digits.dropLast())g",
                "?Nonce=\(digits)",
            ] {
                let reply = try await ask(port, "GET", path + query)
                #expect(reply.status == 400, "\(query)")
            }
            let failed = try await ask(port, "GET", "\(path)?nonce=\(String(repeating: "f", count: 64))")
            #expect(failed.status == 503)
            #expect(try await ask(port, "POST", path, "{}").status == 405)
        }
    }

    @Test("A server of secrets asks, gives and refuses, and has no other routes")
    func secrets() async throws {
        try await serving { port in
            let question = try await ask(port, "GET", "/scx/secrets")
            #expect(question.status == 200)
            #expect(try JSON(parsing: question.body.span)["nonce"]?.string == "0011")
            let given = try await ask(port, "POST", "/scx/secrets", #"{"key": "good", "document": "d"}"#)
            #expect(given.status == 200)
            #expect(String(decoding: given.body, as: UTF8.self) == #"{"sealed": "d"}"#)
            let refused = try await ask(port, "POST", "/scx/secrets", #"{"key": "bad", "document": "d"}"#)
            #expect(refused.status == 403)
            #expect(String(decoding: refused.body, as: UTF8.self).contains("501 reportData: no"))
            for body in ["{}", #"{"key": "good"}"#, #"{"key": 1, "document": "d"}"#, "[]", "x"] {
                #expect(try await ask(port, "POST", "/scx/secrets", body).status == 400, "\(body)")
            }
            #expect(try await ask(port, "GET", "/health").status == 200)
            #expect(try await ask(port, "POST", "/v1/chat/completions", "{}").status == 404)
        }
    }
}
