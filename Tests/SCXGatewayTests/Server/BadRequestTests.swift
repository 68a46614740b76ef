import Foundation
import SCXEngine
import SCXGateway
import SCXInference
import Testing

@Suite("bad requests")
struct BadRequestTests {
    static let chat = "/v1/chat/completions"

    @Test("each has its status and a body that says what is wrong")
    func statuses() async throws {
        let server = try await TestServer.shared.value
        let deep = String(repeating: "[", count: 100_000)
        let cases: [(String, String, String?, Int, String?)] = [
            ("GET", "/nothing", nil, 404, "unknown_url"),
            ("GET", "/v1/chat/completions", nil, 405, "method_not_allowed"),
            ("DELETE", "/health", nil, 405, "method_not_allowed"),
            ("POST", Self.chat, "", 400, "invalid_json"),
            ("POST", Self.chat, "{", 400, "invalid_json"),
            ("POST", Self.chat, "[]", 400, "invalid_json"),
            ("POST", Self.chat, #"{"messages": \#(deep)"#, 400, "invalid_json"),
            ("POST", Self.chat, #"{"messages": 3}"#, 400, nil),
            ("POST", Self.chat, #"{"messages": []}"#, 400, nil),
            (
                "POST", Self.chat, #"{"messages": [{"role": "user"}], "model": "gpt-9"}"#, 404,
                "model_not_found"
            ),
            ("POST", "/v1/completions", #"{"prompt": [99999]}"#, 400, nil),
            ("POST", "/v1/completions", #"{"prompt": "a", "temperature": "hot"}"#, 400, nil),
            ("POST", "/detokenize", #"{"tokens": [1e99]}"#, 400, nil),
            ("GET", "/v1/models/%ff", nil, 404, nil),
            ("GET", "/v1/responses/resp_none", nil, 404, nil),
        ]
        for (method, path, body, status, code) in cases {
            let reply = try await server.send(method, path, [:], body)
            #expect(reply.status == status, "\(method) \(path) \(body?.prefix(60) ?? "")")
            let error = reply.json["error"]
            #expect(error?["message"]?.string?.isEmpty == false)
            #expect(error?["type"]?.string?.isEmpty == false)
            #expect(error?["param"] != nil && error?["code"] != nil)
            if let code { #expect(reply.errorCode == code) }
        }
        let packed = try await server.send("POST", Self.chat, ["Content-Encoding": "gzip"], "{}")
        #expect(packed.status == 415 && packed.errorCode == "unsupported_encoding")
        let plain = try await server.send("POST", Self.chat, ["Content-Encoding": "identity"], "{}")
        #expect(plain.status == 400)
        let words = String(repeating: "word ", count: 3000)
        #expect(try await server.chat(words).errorCode == "context_length_exceeded")
        #expect(try await server.chat("Hello").status == 200)
    }

    @Test("bytes that are no text, and bodies that are too large, are refused")
    func bytes() async throws {
        let server = try await TestServer.shared.value
        let port = server.port
        let replies = try await off { () -> [Int] in
            var statuses: [Int] = []
            let invalid = Array(#"{"prompt": ""#.utf8) + [0xC3, 0x28, 0xFF] + Array(#""}"#.utf8)
            let large = [UInt8](repeating: UInt8(ascii: "a"), count: 10 << 20)
            for body in [invalid, large] {
                let connection = try HTTPConnection(port: port)
                connection.request("POST", "/v1/completions", body: body)
                statuses.append(try connection.reply().status)
            }
            // The same without saying how long it is.
            let connection = try HTTPConnection(port: port)
            connection.send(
                "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in 0..<10 {
                connection.send("100000\r\n")
                connection.send([UInt8](repeating: UInt8(ascii: "a"), count: 1 << 20))
                connection.send("\r\n")
            }
            connection.send("0\r\n\r\n")
            statuses.append(try connection.reply().status)
            return statuses
        }
        #expect(replies == [400, 413, 413])
        #expect(try await server.chat("Hello").status == 200)
    }

    @Test("clients that are slow, silent, gone or flood the server do no harm")
    func hostile() async throws {
        let server = try await TestServer { options in
            options.limits.bodyTime = .milliseconds(200)
        }
        let port = server.port
        try await off {
            // A body that does not come.
            let slow = try HTTPConnection(port: port)
            slow.send("POST \(Self.chat) HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
            let late = try slow.reply()
            #expect(late.status == 408)
            #expect(late.errorCode == "request_timeout")
            // One that ends early.
            let half = try HTTPConnection(port: port)
            half.send("POST \(Self.chat) HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
            half.finishSending()
            _ = try? half.reply()
            // What is no HTTP.
            let garbage = try HTTPConnection(port: port)
            garbage.send([UInt8](repeating: 0x16, count: 200) + Array("\r\n\r\n".utf8))
            #expect((try? garbage.reply().status) ?? 400 == 400)
            // More headers than anybody needs, and one that is too long.
            for headers in [
                (0..<5000).map { "X-\($0): y\r\n" }.joined(),
                "X-Long: " + String(repeating: "z", count: 200_000) + "\r\n",
            ] {
                let flood = try HTTPConnection(port: port)
                flood.send("GET /health HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n")
                #expect((try? flood.reply().status) ?? 400 >= 400)
            }
            // Connections that say nothing.
            let silent = try (0..<100).map { _ in try HTTPConnection(port: port) }
            #expect(silent.count == 100)
            let health = try HTTPConnection(port: port)
            health.request("GET", "/health")
            #expect(try health.reply().status == 200)
        }
        #expect(try await server.chat("Hello").status == 200)
    }

    @Test("a page of another site cannot ask a server that wants no key")
    func foreignPages() async throws {
        let server = try await TestServer.shared.value
        let foreign = try await server.send("GET", "/v1/models", ["Origin": "https://example.org"])
        #expect(foreign.status == 403)
        let own = try await server.send("GET", "/v1/models", ["Origin": "http://localhost"])
        #expect(own.status == 200)
        // A name that somebody else's name server gave this machine.
        let port = server.port
        let statuses = try await off {
            let heads = [
                "Host: example.org\r\nOrigin: http://example.org", "Host: example.org",
                "Host: 127.0.0.1.example.org:80",
                "Host: localhost:1", "Host: LocalHost", "Host: 127.0.0.1", "Host: [::1]:80",
            ]
            return try heads.map { head in
                let connection = try HTTPConnection(port: port)
                connection.send("GET /v1/models HTTP/1.1\r\n\(head)\r\n\r\n")
                return try connection.reply().status
            }
        }
        #expect(statuses == [403, 403, 403, 200, 200, 200, 200])
    }

    @Test("when as many wait as may, the next is told to come again")
    func full() async throws {
        var limits = EngineLoop.Limits.unhurried
        (limits.running, limits.waiting) = (1, 1)
        let server = try await TestServer(limits: limits)
        let replies = try await withThrowingTaskGroup(of: HTTPReply.self) { group in
            for _ in 0..<6 {
                group.addTask { try await server.chat("Hello", tokens: 200, [.init("ignore_eos", true)]) }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        let refused = replies.filter { $0.status == 503 }
        #expect(!refused.isEmpty)
        #expect(
            refused.allSatisfy { $0.headers["retry-after"] != nil && $0.errorCode == "server_overloaded" })
        #expect(replies.filter { $0.status == 200 }.count >= 2)
    }

    @Test("no log, metric or error holds what people write")
    func canaries() async throws {
        let server = try await TestServer()
        let canary = "Zyxwvutsrq"
        var texts: [String] = []
        for profile in ["plain", "scx"] {
            _ = try await server.chat("\(canary) \(canary)", profile: profile)
            _ = try await server.chat(canary, profile: profile, [.init("stream", true)])
            _ = try await server.chat(canary, profile: profile, [.init("scx_view", true)])
        }
        let messages: JSON = [["role": "user", "content": .string(canary)]]
        let bodies: [(String, JSON)] = [
            ("/v1/completions", ["prompt": .string(canary), "max_tokens": 4]),
            ("/v1/embeddings", ["input": .string(canary)]),
            ("/v1/responses", ["input": .string(canary), "max_output_tokens": 16]),
            ("/v1/messages", ["messages": messages, "max_tokens": 4]),
            ("/tokenize", ["prompt": .string(canary)]),
        ]
        for (path, body) in bodies { #expect(try await server.post(path, body).status == 200, "\(path)") }
        // What is wrong with a request says so without its words.
        for body in [
            #"{"messages": "\#(canary)"}"#, #"{"messages": [{"role": "\#(canary)", "content": "x"}]}"#,
            #"{"messages": [{"role": "user", "content": "\#(canary)"}], "temperature": "\#(canary)"}"#,
            #"{"messages": [{"role": "user", "content": "\#(canary)""#,
        ] { texts.append(try await server.send("POST", Self.chat, [:], body).text) }
        _ = try await server.send("GET", "/\(canary)")
        _ = try await server.send(
            "GET", "/health?q=\(canary)", ["User-Agent": canary, "X-Request-ID": canary])
        texts += [server.log, server.metrics.text([])]
        #expect(server.log.contains("route=/v1/chat/completions"))
        for text in texts { #expect(!text.contains(canary)) }
    }
}
