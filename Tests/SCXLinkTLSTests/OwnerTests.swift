import Crypto
import Foundation
import SCXCertificates
import SCXLink
import SCXLinkTLS
import SCXProfiles
import Testing
import X509

@Suite("who is behind a TLS connection", .serialized, .timeLimit(.minutes(60)))
struct OwnerTests {
    private let keys: TestKeys
    private let client: KeyDirectory

    init() throws {
        keys = try TestKeys()
        client = try keys.make("client")
    }

    /// Serves with a side's key on a port of its own.
    private func serve(_ directory: KeyDirectory) throws -> TLSServer {
        _ = try directory.trust(client.certificate)
        _ = try client.trust(directory.certificate)
        return try TLSServer(
            host: "127.0.0.1", port: 0, identity: TLSIdentity(directory: directory.path))
    }

    private func end(_ server: TLSServer) throws -> RemoteEnd {
        let stream = try connect(server, TLSIdentity(directory: client.path))
        defer { stream.close() }
        let accepted = try server.accept(before: soon)
        defer { accepted.close() }
        // The other side knows this one in the same way.
        let own = try #require(accepted.remoteEnd.key)
        #expect(own == (try digest(client)))
        return stream.remoteEnd
    }

    private func key(_ directory: KeyDirectory) throws -> P256.Signing.PrivateKey {
        try P256.Signing.PrivateKey(
            pemRepresentation: String(contentsOfFile: directory.key, encoding: .utf8))
    }

    /// SHA-256 of a side's public key, computed from its file.
    private func digest(_ directory: KeyDirectory) throws -> [UInt8] {
        Array(SHA256.hash(data: try key(directory).publicKey.derRepresentation))
    }

    @Test("its key, its address and, on this machine, its process are known")
    func known() throws {
        let worker = try keys.make("worker")
        let server = try serve(worker)
        defer { server.close() }
        let end = try end(server)
        #expect(end.key == (try digest(worker)))
        #expect(end.address == "127.0.0.1:\(server.port)" && end.path == nil)
        #if os(Linux)
            #expect(end.process == LocalProcess(number: getpid()))
        #endif
    }

    @Test("a peer with the worker's key is refused, at another port and under another certificate")
    func sameKey() throws {
        let worker = try keys.make("worker")
        let (first, second) = (try serve(worker), try serve(worker))
        // The same key, certified once more.
        let again = keys.directory("again")
        try FileManager.default.copyItem(atPath: worker.path, toPath: again.path)
        try keys.certify(again, signedBy: key(worker), issuer: .named("again"))
        let third = try serve(again)
        defer { for server in [first, second, third] { server.close() } }
        #expect(
            try String(contentsOfFile: again.certificate, encoding: .utf8)
                != String(contentsOfFile: worker.certificate, encoding: .utf8))

        let owners = OwnerSeparation()
        try owners.admit(end(first), .worker, name: "tcp://a:1")
        for server in [second, third] {
            let error = #expect(throws: LinkError.self) {
                try owners.admit(end(server), .peer, name: "tcp://b:2")
            }
            #expect("\(try #require(error))".contains("both show the same TLS key"))
        }
    }

    @Test("two keys are two owners, unless one process of this machine serves both")
    func otherKey() throws {
        // Both machines may have the same name.
        let sides = [keys.directory("worker"), keys.directory("peer")]
        for side in sides { try side.save(KeyPair(name: "host", days: 1)) }
        let (first, second) = (try serve(sides[0]), try serve(sides[1]))
        defer { for server in [first, second] { server.close() } }
        let owners = OwnerSeparation()
        try owners.admit(end(first), .worker, name: "tcp://a:1")
        var peer = try end(second)
        #if os(Linux)
            let error = #expect(throws: LinkError.self) { try owners.admit(peer, .peer, name: "tcp://b:2") }
            #expect("\(try #require(error))".contains("process \(getpid()) of this machine serves both"))
        #endif
        peer.process = nil
        try owners.admit(peer, .peer, name: "tcp://b:2")
    }
}
