import Crypto
import Foundation
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1
import SCXAttestation
import SCXCertificates
import SCXGateway
import SCXProxy
import Testing

/// The whole path without hardware: `scx serve --attest` as a process, with reports from a directory that answers as the
/// kernel does, and a chain that the test made.
struct AttestedServeTests {
    private static let model = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Models/ward-3m").path

    /// `scx serve` with evidence of a made guest.
    private final class Server: Sendable {
        let process: Process
        let address: UpstreamAddress?
        /// What it printed until it listened, or until it ended.
        let output: String
        private let kernel: FakeKernel

        init(_ identity: MadeIdentity, _ more: [String]) async throws {
            let kernel = try FakeKernel { [source = identity.source] data in try source.evidence(of: data) }
            self.kernel = kernel
            let process = ScxProgram.process(
                [
                    "serve", "--model", AttestedServeTests.model, "--port", "0", "--no-page",
                    "--attest-reports",
                    kernel.directory.path, "--revision", "r1",
                ] + more)
            self.process = process
            let pipe = Pipe()
            process.standardOutput = pipe
            process.standardError = pipe
            try process.run()
            let handle = pipe.fileHandleForReading
            let text = await withCheckedContinuation { continuation in
                Thread.detachNewThread {
                    var text = ""
                    while !text.contains("scx serves") {
                        let part = handle.availableData
                        guard !part.isEmpty else { break }
                        text += String(decoding: part, as: UTF8.self)
                    }
                    continuation.resume(returning: text)
                    // So that the process never waits for a reader.
                    while !handle.availableData.isEmpty {}
                }
            }
            output = text
            let url = text.split(whereSeparator: \.isWhitespace).first {
                $0.hasPrefix("https://") && !$0.contains("well-known")
            }
            address = url.flatMap { UpstreamAddress(String($0)) }
        }

        func end() {
            kernel.end()
            process.terminate()
            process.waitUntilExit()
        }
    }

    private func verifier(_ identity: MadeIdentity, _ runs: String) throws -> ServerVerifier {
        let now = try time("2026-02-03T12:00:00Z")
        return ServerVerifier(
            policy: try policy(#"{"snp": {}, "runs": \#(runs)}"#),
            files: try identity.report.certificates().map { .init(name: "certificate", bytes: $0) },
            roots: identity.report.roots, now: { now })
    }

    private func ask(
        _ connection: AttestedConnection, key: String? = nil
    ) async throws -> (status: UInt, body: String) {
        let body =
            #"{"messages": [{"role": "user", "content": "What are the symptoms of asthma?"}], "temperature": 0, "max_tokens": 16}"#
        var headers: HTTPHeaders = [
            "content-type": "application/json", "content-length": "\(body.utf8.count)",
        ]
        if let key { headers.add(name: "authorization", value: "Bearer \(key)") }
        let head = HTTPRequestHead(
            version: .http1_1, method: .POST, uri: "/v1/chat/completions", headers: headers)
        let answer = try await connection.send(head, body: .init(buffer: ByteBuffer(string: body))) { _ in }
        var text = ""
        while let part = try await answer.next() { text += String(buffer: part) }
        return (answer.head.status.code, text)
    }

    private func accepted(_ server: Server, _ verifier: ServerVerifier) async throws -> AttestedConnection {
        let address = try #require(server.address, "\(server.output)")
        switch await (try UnverifiedConnection(to: address, times: .unhurried)).verified(by: verifier) {
        case .accepted(let connection): return connection
        case .refused(let appraisal):
            Issue.record("\(appraisal.failures)")
            throw Missing(what: "an accepted server")
        }
    }

    @Test("A server proves its key, its model and its profile, and answers then")
    func served() async throws {
        let identity = try MadeIdentity()
        let server = try await Server(identity, ["--attest"])
        defer { server.end() }
        let digest = try ModelDigest.digest(of: Self.model)
        let runs = #"{"profiles": ["sealed"], "models": ["\#(digest)"], "workers": [], "revisions": ["r1"]}"#
        let connection = try await accepted(server, try verifier(identity, runs))
        #expect(connection.server.statement.model == "ward-3m")
        let answer = try await ask(connection)
        #expect(answer.status == 200)
        #expect(answer.body.contains("chat.completion"))

        // The same server, but not what the policy names.
        let other = try verifier(identity, #"{"profiles": ["plain"]}"#)
        let address = try #require(server.address)
        let refused = await (try UnverifiedConnection(to: address, times: .unhurried)).verified(by: other)
        #expect(refused.appraisal.failures.map(\.check) == [.statement])
    }

    /// Gives secrets as `scx keys release` does, with the test's root.
    private func releasing(
        _ identity: MadeIdentity, _ values: [String: [UInt8]],
        _ body: (_ address: String, _ keyDigest: String) async throws -> Void
    ) async throws {
        let now = try time("2026-02-03T12:00:00Z")
        let releaser = SecretsReleaser(
            try Secrets(values), policy: try policy(#"{"snp": {}, "runs": {"profiles": ["sealed"]}}"#),
            files: try identity.report.certificates().map { .init(name: "certificate", bytes: $0) },
            roots: identity.report.roots)
        let routes = RouteTable(
            secretsQuestion: { Hex.text(releaser.question(at: now)) },
            decide: { key, document in
                guard let request = try? SecretsRequest(key: key, document: document) else {
                    return .refused(["105"])
                }
                let decision = releaser.decide(request, at: now)
                return decision.answer.map { .given($0) }
                    ?? .refused(decision.appraisal.failures.map(\.description))
            })
        let pair = try KeyPair(name: "owner", days: 1)
        var options = GatewayServer.Options()
        options.port = 0
        let tls = GatewayServer.TLSKey.own(certificate: pair.certificate, key: pair.key)
        options.tls = tls
        options.limits.headerTime = .seconds(86_400)
        options.limits.bodyTime = .seconds(86_400)
        let logger = Logger(label: "scx") { RedactedLog(label: $0, level: .critical) { _ in } }
        let server = GatewayServer(
            options: options, routes: routes,
            observer: ServerObserver(metrics: ServerMetrics(model: "", profiles: []), logger: logger))
        let (ports, found) = AsyncStream<Int>.makeStream()
        let task = Task {
            defer { found.finish() }
            try await server.run { found.yield($0) }
        }
        defer { task.cancel() }
        guard let port = await ports.first(where: { _ in true }) else { return try await task.value }
        try await body("https://127.0.0.1:\(port)", Hex.text(try tls.publicKeyDigest()))
    }

    @Test("Secrets that their owner gives take the place of files")
    func secrets() async throws {
        let identity = try MadeIdentity()
        let keys = Array("ward swordfish-swordfish\n".utf8)
        try await releasing(identity, ["api-keys": keys]) { address, digest in
            let server = try await Server(
                identity, ["--attest", "--secrets-from", address, "--secrets-key", digest])
            defer { server.end() }
            #expect(!server.output.contains("swordfish"))
            let verifier = try verifier(identity, "{}")
            #expect(try await ask(accepted(server, verifier)).status == 401)
            #expect(try await ask(accepted(server, verifier), key: "swordfish-swordfish").status == 200)
        }
    }

    @Test(
        "A server takes no secrets from another key, none that it does not know, and gets none against its policy"
    )
    func noSecrets() async throws {
        let identity = try MadeIdentity()
        func output(_ values: [String: [UInt8]], digest other: String? = nil, _ more: [String] = [])
            async throws -> String
        {
            var output = ""
            try await releasing(identity, values) { address, digest in
                let server = try await Server(
                    identity, ["--secrets-from", address, "--secrets-key", other ?? digest] + more)
                server.end()
                #expect(server.address == nil)
                output = server.output
            }
            return output
        }
        let key = ["session-key": [UInt8](repeating: 7, count: 32)]
        #expect(
            try await output(key, digest: String(repeating: "00", count: 32)).contains(
                "has another key than the one"))
        #expect(try await output(["other": [1]]).contains("'other', which is no secret of 'scx serve'"))
        #expect(
            try await output(key, ["--profile", "plain"]).contains(
                "523 statement: the policy does not name profile 'plain'"))
    }

    @Test("A machine that is no confidential guest is told so in one line")
    func noGuest() async throws {
        let result = try await ScxProgram.runBeside([
            "serve", "--attest", "--attest-reports", "/nowhere", "--model", Self.model, "--port", "0",
        ])
        #expect(result.status == 1)
        #expect(result.error.contains("/nowhere: is not there; this machine is no confidential guest"))
    }
}
