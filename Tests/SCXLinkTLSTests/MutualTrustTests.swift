import Crypto
import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import SCXCertificates
import SCXLink
import SCXLinkTLS
import SwiftASN1
import Synchronization
import Testing
import X509

@Suite("mutual trust", .serialized, .timeLimit(.minutes(60)))
struct MutualTrustTests {
    private let keys: TestKeys
    private let worker: KeyDirectory
    private let client: KeyDirectory

    init() throws {
        keys = try TestKeys()
        worker = try keys.make("worker")
        client = try keys.make("client")
        _ = try worker.trust(client.certificate)
        _ = try client.trust(worker.certificate)
    }

    /// A server that notes whom it turns away.
    private func serve(_ directory: KeyDirectory) throws -> (TLSServer, Refusals) {
        let refusals = Refusals()
        let server = try TLSServer(
            host: "127.0.0.1", port: 0, identity: TLSIdentity(directory: directory.path),
            onRefusal: { refusals.add($0) })
        return (server, refusals)
    }

    @Test("a worker whose certificate is wrong is refused by name and reason", arguments: WrongDates.allCases)
    func wrongWorker(fault: WrongDates) throws {
        let wrong = try fault.make("wrong", keys)
        _ = try wrong.trust(client.certificate)
        if fault != .unknown { _ = try client.trust(wrong.certificate) }
        let (server, _) = try serve(wrong)
        defer { server.close() }
        let error = #expect(throws: LinkError.self) {
            try connect(server, TLSIdentity(directory: client.path)).close()
        }
        #expect(
            error
                == .incompatible(
                    "worker at 127.0.0.1:\(server.port): its certificate \(fault.reason(client.trusted))"))
    }

    @Test("a client whose certificate is wrong is refused, and others go on", arguments: WrongDates.allCases)
    func wrongClient(fault: WrongDates) throws {
        let wrong = try fault.make("wrong", keys)
        _ = try wrong.trust(worker.certificate)
        if fault != .unknown { _ = try worker.trust(wrong.certificate) }
        let (server, refusals) = try serve(worker)
        let good = try connect(server, TLSIdentity(directory: client.path))
        let accepted = try server.accept(before: soon)
        defer { for stream in [good, accepted] { stream.close() }; server.close() }

        // The client may learn of it when it connects, or when it first reads.
        #expect(throws: LinkError.self) {
            let stream = try connect(server, TLSIdentity(directory: wrong.path))
            defer { stream.close() }
            _ = try stream.receive(1)
        }
        let reason = try refusals.first()
        #expect("\(reason)".hasSuffix("its certificate \(fault.reason(worker.trusted))"))

        try good.send([1, 2, 3])
        #expect(try accepted.receive(3) == [1, 2, 3])
        #expect(throws: LinkError.timedOut("nobody has connected")) {
            try server.accept(before: Deadline(after: .milliseconds(50)))
        }
    }

    @Test("a worker whose certificate an authority signed must carry the name that is asked for")
    func names() throws {
        let authority = try keys.makeAuthority()
        let signed = try keys.make("signed", signedBy: authority.key, issuer: .named("authority"))
        _ = try signed.trust(client.certificate)
        let (server, _) = try serve(signed)
        defer { server.close() }
        let identity = try TLSIdentity(
            certificate: client.certificate, key: client.key, trusted: authority.file)
        func connect(_ name: String?) throws(LinkError) {
            try TLSClient.connect(
                host: "127.0.0.1", port: server.port, identity: identity, name: name, before: soon
            ).close()
        }
        try connect("localhost")
        let peer = "worker at 127.0.0.1:\(server.port)"
        #expect(throws: LinkError.incompatible("\(peer): its certificate is for another name")) {
            try connect("elsewhere.example")
        }
        let error = #expect(throws: LinkError.self) { try connect(nil) }
        #expect(
            "\(try #require(error))".contains("is signed by one in \(authority.file) but is not in the file"))
    }

    @Test("a client that only an authority signed is taken if the server is asked to")
    func signedClient() throws {
        let authority = try keys.makeAuthority()
        let signed = try keys.make("signed", signedBy: authority.key, issuer: .named("authority"))
        _ = try signed.trust(worker.certificate)
        let server = try TLSServer(
            host: "127.0.0.1", port: 0,
            identity: TLSIdentity(certificate: worker.certificate, key: worker.key, trusted: authority.file),
            takesSigned: true)
        defer { server.close() }
        let stream = try connect(server, TLSIdentity(directory: signed.path))
        let accepted = try server.accept(before: soon)
        for stream in [stream, accepted] { stream.close() }
    }

    @Test("a trusted client cannot vouch for another")
    func friend() throws {
        let clientKey = try P256.Signing.PrivateKey(
            pemRepresentation: String(contentsOfFile: client.key, encoding: .utf8))
        let issuer = try Certificate(
            pemEncoded: String(contentsOfFile: client.certificate, encoding: .utf8)
        ).subject
        let friend = try keys.make("friend", signedBy: clientKey, issuer: issuer)
        _ = try friend.trust(worker.certificate)
        let (server, refusals) = try serve(worker)
        defer { server.close() }
        #expect(throws: LinkError.self) {
            let stream = try connect(server, TLSIdentity(directory: friend.path))
            defer { stream.close() }
            _ = try stream.receive(1)
        }
        #expect(
            "\(try refusals.first())".contains("is signed by one in \(worker.trusted) but is not in the file")
        )
    }

    @Test("plain TCP, silence, and TLS without a certificate hold up nobody")
    func strangers() throws {
        let (server, refusals) = try serve(worker)
        defer { server.close() }
        let plain = try ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(host: "127.0.0.1", port: server.port).wait()
        plain.writeAndFlush(ByteBuffer(string: "SCX1 GET / HTTP/1.1\r\n\r\n"), promise: nil)
        let silent = try ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(host: "127.0.0.1", port: server.port).wait()
        #expect("\(try refusals.first())".hasSuffix("it does not speak TLS 1.3"))

        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateVerification = .none
        let context = try NIOSSLContext(configuration: configuration)
        let nameless = try ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        NIOSSLClientHandler(context: context, serverHostname: nil))
                }
            }
            .connect(host: "127.0.0.1", port: server.port).wait()
        #expect("\(try refusals.first())".hasSuffix("it showed no certificate"))

        let good = try connect(server, TLSIdentity(directory: client.path))
        let accepted = try server.accept(before: soon)
        try accepted.send([5])
        #expect(try good.receive(1) == [5])
        for channel in [plain, silent, nameless] { channel.close(promise: nil) }
        for stream in [good, accepted] { stream.close() }
    }

    @Test("a server takes 200 connections that come and go")
    func many() throws {
        let (server, _) = try serve(worker)
        defer { server.close() }
        let identity = try TLSIdentity(directory: client.path)
        for number in 0..<200 {
            let stream = try connect(server, identity)
            let accepted = try server.accept(before: soon)
            if number % 2 == 0 { stream.close() }
            accepted.close()
            stream.close()
        }
        let stream = try connect(server, identity)
        let accepted = try server.accept(before: soon)
        try stream.send([1])
        #expect(try accepted.receive(1) == [1])
        for stream in [stream, accepted] { stream.close() }
    }

    @Test("a worker that is not there, or is silent, is an error in time")
    func nobody() throws {
        let identity = try TLSIdentity(directory: client.path)
        let (server, _) = try serve(worker)
        let port = server.port
        server.close()
        // The socket itself closes a moment later, on a thread of its own.
        var isRefused = false
        for _ in 0..<10_000 where !isRefused {
            do throws(LinkError) {
                try TLSClient.connect(host: "127.0.0.1", port: port, identity: identity, before: soon).close()
                Thread.sleep(forTimeInterval: 0.01)
            } catch { isRefused = true }
        }
        #expect(isRefused)
        let silent = try ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "127.0.0.1", port: 0).wait()
        let silentPort = try #require(silent.localAddress?.port)
        #expect(throws: LinkError.timedOut("worker at 127.0.0.1:\(silentPort) does not answer")) {
            try TLSClient.connect(
                host: "127.0.0.1", port: silentPort, identity: identity,
                before: Deadline(after: .milliseconds(200)))
        }
        silent.close(promise: nil)
    }
}

/// What can be wrong with a certificate.
enum WrongDates: CaseIterable, Sendable {
    case expired, early, unknown

    fileprivate func make(_ name: String, _ keys: TestKeys) throws -> KeyDirectory {
        switch self {
        case .expired:
            try keys.make(name, from: .init(timeIntervalSince1970: 0), to: .init(timeIntervalSince1970: 1e9))
        case .early:
            try keys.make(
                name, from: .init(timeIntervalSince1970: 4e9), to: .init(timeIntervalSince1970: 4.1e9))
        case .unknown: try keys.make(name)
        }
    }

    fileprivate func reason(_ file: String) -> String {
        switch self {
        case .expired: "expired on 2001-09-09"
        case .early: "is not valid before 2096-10-02"
        case .unknown: "is not one of those in \(file)"
        }
    }
}

/// Whom a server has turned away.
private final class Refusals: Sendable {
    private let errors = Mutex<[LinkError]>([])

    func add(_ error: LinkError) { errors.withLock { $0.append(error) } }

    /// Waits for the next one.
    func first() throws -> LinkError {
        for _ in 0..<60_000 {
            if let error = errors.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) { return error }
            Thread.sleep(forTimeInterval: 0.01)
        }
        throw LinkError.timedOut("nobody was refused")
    }
}
