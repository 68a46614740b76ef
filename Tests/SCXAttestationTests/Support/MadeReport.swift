import Crypto
import CryptoExtras
import SCXAttestation

/// A chain of AMD's form and a report, made by a test, with what it may change.
struct MadeReport {
    /// Keys of all tests: making RSA keys of 4,096 bits takes seconds.
    struct Keys: Sendable {
        let root: _RSA.Signing.PrivateKey
        let intermediate: _RSA.Signing.PrivateKey
        let leaf = P384.Signing.PrivateKey()

        init() throws {
            root = try _RSA.Signing.PrivateKey(keySize: .init(bitCount: 4096))
            intermediate = try _RSA.Signing.PrivateKey(keySize: .init(bitCount: 4096))
        }
    }

    static let keys = Result { try Keys() }

    let keys: Keys
    var product = Product.milan
    var isVLEK = false
    var root: MadeCertificate
    var intermediate: MadeCertificate
    var leaf: MadeCertificate
    var list: MadeList?
    /// The certificate's levels: boot loader, TEE, SNP, microcode, FMC.
    var levels: [UInt8] = [9, 0, 23, 72, 1]
    var chip = [UInt8](repeating: 0xc5, count: 64)
    /// Values of bytes of the report, by their offsets.
    var changes: [Int: [UInt8]] = [:]
    var version: UInt8 = 3

    init(product: Product = .milan) throws {
        keys = try Self.keys.get()
        self.product = product
        if product == .turin { chip = [UInt8](repeating: 0xc5, count: 8) }
        let authority = [MadeDER.certificateAuthority, MadeDER.issuerUse]
        root = MadeCertificate(
            subject: "ARK-Test", issuer: "ARK-Test", publicKey: Array(keys.root.publicKey.derRepresentation),
            extensions: authority)
        intermediate = MadeCertificate(
            subject: "SEV-Test", issuer: "ARK-Test", serial: 0x10001,
            publicKey: Array(keys.intermediate.publicKey.derRepresentation), extensions: authority)
        leaf = MadeCertificate(
            subject: "SEV-VCEK", issuer: "SEV-Test", serial: 0,
            publicKey: Array(keys.leaf.publicKey.derRepresentation))
    }

    var roots: TrustRoots {
        TrustRoots(
            amd: [product: Array(SHA256.hash(data: Array(keys.root.publicKey.derRepresentation)))],
            intel: [UInt8](repeating: 0, count: 32))
    }

    private var leafExtensions: [[UInt8]] {
        let prefix: [UInt] = [1, 3, 6, 1, 4, 1, 3704, 1]
        func level(_ part: UInt, _ index: Int) -> [UInt8] {
            MadeDER.fileExtension(prefix + [3, part], MadeDER.integer(Int(levels[index])))
        }
        var all = [
            MadeDER.fileExtension(prefix + [1], MadeDER.integer(1)), level(1, 0), level(2, 1), level(3, 2),
            level(8, 3),
        ]
        if product == .turin { all.append(level(9, 4)) }
        all.append(
            isVLEK
                ? MadeDER.fileExtension(prefix + [5], MadeDER.node(0x16, Array("cloud".utf8)))
                : MadeDER.fileExtension(prefix + [4], chip))
        return all
    }

    func certificates() throws -> [[UInt8]] {
        var leaf = leaf
        leaf.extensions += leafExtensions
        return [
            try leaf.encoded(by: .rsa(keys.intermediate)), try intermediate.encoded(by: .rsa(keys.root)),
            try root.encoded(by: .rsa(keys.root)),
        ]
    }

    func collateral() throws -> Collateral {
        var files = try certificates().map { Collateral.File(name: "certificate", bytes: $0) }
        if let list { files.append(.init(name: "list", bytes: try list.encoded(by: .rsa(keys.root)))) }
        return try Collateral(files)
    }

    /// Nine, zero, 23, 72, as the product writes them.
    var tcb: [UInt8] { product == .turin ? [1, 9, 0, 23, 0, 0, 0, 72] : [9, 0, 0, 0, 0, 0, 23, 72] }

    func report() throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 1184)
        func set(_ offset: Int, _ value: [UInt8]) {
            bytes.replaceSubrange(offset..<offset + value.count, with: value)
        }
        set(0x00, [version])
        set(0x04, [5])  // guest SVN
        set(0x0a, [0x03])  // policy: bits 16 and 17
        set(0x10, [UInt8](repeating: 0xfa, count: 16))
        set(0x20, [UInt8](repeating: 0x1a, count: 16))
        set(0x34, [1])
        set(0x40, [0x25])  // SMT, ECC, alias check
        set(0x48, [isVLEK ? 0b101 : 1])
        set(0x50, [UInt8](repeating: 0xda, count: 64))
        set(0x90, [UInt8](repeating: 0x3e, count: 48))
        set(0xc0, [UInt8](repeating: 0x40, count: 32))
        set(0xe0, [UInt8](repeating: 0x1d, count: 48))
        set(0x110, [UInt8](repeating: 0xa0, count: 48))
        for offset in [0x38, 0x180, 0x1e0, 0x1f0] { set(offset, tcb) }
        if version >= 3 {
            switch product {
            case .milan: set(0x188, [0x19, 0x01, 1])
            case .genoa: set(0x188, [0x19, 0x11, 1])
            case .turin: set(0x188, [0x1a, 0x02, 1])
            }
        }
        set(0x1a0, chip)
        for (offset, value) in changes { set(offset, value) }
        let raw = Array(try keys.leaf.signature(for: SHA384.hash(data: bytes[..<0x2a0])).rawRepresentation)
        set(0x2a0, raw[..<48].reversed())
        set(0x2e8, raw[48...].reversed())
        return bytes
    }

    /// Decides over this report with its own certificates.
    func appraise(_ policy: Policy = .standard, at: String = "2026-02-03T12:00:00Z") throws -> Appraisal {
        SCXAttestationTests.appraise(
            try report(), with: try collateral(), policy: policy, roots: roots, at: try time(at))
    }
}
