import Foundation
import SCXEngine
import SCXGateway
import SCXInference
import Testing

@Suite("server")
struct ServerTests {
    static let questions = [
        "What are the symptoms of asthma?", "Who should I call?", "Write a short letter to a patient.",
        "Hello",
    ]

    @Test("a request gets the tokens alone that it gets among 16 others", arguments: ["plain", "scx"])
    func equality(profile: String) async throws {
        let server = try await TestServer.shared.value
        var alone: [String?] = []
        for question in Self.questions {
            alone.append(try await server.chat(question, profile: profile, tokens: 24).answer)
        }
        #expect(alone.allSatisfy { $0?.isEmpty == false })
        let together = try await withThrowingTaskGroup(of: (Int, String?).self) { group in
            for number in 0..<17 {
                group.addTask {
                    (
                        number,
                        try await server.chat(
                            Self.questions[number % 4], profile: profile, tokens: 24,
                            [.init("cache_salt", .string("own \(number)"))]
                        ).answer
                    )
                }
            }
            return try await group.reduce(into: [Int: String]()) { $0[$1.0] = $1.1 }
        }
        for number in 0..<17 { #expect(together[number] == alone[number % 4]) }
    }

    @Test("a stream begins with the role, ends with the reason, the usage and [DONE]")
    func stream() async throws {
        let server = try await TestServer.shared.value
        let reply = try await server.chat(
            "Hello", tokens: 5,
            [.init("stream", true), .init("stream_options", ["include_usage": true])])
        #expect(reply.status == 200)
        #expect(reply.headers["content-type"] == "text/event-stream; charset=utf-8")
        #expect(reply.headers["x-scx-profile"] == "plain")
        let events = reply.events
        #expect(events.last == "[DONE]")
        let chunks = try events.dropLast().map { try JSON(parsing: $0) }
        let deltas = chunks.compactMap { $0["choices"]?.array?.first }
        #expect(deltas.first?["delta"]?["role"]?.string == "assistant")
        #expect(deltas.last?["finish_reason"]?.string == "length")
        let text = deltas.compactMap { $0["delta"]?["content"]?.string }.joined()
        #expect(text == (try await server.chat("Hello", tokens: 5).answer))
        #expect(chunks.last?["usage"]?["completion_tokens"]?.int == 5)
        #expect((chunks.last?["scx"]?["exchanges"]?.int ?? 0) > 0)
    }

    @Test("an answer is held to a schema, and a call that is asked for is made", arguments: ["plain", "scx"])
    func constrained(profile: String) async throws {
        let server = try await TestServer.shared.value
        let schema: JSON = [
            "type": "object", "additionalProperties": false, "required": ["name", "age"],
            "properties": [
                "name": ["type": "string", "maxLength": 12],
                "age": ["type": "integer", "minimum": 0, "maximum": 120],
            ],
        ]
        let format: JSON = ["type": "json_schema", "json_schema": ["name": "person", "schema": schema]]
        let reply = try await server.chat(
            "Who is ill?", profile: profile, tokens: 200, [.init("response_format", format)])
        let person = try JSON(parsing: reply.answer ?? "")
        #expect(person["name"]?.string != nil)
        #expect(person["age"]?.int != nil)

        let tool: JSON = ["type": "function", "function": ["name": "find_patient", "parameters": schema]]
        let called = try await server.chat(
            "Find Ann.", profile: profile, tokens: 240,
            [.init("tools", [tool]), .init("tool_choice", "required")])
        let choice = called.json["choices"]?.array?.first
        let call = choice?["message"]?["tool_calls"]?.array?.first?["function"]
        #expect(choice?["finish_reason"]?.string == "tool_calls")
        #expect(call?["name"]?.string == "find_patient")
        #expect(try JSON(parsing: call?["arguments"]?.string ?? "")["age"]?.int != nil)
    }

    @Test("an embedding is the same in every profile, and another for another text")
    func embeddings() async throws {
        let server = try await TestServer.shared.value
        func embed(_ text: String, _ profile: String) async throws -> [Double] {
            let reply = try await server.post(
                "/v1/embeddings", ["input": .string(text)], ["x-scx-profile": profile])
            return reply.json["data"]?.array?.first?["embedding"]?.array?.compactMap(\.double) ?? []
        }
        let plain = try await embed("a cough at night", "plain")
        let scx = try await embed("a cough at night", "scx")
        let other = try await embed("a letter", "plain")
        #expect(plain.count == 192 || plain.count > 16)
        let largest = plain.map { abs($0) }.max() ?? 0
        let error = zip(plain, scx).map { abs($0 - $1) }.max() ?? .infinity
        #expect(error < 1e-3 * largest)
        #expect(plain != other)
    }

    @Test("log-probabilities of a prompt are those of its tokens, whichever profile computes them")
    func echo() async throws {
        let server = try await TestServer.shared.value
        func echo(_ profile: String) async throws -> [Double] {
            let reply = try await server.post(
                "/v1/completions",
                [
                    "prompt": [0, 3, 203, 363, 393, 281], "max_tokens": 1, "echo": true, "logprobs": 1,
                    "temperature": 0,
                ], ["x-scx-profile": profile])
            let logprobs = reply.json["choices"]?.array?.first?["logprobs"]?["token_logprobs"]?.array
            #expect(logprobs?.count == 7)
            #expect(logprobs?.first?.isNull == true)
            return logprobs?.compactMap(\.double) ?? []
        }
        let plain = try await echo("plain")
        let scx = try await echo("scx")
        #expect(plain.count == 6)
        #expect(zip(plain, scx).allSatisfy { abs($0 - $1) < 1e-3 })
        #expect(plain.allSatisfy { $0 <= 0 })
    }

    @Test("a conversation goes on where it was; another key or salt finds nothing")
    func reuse() async throws {
        let keys = FileManager.default.temporaryDirectory.appending(path: "keys-\(UUID().uuidString)")
        try Data("ann 0123456789abcdef\nbob fedcba9876543210 # the other\n".utf8).write(to: keys)
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: keys.path)
        defer { try? FileManager.default.removeItem(at: keys) }
        let server = try await TestServer { options in options.keys = try APIKeys(file: keys.path) }
        let ann = ["Authorization": "Bearer 0123456789abcdef"]
        let bob = ["X-API-Key": "fedcba9876543210"]
        func ask(_ messages: JSON, _ headers: [String: String], salt: String? = nil) async throws -> HTTPReply
        {
            var body: [JSON.Member] = [
                .init("messages", messages), .init("temperature", .int(0)), .init("max_tokens", .int(8)),
            ]
            if let salt { body.append(.init("cache_salt", .string(salt))) }
            return try await server.post("/v1/chat/completions", .object(body), headers)
        }
        let question: JSON = ["role": "user", "content": "What are the symptoms of asthma?"]
        let first = try await ask([question], ann)
        #expect(first.status == 200)
        let turns: JSON = [
            question, ["role": "assistant", "content": .string(first.answer ?? "")],
            ["role": "user", "content": "And at night?"],
        ]
        #expect(try await ask(turns, bob).cachedTokens == 0)
        #expect(try await ask(turns, ann, salt: "other").cachedTokens == 0)
        #expect((try await ask(turns, ann).cachedTokens ?? 0) > 8)
        // Another conversation begins alike: without a salt it shares nothing, with the same one it does.
        let like: JSON = [["role": "user", "content": "What are the symptoms of asthma in children?"]]
        #expect(try await ask(like, ann).cachedTokens == 0)
        #expect((try await ask(like, ann, salt: "other").cachedTokens ?? 0) >= 8)
        #expect(try await ask(like, ann, salt: "third").cachedTokens == 0)
        #expect(try await ask(like, [:]).status == 401)
        #expect(
            try await ask(like, ["Authorization": "Bearer nobody-has-this-key"]).errorCode
                == "invalid_api_key")
        #expect(!server.log.contains("0123456789abcdef"))
    }

    @Test("an answer that nobody waits for is not computed to its end")
    func cancelled() async throws {
        let server = try await TestServer()
        let port = server.port
        let body = JSON.object([
            .init("messages", [["role": "user", "content": "Hello"]]), .init("max_tokens", .int(900)),
            .init("ignore_eos", true), .init("stream", true),
        ])
        try await off {
            let connection = try HTTPConnection(port: port)
            connection.request("POST", "/v1/chat/completions", body: Array(body.text.utf8))
            for _ in 0..<12 { _ = try connection.line() }
        }
        #expect(await server.becomesIdle())
        // One that is not streamed.
        try await off {
            let connection = try HTTPConnection(port: port)
            let whole = body.text.replacingOccurrences(of: "\"stream\":true", with: "\"stream\":false")
            connection.request("POST", "/v1/chat/completions", body: Array(whole.utf8))
            // It goes once the answer has begun, and not before the request was taken.
            for _ in 0..<60_000 where server.busy == 0 { Thread.sleep(forTimeInterval: 0.01) }
        }
        #expect(await server.becomesIdle())
        let count = "scx_requests_cancelled_total{model_name=\"ward-3m\",profile=\"plain\"} 2"
        for _ in 0..<60_000 where !server.metrics.text([]).contains(count) {
            try await Task.sleep(for: .milliseconds(10))
        }
        let isCounted = server.metrics.text([]).contains(count)
        #expect(isCounted)
        #expect(try await server.chat("Hello").status == 200)
    }

    @Test("a client that goes while its stream waits for its turn leaves its place")
    func leavesQueue() async throws {
        var limits = EngineLoop.Limits.unhurried
        limits.running = 1
        let server = try await TestServer(limits: limits)
        let port = server.port
        let body = #"{"prompt": "Hello", "n": 4, "max_tokens": 1000, "ignore_eos": true, "stream": true}"#
        try await off {
            let first = try HTTPConnection(port: port)
            first.request("POST", "/v1/completions", body: Array(body.utf8))
            for _ in 0..<10 { _ = try first.line() }
            var others = try (0..<4).map { _ in try HTTPConnection(port: port) }
            for other in others { other.request("POST", "/v1/completions", body: Array(body.utf8)) }
            func wait(until holds: () -> Bool) -> Bool {
                for _ in 0..<100_000 where !holds() { Thread.sleep(forTimeInterval: 0.005) }
                return holds()
            }
            // Three of the first's four answers wait, and four of each other's.
            let isQueued = wait { server.waiting > 3 }
            #expect(isQueued)
            others = []
            let isAlone = wait { server.waiting <= 3 }
            #expect(isAlone)
            // The first still runs: nobody's turn has come meanwhile.
            #expect(server.busy > 0)
        }
    }

    @Test("what the worker saw of an answer is shown once, to who asked")
    func view() async throws {
        let server = try await TestServer.shared.value
        let reply = try await server.chat("Hello", tokens: 4, [.init("scx_view", true)])
        let id = try #require(reply.json["id"])
        let view = try await server.post("/scx/view", ["id": id])
        #expect(view.status == 200)
        #expect(view.json["profile"]?.string == "plain")
        #expect((view.json["attacks"]?.array?.count ?? 0) > 0)
        #expect(try await server.post("/scx/view", ["id": id]).errorCode == "view_not_found")
        // Others may run together again.
        #expect(try await server.chat("Hello").status == 200)
        #expect(try await server.send("GET", "/").text.contains("<html"))
    }

    @Test("other machines are served with TLS and keys only")
    func insecure() {
        var options = GatewayServer.Options()
        #expect(options.problem == nil)
        options.host = "0.0.0.0"
        #expect(options.problem?.contains("--https-cert") == true)
        options.tls = .files(certificate: "cert.pem", key: "key.pem")
        #expect(options.problem?.contains("--api-keys") == true)
        options.isInsecure = true
        #expect(options.problem == nil)
    }
}
