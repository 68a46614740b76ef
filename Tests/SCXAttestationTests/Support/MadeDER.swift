import Crypto
import CryptoExtras
import Foundation
import SCXAttestation

/// DER, written by hand, so that what is tested does not read what it wrote itself.
enum MadeDER {
    static func node(_ tag: UInt8, _ content: [UInt8]...) -> [UInt8] {
        let content = content.flatMap { $0 }
        switch content.count {
        case ..<128: return [tag, UInt8(content.count)] + content
        case ..<256: return [tag, 0x81, UInt8(content.count)] + content
        default: return [tag, 0x82, UInt8(content.count >> 8), UInt8(content.count & 255)] + content
        }
    }

    static func sequence(_ parts: [UInt8]...) -> [UInt8] { node(0x30, parts.flatMap { $0 }) }

    static func integer(_ value: Int) -> [UInt8] {
        var bytes = withUnsafeBytesOf(value)
        while bytes.count > 1, bytes[0] == 0, bytes[1] < 0x80 { bytes.removeFirst() }
        return node(0x02, bytes)
    }

    private static func withUnsafeBytesOf(_ value: Int) -> [UInt8] {
        (0..<8).reversed().map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }

    static func identifier(_ parts: [UInt]) -> [UInt8] {
        var bytes: [UInt8] = [UInt8(parts[0] * 40 + parts[1])]
        for part in parts.dropFirst(2) {
            var groups = [UInt8(part & 0x7f)]
            var rest = part >> 7
            while rest > 0 {
                groups.append(UInt8(rest & 0x7f) | 0x80)
                rest >>= 7
            }
            bytes += groups.reversed()
        }
        return node(0x06, bytes)
    }

    static func name(_ common: String) -> [UInt8] {
        sequence(node(0x31, sequence(identifier([2, 5, 4, 3]), node(0x0c, Array(common.utf8)))))
    }

    static func bits(_ bytes: [UInt8]) -> [UInt8] { node(0x03, [0] + bytes) }

    /// A GeneralizedTime such as `20260203120000Z`.
    static func time(_ text: String) -> [UInt8] {
        node(0x18, Array(text.filter { $0.isNumber || $0 == "Z" }.utf8))
    }

    static func fileExtension(_ id: [UInt], critical: Bool = false, _ value: [UInt8]) -> [UInt8] {
        sequence(identifier(id), critical ? node(0x01, [0xff]) : [], node(0x04, value))
    }

    static let certificateAuthority = fileExtension(
        [2, 5, 29, 19], critical: true, sequence(node(0x01, [0xff])))
    /// Certificates and revocation lists.
    static let issuerUse = fileExtension([2, 5, 29, 15], critical: true, [0x03, 0x02, 0x01, 0x06])
}

/// A key that signs made certificates, in the way of AMD or of Intel.
enum MadeSigner {
    case rsa(_RSA.Signing.PrivateKey)
    case p256(P256.Signing.PrivateKey)

    var algorithm: [UInt8] {
        switch self {
        case .p256: return MadeDER.sequence(MadeDER.identifier([1, 2, 840, 10045, 4, 3, 2]))
        case .rsa: return Self.pss(salt: 48)
        }
    }

    /// RSASSA-PSS with SHA-384.
    static func pss(salt: Int) -> [UInt8] {
        let hash = MadeDER.sequence(MadeDER.identifier([2, 16, 840, 1, 101, 3, 4, 2, 2]), [0x05, 0x00])
        let mask = MadeDER.sequence(MadeDER.identifier([1, 2, 840, 113549, 1, 1, 8]), hash)
        return MadeDER.sequence(
            MadeDER.identifier([1, 2, 840, 113549, 1, 1, 10]),
            MadeDER.sequence(
                MadeDER.node(0xa0, hash), MadeDER.node(0xa1, mask), MadeDER.node(0xa2, MadeDER.integer(salt)))
        )
    }

    var publicKey: [UInt8] {
        switch self {
        case .rsa(let key): Array(key.publicKey.derRepresentation)
        case .p256(let key): Array(key.publicKey.derRepresentation)
        }
    }

    func signature(_ bytes: [UInt8]) throws -> [UInt8] {
        switch self {
        case .rsa(let key):
            Array(try key.signature(for: SHA384.hash(data: bytes), padding: .PSS).rawRepresentation)
        case .p256(let key): Array(try key.signature(for: SHA256.hash(data: bytes)).derRepresentation)
        }
    }
}

/// A certificate that a test makes, with what it may change.
struct MadeCertificate {
    var subject: String
    var issuer: String
    var serial = 7
    var from = "20250101000000Z"
    var to = "20270101000000Z"
    var publicKey: [UInt8]
    var extensions: [[UInt8]] = []

    func encoded(by signer: MadeSigner, algorithm: [UInt8]? = nil) throws -> [UInt8] {
        let algorithm = algorithm ?? signer.algorithm
        let content = MadeDER.sequence(
            MadeDER.node(0xa0, MadeDER.integer(2)), MadeDER.integer(serial), algorithm, MadeDER.name(issuer),
            MadeDER.sequence(MadeDER.time(from), MadeDER.time(to)), MadeDER.name(subject), publicKey,
            MadeDER.node(0xa3, MadeDER.node(0x30, extensions.flatMap { $0 })))
        return MadeDER.sequence(content, algorithm, MadeDER.bits(try signer.signature(content)))
    }
}

/// A revocation list that a test makes.
struct MadeList {
    var issuer: String
    var from = "20260101000000Z"
    var to = "20260301000000Z"
    var revoked: [Int] = []
    var extensions: [UInt8] = []

    func encoded(by signer: MadeSigner) throws -> [UInt8] {
        let entries = revoked.flatMap { MadeDER.sequence(MadeDER.integer($0), MadeDER.time(from)) }
        let content = MadeDER.sequence(
            MadeDER.integer(1), signer.algorithm, MadeDER.name(issuer), MadeDER.time(from), MadeDER.time(to),
            revoked.isEmpty ? [] : MadeDER.node(0x30, entries), extensions)
        return MadeDER.sequence(content, signer.algorithm, MadeDER.bits(try signer.signature(content)))
    }
}
