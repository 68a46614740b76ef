import Crypto
import Foundation
import SCXAttestation

/// A chain of Intel's form, collateral and a quote, made by a test, with what it may change.
struct MadeQuote {
    struct Keys: Sendable {
        let root = P256.Signing.PrivateKey()
        let intermediate = P256.Signing.PrivateKey()
        let leaf = P256.Signing.PrivateKey()
        let signer = P256.Signing.PrivateKey()
        let attestation = P256.Signing.PrivateKey()
    }

    static let keys = Keys()

    let keys = Self.keys
    var version = 5
    var root: MadeCertificate
    var intermediate: MadeCertificate
    var leaf: MadeCertificate
    var signer: MadeCertificate
    var rootList: MadeList? = MadeList(issuer: "Root")
    var leafList: MadeList? = MadeList(issuer: "Platform CA")
    /// Values of bytes of the body, by their offsets in it.
    var changes: [Int: [UInt8]] = [:]
    /// Values of bytes of the enclave's report.
    var enclaveChanges: [Int: [UInt8]] = [:]
    var info = Info()
    var identity = Identity()
    /// More files, beside the collateral.
    var more: [Collateral.File] = []
    /// Who signs the enclave's report and the documents.
    var enclaveSigner: P256.Signing.PrivateKey?
    var documentSigner: P256.Signing.PrivateKey?

    /// A TCB info, as JSON's values.
    struct Info {
        var from = "2026-01-01T00:00:00Z"
        var to = "2026-03-01T00:00:00Z"
        var id = "TDX"
        var fmspc = "0123456789ab"
        var pceID = "0000"
        var moduleSigner = String(repeating: "0", count: 96)
        var moduleID = "TDX_01"
        var moduleStatus = "UpToDate"
        var platformStatus = "UpToDate"
        var evaluation = 20

        var json: String {
            func components(_ svns: Int...) -> String {
                "[" + (0..<16).map { #"{"svn":\#($0 < 3 ? svns[$0] : 0)}"# }.joined(separator: ",") + "]"
            }
            let module = """
                "mrsigner":"\(moduleSigner)","attributes":"0000000000000000","attributesMask":"FFFFFFFFFFFFFFFF"
                """
            return """
                {"id":"\(id)","version":3,"issueDate":"\(from)","nextUpdate":"\(to)","fmspc":"\(fmspc)","pceId":"\(pceID)",\
                "tcbType":0,"tcbEvaluationDataNumber":\(evaluation),"tdxModule":{\(module)},"tdxModuleIdentities":[\
                {"id":"\(moduleID)",\(module),"tcbLevels":[{"tcb":{"isvsvn":4},"tcbDate":"2025-01-01T00:00:00Z",\
                "tcbStatus":"\(moduleStatus)"},{"tcb":{"isvsvn":2},"tcbStatus":"OutOfDate"}]}],\
                "tcbLevels":[{"tcb":{"sgxtcbcomponents":\(components(3, 3, 3)),"pcesvn":13,"tdxtcbcomponents":\
                \(components(3, 0, 3))},"tcbStatus":"\(platformStatus)"},{"tcb":{"sgxtcbcomponents":\(components(2, 2, 2)),\
                "pcesvn":5,"tdxtcbcomponents":\(components(2, 0, 2))},"tcbStatus":"OutOfDate"}]}
                """
        }
    }

    /// An identity of the quoting enclave.
    struct Identity {
        var from = "2026-01-01T00:00:00Z"
        var to = "2026-03-01T00:00:00Z"
        var id = "TD_QE"
        /// Intel's own, which is pinned.
        var signer = "dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5"
        var product = 2
        var status = "UpToDate"

        var json: String {
            """
            {"id":"\(id)","version":2,"issueDate":"\(from)","nextUpdate":"\(to)","tcbEvaluationDataNumber":19,\
            "miscselect":"00000000","miscselectMask":"FFFFFFFF","attributes":"11000000000000000000000000000000",\
            "attributesMask":"FBFFFFFFFFFFFFFF0000000000000000","mrsigner":"\(signer)","isvprodid":\(product),\
            "tcbLevels":[{"tcb":{"isvsvn":4},"tcbStatus":"\(status)"}]}
            """
        }
    }

    init() {
        func key(_ key: P256.Signing.PrivateKey) -> [UInt8] { Array(key.publicKey.derRepresentation) }
        let authority = [MadeDER.certificateAuthority, MadeDER.issuerUse]
        root = MadeCertificate(
            subject: "Root", issuer: "Root", publicKey: key(keys.root), extensions: authority)
        intermediate = MadeCertificate(
            subject: "Platform CA", issuer: "Root", serial: 100, publicKey: key(keys.intermediate),
            extensions: authority)
        leaf = MadeCertificate(
            subject: "Platform", issuer: "Platform CA", serial: 200, publicKey: key(keys.leaf),
            extensions: [Self.platform(component: 3)])
        signer = MadeCertificate(
            subject: "Intel SGX TCB Signing", issuer: "Root", serial: 300, publicKey: key(keys.signer))
    }

    /// The extension of a platform's certificate.
    static func platform(component: Int, fmspc: [UInt8] = [1, 0x23, 0x45, 0x67, 0x89, 0xab]) -> [UInt8] {
        let prefix: [UInt] = [1, 2, 840, 113741, 1, 13, 1]
        func pair(_ path: [UInt], _ value: [UInt8]) -> [UInt8] {
            MadeDER.sequence(MadeDER.identifier(prefix + path), value)
        }
        let components = (1...16).flatMap {
            pair([2, UInt($0)], MadeDER.integer($0 <= 3 ? component : 0))
        }
        let tcb = MadeDER.node(
            0x30, components + pair([2, 17], MadeDER.integer(13)) + pair([2, 18], MadeDER.node(0x04, [9])))
        return MadeDER.fileExtension(
            prefix,
            MadeDER.sequence(
                pair([1], MadeDER.node(0x04, [UInt8](repeating: 1, count: 16))), pair([2], tcb),
                pair([3], MadeDER.node(0x04, [0, 0])), pair([4], MadeDER.node(0x04, fmspc)),
                pair([5], MadeDER.node(0x0a, [0]))))
    }

    var roots: TrustRoots {
        TrustRoots(
            amd: [:], intel: Array(SHA256.hash(data: Array(keys.root.publicKey.derRepresentation))))
    }

    /// A document as Intel's service gives it.
    func signed(_ name: String, _ json: String) throws -> [UInt8] {
        let key = documentSigner ?? keys.signer
        let signature = try key.signature(for: SHA256.hash(data: Array(json.utf8))).rawRepresentation
        return Array("{\"\(name)\":\(json),\"signature\":\"\(Hex.text(signature))\"}\n".utf8)
    }

    func files() throws -> [Collateral.File] {
        var files = [
            Collateral.File(name: "info", bytes: try signed("tcbInfo", info.json)),
            .init(name: "identity", bytes: try signed("enclaveIdentity", identity.json)),
            .init(name: "signer", bytes: try signer.encoded(by: .p256(keys.root))),
        ]
        if let rootList {
            files.append(.init(name: "list", bytes: try rootList.encoded(by: .p256(keys.root))))
        }
        if let leafList {
            files.append(.init(name: "list", bytes: try leafList.encoded(by: .p256(keys.intermediate))))
        }
        return files + more
    }

    private func pem() throws -> [UInt8] {
        let all = [
            try leaf.encoded(by: .p256(keys.intermediate)), try intermediate.encoded(by: .p256(keys.root)),
            try root.encoded(by: .p256(keys.root)),
        ]
        let text = all.map { bytes in
            let base64 = Data(bytes).base64EncodedString(options: [
                .lineLength64Characters, .endLineWithLineFeed,
            ])
            return "-----BEGIN CERTIFICATE-----\n\(base64)\n-----END CERTIFICATE-----\n"
        }
        return Array(text.joined().utf8)
    }

    private static func little(_ value: Int, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }

    private func body() -> [UInt8] {
        var body = [UInt8](repeating: 0, count: version == 5 ? 648 : 584)
        func set(_ offset: Int, _ value: [UInt8]) {
            body.replaceSubrange(offset..<offset + value.count, with: value)
        }
        set(0, version == 5 ? [4, 1, 3] : [3, 0, 3])
        set(0x78, [0, 0, 0, 0x10])
        set(0x88, [UInt8](repeating: 0x3e, count: 48))
        for number in 0..<4 { set(0x148 + 48 * number, [UInt8](repeating: 0xe0 + UInt8(number), count: 48)) }
        set(0x208, [UInt8](repeating: 0xda, count: 64))
        if version == 5 { set(0x248, [4, 1, 3]) }
        for (offset, value) in changes { set(offset, value) }
        return body
    }

    func quote() throws -> [UInt8] {
        let vendor: [UInt8] = [
            0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
        ]
        var signed = Self.little(version, 2) + [2, 0, 0x81, 0, 0, 0, 0, 0, 0, 0] + vendor
        signed += [UInt8](repeating: 7, count: 20)
        let body = body()
        if version == 5 { signed += [3, 0] + Self.little(body.count, 4) }
        signed += body
        let key = Array(keys.attestation.publicKey.rawRepresentation)
        let authentication: [UInt8] = Array(0..<32)
        var enclave = [UInt8](repeating: 0, count: 384)
        func set(_ offset: Int, _ value: [UInt8]) {
            enclave.replaceSubrange(offset..<offset + value.count, with: value)
        }
        set(0x30, [0x15])
        set(0x80, Hex.bytes(Identity().signer) ?? [])
        set(0x100, [2, 0, 6, 0])
        set(0x140, Array(SHA256.hash(data: key + authentication)))
        for (offset, value) in enclaveChanges { set(offset, value) }
        let chain = try pem()
        let report =
            enclave
            + Array(
                try (enclaveSigner ?? keys.leaf).signature(for: SHA256.hash(data: enclave)).rawRepresentation)
            + [32, 0] + authentication + [5, 0] + Self.little(chain.count, 4) + chain
        let section =
            Array(try keys.attestation.signature(for: SHA256.hash(data: signed)).rawRepresentation) + key + [
                6, 0,
            ]
            + Self.little(report.count, 4) + report
        return signed + Self.little(section.count, 4) + section
    }

    /// Decides over this quote with its own collateral.
    func appraise(_ policy: Policy = .standard, at: String = "2026-02-03T12:00:00Z") throws -> Appraisal {
        SCXAttestationTests.appraise(
            try quote(), with: try Collateral(try files()), policy: policy, roots: roots, at: try time(at))
    }
}
