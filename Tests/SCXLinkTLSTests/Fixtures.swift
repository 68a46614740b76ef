import Crypto
import Dispatch
import Foundation
import SCXCertificates
import SCXLink
import SCXLinkTLS
import SwiftASN1
import Synchronization
import Testing
import X509

/// Keys of several sides in a directory that goes when the value does.
final class TestKeys {
    private let root: String

    init() throws {
        root = NSTemporaryDirectory() + "scx-tls-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: root) }

    func directory(_ name: String) -> KeyDirectory { KeyDirectory("\(root)/\(name)") }

    func path(_ name: String) -> String { "\(root)/\(name)" }

    func write(_ text: String, _ name: String) throws -> String {
        try Data(text.utf8).write(to: URL(filePath: path(name)))
        return path(name)
    }

    /// Makes a side's key, with a certificate of any dates.
    func make(
        _ name: String, from start: Date = .now - 60, to end: Date = .now + 86_400
    ) throws -> KeyDirectory {
        let directory = directory(name)
        try directory.save(KeyPair(name: name, hosts: ["localhost"], from: start, to: end))
        return directory
    }

    /// Makes an authority: a key whose certificate may sign others.
    func makeAuthority() throws -> (key: P256.Signing.PrivateKey, file: String) {
        let key = P256.Signing.PrivateKey()
        let certificate = try sign(
            key.publicKey, "authority", by: key, issuer: .named("authority"), mayByItself: true)
        return (key, try write(certificate, "authority.pem"))
    }

    /// Makes a side whose certificate somebody else has signed.
    func make(_ name: String, signedBy key: P256.Signing.PrivateKey, issuer: DistinguishedName) throws
        -> KeyDirectory
    {
        let directory = try make(name)
        try certify(directory, signedBy: key, issuer: issuer)
        return directory
    }

    /// Replaces a side's certificate by one of the same key that somebody else has signed.
    func certify(_ directory: KeyDirectory, signedBy key: P256.Signing.PrivateKey, issuer: DistinguishedName)
        throws
    {
        let own = try P256.Signing.PrivateKey(
            pemRepresentation: String(contentsOfFile: directory.key, encoding: .utf8))
        let name = URL(filePath: directory.path).lastPathComponent
        let certificate = try sign(own.publicKey, name, by: key, issuer: issuer, mayByItself: false)
        try Data(certificate.utf8).write(to: URL(filePath: directory.certificate))
    }

    private func sign(
        _ key: P256.Signing.PublicKey, _ name: String, by issuerKey: P256.Signing.PrivateKey,
        issuer: DistinguishedName,
        mayByItself: Bool
    ) throws -> String {
        let certificate = try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: Certificate.PublicKey(key),
            notValidBefore: .now - 60, notValidAfter: .now + 86_400,
            issuer: issuer, subject: DistinguishedName { CommonName(name) },
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: Certificate.Extensions {
                if mayByItself {
                    Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                    Critical(KeyUsage(keyCertSign: true))
                } else {
                    Critical(BasicConstraints.notCertificateAuthority)
                    SubjectAlternativeNames([.dnsName("localhost")])
                }
            },
            issuerPrivateKey: Certificate.PrivateKey(issuerKey))
        return try certificate.serializeAsPEM().pemString + "\n"
    }

    /// Makes two sides that trust each other.
    func pair() throws -> (worker: TLSIdentity, client: TLSIdentity) {
        let (worker, client) = (try make("worker"), try make("client"))
        _ = try worker.trust(client.certificate)
        _ = try client.trust(worker.certificate)
        return (try TLSIdentity(directory: worker.path), try TLSIdentity(directory: client.path))
    }
}

extension DistinguishedName {
    /// The name of an authority of these tests.
    static func named(_ name: String) throws -> DistinguishedName {
        try DistinguishedName { CommonName(name) }
    }
}

/// What a test gives up after.
var soon: Deadline { Deadline(after: .seconds(3_600)) }

func connect(_ server: TLSServer, _ identity: TLSIdentity) throws(LinkError) -> TLSStream {
    try TLSClient.connect(host: "127.0.0.1", port: server.port, identity: identity, before: soon)
}

extension TLSStream {
    func send(_ bytes: [UInt8], before deadline: Deadline = soon) throws(LinkError) {
        try unsafe bytes.span.bytes.withUnsafeBytes { bytes throws(LinkError) in
            try unsafe write(bytes, before: deadline)
        }
    }

    func receive(_ count: Int, before deadline: Deadline = soon) throws(LinkError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var span = bytes.mutableSpan
        try unsafe span.withUnsafeMutableBytes { bytes throws(LinkError) in
            try unsafe read(bytes, before: deadline)
        }
        return bytes
    }
}

/// Work on a thread of its own: the tests block, and Swift's pool may have no more threads than they do.
final class Beside<Value: Sendable>: Sendable {
    private let outcome = Mutex<Result<Value, any Error>?>(nil)
    private let end = DispatchSemaphore(value: 0)

    init(_ work: @escaping @Sendable () throws -> Value) {
        Thread.detachNewThread { [self] in
            let result = Result { try work() }
            outcome.withLock { $0 = result }
            end.signal()
        }
    }

    /// Waits for the end of the work.
    func value() throws -> Value {
        end.wait()
        return try #require(outcome.withLock { $0 }).get()
    }
}

/// Bytes that differ from place to place.
func pattern(_ count: Int, seed: Int = 1) -> [UInt8] {
    // Repeated blocks of a prime length, since a debug build is slow at making bytes one by one.
    let block = (0..<65_521).map { UInt8(truncatingIfNeeded: ($0 &* 2_654_435_761 &+ seed) >> 7) }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    while bytes.count + block.count <= count { bytes += block }
    return bytes + block[..<(count - bytes.count)]
}
