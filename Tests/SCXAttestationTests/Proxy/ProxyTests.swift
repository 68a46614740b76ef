import Crypto
import Foundation
import NIOCore
import SCXAttestation
import SCXGateway
import SCXInference
import SCXProxy
import Testing

/// The endpoint on the user's machine, over real connections on both sides, with evidence of a made chain.
struct ProxyTests {
    /// A proxy on a free port, which ends with its last reference.
    private final class Proxy: Sendable {
        let upstream: AttestedUpstream
        let port: Int
        private let task: Task<Void, any Error>

        init(
            _ server: MadeServer, _ verifier: ServerVerifier, connections: Int = 16, waiting: Int = 256
        ) async throws {
            let upstream = AttestedUpstream(
                try server.address, verifier: verifier, times: .unhurried, connections: connections,
                waiting: waiting, logger: silent)
            var options = GatewayServer.Options()
            options.port = 0
            // A busy machine is no slow client.
            options.limits.headerTime = .seconds(86_400)
            options.limits.clientTime = .seconds(86_400)
            let proxy = ProxyServer(upstream, options: options, interval: 300, logger: silent)
            let (ports, found) = AsyncStream<Int>.makeStream()
            let task = Task {
                defer { found.finish() }
                try await proxy.run { found.yield($0) }
            }
            guard let port = await ports.first(where: { _ in true }) else {
                try await task.value
                throw Missing(what: "port")
            }
            (self.upstream, self.port, self.task) = (upstream, port, task)
        }

        deinit { task.cancel() }
    }

    private static let secretHeaders =
        "Host: localhost\r\nAuthorization: Bearer SECRET-KEY\r\nX-Mine: SECRET-HEADER\r\n"

    /// Asks a proxy with a request whose every part is a secret.
    private func askSecretly(_ proxy: Proxy) async throws -> LocalReply {
        try await fetch(
            port: proxy.port, "/v1/SECRET-PATH?q=SECRET-QUERY", method: "POST", headers: Self.secretHeaders,
            body: "SECRET-BODY")
    }

    @Test("A request reaches a verified server whole, and its answer comes back")
    func forwards() async throws {
        let attestation = try MadeAttestation()
        let server = try await MadeServer(
            attestation.answers { request in
                let names = request.headers.map { "\($0.name.lowercased()): \($0.value)" }.sorted()
                return .text(
                    "\(request.method) \(request.uri)\n\(names.joined(separator: "\n"))\n\(request.body)",
                    status: 201,
                    headers: [
                        ("x-scx-profile", "sealed"), ("set-cookie", "a=b"),
                        ("access-control-allow-origin", "*"),
                    ])
            })
        let proxy = try await Proxy(server, attestation.verifier())
        #expect(await proxy.upstream.verify().isAccepted)
        let reply = try await fetch(
            port: proxy.port, "/v1/chat/completions?x=1", method: "POST",
            headers: Self.secretHeaders + "Cookie: mine=1\r\nTE: trailers\r\nKeep-Alive: 5\r\n",
            body: "{\"a\": 1}")
        #expect(reply.status == 201)
        #expect(reply.head.contains("x-scx-profile: sealed"))
        #expect(!reply.head.contains("set-cookie") && !reply.head.contains("access-control"))
        #expect(
            reply.body == """
                POST /v1/chat/completions?x=1
                authorization: Bearer SECRET-KEY
                content-length: 8
                host: localhost:\(server.port)
                x-mine: SECRET-HEADER
                {"a": 1}
                """)
        // The first verification's connection is used, and again and again.
        for _ in 0..<3 { #expect(try await fetch(port: proxy.port, "/v1/models").status == 201) }
        #expect(server.opened == 1)
        #expect(try await fetch(port: proxy.port, "/upstream/health").body.hasPrefix("GET /health\n"))
        #expect(try await fetch(port: proxy.port, "/upstream").body.hasPrefix("GET /\n"))
        #expect(try await fetch(port: proxy.port, "/v1/models", method: "HEAD").body.isEmpty)
    }

    @Test(
        "Nothing of a request is sent to a man in the middle: not without evidence, and not with that of the real server"
    )
    func manInTheMiddle() async throws {
        let attestation = try MadeAttestation()
        let real = Array(P256.Signing.PrivateKey().publicKey.derRepresentation)
        let server = try await MadeServer { _, _ in .text("{}", status: 404) }
        let proxy = try await Proxy(server, attestation.verifier())
        // Before the first verification there is not even a connection.
        let early = try await askSecretly(proxy)
        #expect(early.status == 502 && early.errorCode == "upstream_not_accepted")
        #expect(server.opened == 0)

        await proxy.upstream.verify()
        let without = try await askSecretly(proxy)
        #expect(without.status == 502 && without.numbers == [106])
        server.answer { request, _ in
            guard let nonce = request.nonce else { return .text("SECRET") }
            return .answer(try attestation.document(key: real, nonce: nonce).json)
        }
        await proxy.upstream.verify()
        let relayed = try await askSecretly(proxy)
        #expect(relayed.status == 502 && relayed.numbers == [501, 522])
        #expect(server.opened == 2, "a request makes no connection to a server that is refused")
        #expect(server.wire.contains("GET /.well-known/scx-attestation?nonce="))
        #expect(!server.wire.contains("SECRET") && !server.wire.lowercased().contains("authorization"))
        let health = try await fetch(port: proxy.port, "/health")
        #expect(health.status == 503 && health.numbers == [501, 522])
        #expect(health.json["status"]?.string == "refused")
    }

    @Test("Nothing is sent to a man in the middle who comes after the server was accepted")
    func laterManInTheMiddle() async throws {
        let attestation = try MadeAttestation()
        let real = P256.Signing.PrivateKey()
        let realKey = Array(real.publicKey.derRepresentation)
        // Each answer ends its connection, so that each request needs another.
        let server = try await MadeServer(
            key: real, attestation.answers { _ in .text("answer", headers: [("connection", "close")]) })
        let proxy = try await Proxy(server, attestation.verifier())
        await proxy.upstream.verify()
        #expect(try await askSecretly(proxy).body == "answer")
        #expect(try await askSecretly(proxy).body == "answer")
        server.forgetWire()
        server.use(P256.Signing.PrivateKey())
        server.answer { request, _ in
            guard let nonce = request.nonce else { return .text("SECRET") }
            return .answer(try attestation.document(key: realKey, nonce: nonce).json)
        }
        let reply = try await askSecretly(proxy)
        #expect(reply.status == 502 && reply.numbers == [501, 522])
        #expect(server.wire.contains("GET /.well-known/scx-attestation?nonce="))
        #expect(!server.wire.contains("SECRET"))
    }

    @Test("An answer is whole, though its server closes the connection behind it")
    func closedBehindAnswer() async throws {
        let attestation = try MadeAttestation()
        let text = String(repeating: "0123456789", count: 40_000)
        let server = try await MadeServer(
            attestation.answers { _ in .text(text, headers: [("connection", "close")]) })
        let proxy = try await Proxy(server, attestation.verifier())
        await proxy.upstream.verify()
        for _ in 0..<8 {
            let reply = try await askSecretly(proxy)
            #expect(reply.status == 200 && reply.body == text)
        }
    }

    @Test("Another key is accepted with evidence of its own alone, and is the one that is shown then")
    func otherKey() async throws {
        let attestation = try MadeAttestation()
        let server = try await MadeServer(
            attestation.answers { _ in .text("answer", headers: [("connection", "close")]) })
        let proxy = try await Proxy(server, attestation.verifier())
        await proxy.upstream.verify()
        let first = try await fetch(port: proxy.port, "/health").json["key"]?.string
        #expect(try await askSecretly(proxy).status == 200)
        let other = P256.Signing.PrivateKey()
        server.use(other)
        #expect(try await askSecretly(proxy).status == 200)
        let second = try await fetch(port: proxy.port, "/health").json["key"]?.string
        #expect(first != second)
        #expect(second == Hex.text(SHA256.hash(data: other.publicKey.derRepresentation)))
    }

    @Test(
        "Each part of a streamed answer comes when it is sent, and a failed verification breaks the stream off"
    )
    func streamsAndSchedule() async throws {
        let attestation = try MadeAttestation()
        let (parts, more) = AsyncStream<String>.makeStream()
        let server = try await MadeServer(attestation.answers { _ in .stream(parts) })
        let proxy = try await Proxy(server, attestation.verifier())
        await proxy.upstream.verify()
        try await withClient(port: proxy.port) { client in
            try await client.send(
                "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
            more.yield("data: first\n\n")
            try await client.read(until: "data: first\n\n")
            more.yield("data: second\n\n")
            try await client.read(until: "data: second\n\n")

            // The schedule's next verification succeeds, and leaves the stream alone.
            #expect(await proxy.upstream.verify().isAccepted)
            more.yield("data: third\n\n")
            try await client.read(until: "data: third\n\n")

            var debug = attestation
            debug.report.changes[0x0a] = [0x0b]
            server.answer(debug.answers { _ in .text("SECRET") })
            #expect(await proxy.upstream.verify().isAccepted == false)
            await client.readToEnd()
            #expect(!client.text.hasSuffix("0\r\n\r\n"), "it does not look complete")
        }
        server.forgetWire()
        let refused = try await askSecretly(proxy)
        #expect(refused.status == 502 && refused.numbers == [504])
        #expect(server.wire.isEmpty)

        server.answer(attestation.answers { _ in .text("again") })
        #expect(await proxy.upstream.verify().isAccepted)
        #expect(try await askSecretly(proxy).body == "again")
        more.finish()
    }

    @Test("The schedule verifies again each time that its pause is over")
    func watch() async throws {
        struct Enough: Error {}
        let attestation = try MadeAttestation()
        let server = try await MadeServer(attestation.answers { _ in .text("answer") })
        let proxy = try await Proxy(server, attestation.verifier())
        await proxy.upstream.verify()
        await #expect(throws: Enough.self) {
            try await proxy.upstream.watch { trust in
                #expect(trust.isAccepted)
                if server.opened == 4 { throw Enough() }
            }
        }
        // Those that were verified before are closed.
        await eventually { server.closed == 3 }
        let counts = await proxy.upstream.connectionCounts
        #expect(counts.idle == 1 && counts.all == 1)
        #expect(try await askSecretly(proxy).status == 200)
        #expect(server.opened == 4)
    }

    @Test("A body is passed on as it comes")
    func upload() async throws {
        let attestation = try MadeAttestation()
        let server = try await MadeServer(attestation.answers { .text("got \($0.body)") })
        let proxy = try await Proxy(server, attestation.verifier())
        await proxy.upstream.verify()
        try await withClient(port: proxy.port) { client in
            try await client.send(
                "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            await eventually { server.wire.contains("first") }
            try await client.send("6\r\nsecond\r\n0\r\n\r\n")
            try await client.read(until: "got firstsecond")
        }
    }

    @Test("An answer that begins before the body has ended is passed on, and ends the server's connection")
    func earlyAnswer() async throws {
        let attestation = try MadeAttestation()
        let server = try await MadeServer(
            attestation.answers { _ in .text("too large", status: 413) })
        let proxy = try await Proxy(server, attestation.verifier())
        await proxy.upstream.verify()
        try await withClient(port: proxy.port) { client in
            try await client.send(
                "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\(MadeServer.early): 1\r\n\r\nbeginning"
            )
            try await client.read(until: "too large")
        }
        #expect(server.wire.lowercased().contains("content-length: 1000000"))
        await eventually { server.closed == 1 }
        #expect(try await askSecretly(proxy).status == 413)
    }

    @Test("A client that holds its body back is told when to send it")
    func continues() async throws {
        let attestation = try MadeAttestation()
        let server = try await MadeServer(attestation.answers { _ in .text("whole") })
        let proxy = try await Proxy(server, attestation.verifier())
        await proxy.upstream.verify()
        try await withClient(port: proxy.port) { client in
            try await client.send(
                "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n"
            )
            try await client.read(until: "HTTP/1.1 100 Continue\r\n")
            try await client.send(String(repeating: "a", count: 100))
            try await client.read(until: "whole")
        }
    }

    @Test("When a client goes, the server's connection ends, and the next request has another")
    func clientGoes() async throws {
        let attestation = try MadeAttestation()
        let server = try await MadeServer(
            attestation.answers { $0.uri == "/v1/slow" ? .silence : .text("answer") })
        let proxy = try await Proxy(server, attestation.verifier(), connections: 1)
        await proxy.upstream.verify()
        try await withClient(port: proxy.port) { client in
            try await client.send("GET /v1/slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await eventually { server.wire.contains("/v1/slow") }
        }
        await eventually { server.closed == 1 }
        #expect(try await fetch(port: proxy.port, "/v1/models").body == "answer")
        #expect(server.opened == 2)
    }

    @Test("Requests beyond the number of connections wait, and beyond that are refused")
    func waiting() async throws {
        let attestation = try MadeAttestation()
        let (parts, more) = AsyncStream<String>.makeStream()
        let server = try await MadeServer(
            attestation.answers { $0.uri == "/v1/slow" ? .stream(parts) : .text("answer") })
        let proxy = try await Proxy(server, attestation.verifier(), connections: 1, waiting: 0)
        await proxy.upstream.verify()
        try await withClient(port: proxy.port) { client in
            try await client.send("GET /v1/slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await eventually { server.wire.contains("/v1/slow") }
            let busy = try await fetch(port: proxy.port, "/v1/models")
            #expect(busy.status == 503 && busy.errorCode == "proxy_overloaded")
            more.finish()
            try await client.read(until: "0\r\n\r\n")
        }
        await eventually { await proxy.upstream.connectionCounts.idle == 1 }
        #expect(try await fetch(port: proxy.port, "/v1/models").body == "answer")
    }

    @Test("A redirect is not followed and not passed on; a broken answer is an error in OpenAI's form")
    func badAnswers() async throws {
        let attestation = try MadeAttestation()
        let other = try await MadeServer(attestation.answers { _ in .text("other") })
        let place = "\(try other.address)/v1/models"
        let server = try await MadeServer(
            attestation.answers { request in
                switch request.uri {
                case "/v1/moved": .text("", status: 308, headers: [("location", place)])
                case "/v1/noise": .bytes(Array("no HTTP\r\n\r\n".utf8))
                default: .text("answer")
                }
            })
        let proxy = try await Proxy(server, attestation.verifier())
        await proxy.upstream.verify()
        let moved = try await fetch(port: proxy.port, "/v1/moved")
        #expect(moved.status == 502 && moved.errorCode == "upstream_redirect")
        #expect(!moved.head.contains("location") && other.opened == 0)
        let noise = try await fetch(port: proxy.port, "/v1/noise")
        #expect(noise.status == 502 && noise.errorCode == "upstream_unreachable")
        #expect(try await fetch(port: proxy.port, "/v1/models").body == "answer")
        let body = try await fetch(port: proxy.port, "/v1/models", method: "GET", body: "x")
        #expect(body.status == 400 && body.errorCode == "unexpected_body")
    }

    @Test("Pages of other sites reach neither the server nor the proxy's own paths")
    func foreignPages() async throws {
        let attestation = try MadeAttestation()
        let server = try await MadeServer(attestation.answers { _ in .text("answer") })
        let proxy = try await Proxy(server, attestation.verifier())
        await proxy.upstream.verify()
        server.forgetWire()
        for path in ["/", "/health", "/v1/models"] {
            for headers in [
                "Host: rebound.example\r\n", "Host: localhost\r\nOrigin: https://elsewhere.example\r\n",
                "Host: localhost\r\nOrigin: null\r\n",
            ] {
                let reply = try await fetch(port: proxy.port, path, headers: headers)
                #expect(reply.status == 403 && reply.errorCode?.hasPrefix("foreign_") == true)
            }
        }
        #expect(server.wire.isEmpty)
    }

    @Test("The page and the health say what was accepted, in text that is no markup")
    func page() async throws {
        var attestation = try MadeAttestation()
        attestation.statement.model = "<script>x</script>"
        let server = try await MadeServer(attestation.answers { _ in .text("answer") })
        let proxy = try await Proxy(server, attestation.verifier())
        let before = try await fetch(port: proxy.port, "/health")
        #expect(before.status == 503 && before.json["status"]?.string == "unverified")
        await proxy.upstream.verify()
        let health = try await fetch(port: proxy.port, "/health")
        #expect(health.status == 200 && health.json["status"]?.string == "accepted")
        #expect(health.json["measurement"]?.string == String(repeating: "3e", count: 48))
        #expect(health.json["statement"]?["profiles"]?.array?.first?.string == "sealed")
        #expect(health.json["since"]?.string == "2026-02-03T12:00:00Z")
        let page = try await fetch(port: proxy.port, "/")
        #expect(page.status == 200 && page.head.contains("content-security-policy: default-src 'none'"))
        #expect(page.body.contains("the server is accepted"))
        #expect(page.body.contains("&lt;script&gt;x") && !page.body.contains("<script"))
        #expect(page.body.contains("any launch measurement"))
    }
}
