import Foundation
import SCXCertificates
import SCXLinkTLS
import Testing

@Suite("keys")
struct KeyDirectoryTests {
    private let keys: TestKeys

    init() throws { keys = try TestKeys() }

    @Test("a new key is its owner's alone, and is not overwritten unasked")
    func new() throws {
        let directory = keys.directory("side")
        try directory.save(KeyPair(name: "worker.example", hosts: ["10.0.0.7", "::1"], days: 30))
        let attributes = try FileManager.default.attributesOfItem(atPath: directory.key)
        #expect(attributes[.posixPermissions] as? Int == 0o600)
        let before = try String(contentsOfFile: directory.key, encoding: .utf8)
        #expect(throws: CertificateError(directory.key, "is there already; --force overwrites it")) {
            try directory.save(KeyPair(name: "other", days: 1))
        }
        #expect(try String(contentsOfFile: directory.key, encoding: .utf8) == before)
        try directory.save(KeyPair(name: "other", days: 1), replacing: true)
        #expect(try String(contentsOfFile: directory.key, encoding: .utf8) != before)
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted() == [
                "cert.pem", "key.pem",
            ])
    }

    @Test("a certificate's summary has its names, dates and fingerprint")
    func show() throws {
        let directory = keys.directory("side")
        try directory.save(KeyPair(name: "worker.example", hosts: ["10.0.0.7"], days: 30))
        let summary = try #require(try KeyDirectory.certificates(directory.certificate).first)
        #expect(summary.subject.hasPrefix("CN=worker.example,OU=key "))
        #expect(summary.names == ["worker.example", "10.0.0.7"])
        #expect(summary.fingerprint.split(separator: ":").count == 32)
        #expect(abs(summary.end.timeIntervalSinceNow - 30 * 86_400) < 60)
        #expect(summary.description.contains("fingerprint  \(summary.fingerprint)"))
    }

    @Test("trusting a certificate twice keeps it once")
    func trust() throws {
        let (a, b, c) = (try keys.make("a"), try keys.make("b"), try keys.make("c"))
        #expect(try a.trust(b.certificate).map(\.isNew) == [true])
        #expect(try a.trust(b.certificate).map(\.isNew) == [false])
        #expect(try a.trust(c.certificate).map(\.isNew) == [true])
        let names = try KeyDirectory.certificates(a.trusted).map(\.subject)
        #expect(names.map { $0.prefix(5) } == ["CN=b,", "CN=c,"])
    }

    @Test("a private key is never taken for a certificate")
    func keyIsNoCertificate() throws {
        let (a, b) = (try keys.make("a"), try keys.make("b"))
        #expect(throws: CertificateError.self) { try a.trust(b.key) }
        #expect(throws: CertificateError.self) { try KeyDirectory.certificates(b.key) }
    }

    @Test(
        "names that are none are refused", arguments: ["", "a\u{1B}[2J", String(repeating: "x", count: 65)])
    func badName(name: String) {
        #expect(throws: CertificateError.self) { try KeyPair(name: name, days: 1) }
        #expect(throws: CertificateError.self) { try KeyPair(name: "good", hosts: ["not a host"], days: 1) }
    }

    @Test("a file that cannot be used is named in one line")
    func identityFiles() throws {
        let (a, b) = (try keys.make("a"), try keys.make("b"))
        func failure(certificate: String? = nil, key: String? = nil, trusted: String? = nil) throws -> String
        {
            let error = #expect(throws: TLSFileError.self) {
                try TLSIdentity(
                    certificate: certificate ?? a.certificate, key: key ?? a.key,
                    trusted: trusted ?? b.certificate)
            }
            let text = "\(try #require(error))"
            #expect(!text.contains("\n"))
            return text
        }
        let (missing, junk) = (keys.path("missing.pem"), try keys.write("junk", "junk.pem"))
        #expect(try failure(certificate: missing) == "\(missing): cannot read it: No such file or directory")
        #expect(try failure(trusted: junk).hasPrefix("\(junk): holds no certificate"))
        #expect(try failure(trusted: a.key).hasPrefix("\(a.key): holds no certificate"))
        #expect(try failure(key: b.key) == "\(b.key): is not the private key of \(a.certificate)")
        #expect(try failure(certificate: a.path) == "\(a.path): is not a file")
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: junk)
        #expect(try failure(key: junk).hasPrefix("\(junk): holds no private key"))
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: a.key)
        #expect(try failure() == "\(a.key): everybody may read this private key; run: chmod 600 \(a.key)")
    }
}
