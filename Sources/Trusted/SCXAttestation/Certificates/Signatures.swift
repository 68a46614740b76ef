import Crypto
import CryptoExtras
import SwiftASN1

/// The two algorithms with which certificates and lists of AMD and Intel are signed.
enum SignatureAlgorithm: Hashable, Sendable {
    /// RSASSA-PSS with SHA-384, MGF1 with SHA-384 and 48 bytes of salt (RFC 4055); AMD's.
    case rsaPSS
    /// ECDSA with SHA-256 (RFC 5758); Intel's.
    case ecdsa

    init(_ node: ASN1Node) throws {
        self = try DER.sequence(node, identifier: .sequence) { parts in
            let identifier = try ASN1ObjectIdentifier(derEncoded: &parts)
            switch identifier.oidComponents {
            case [1, 2, 840, 10045, 4, 3, 2]: return .ecdsa
            case [1, 2, 840, 113549, 1, 1, 10]:
                guard let parameters = parts.next() else { throw FormError("RSASSA-PSS without parameters") }
                try Self.checkPSS(parameters)
                return .rsaPSS
            default: throw FormError("its signature algorithm is neither RSASSA-PSS nor ECDSA with SHA-256")
            }
        }
    }

    /// Accepts no other parameters than those above: defaults of RFC 4055 are SHA-1.
    private static func checkPSS(_ node: ASN1Node) throws {
        let sha384: [UInt] = [2, 16, 840, 1, 101, 3, 4, 2, 2]
        func tagged<Value>(
            _ parts: inout ASN1NodeCollection.Iterator, _ tag: UInt, _ read: (ASN1Node) throws -> Value
        ) throws -> Value {
            try DER.explicitlyTagged(&parts, tagNumber: tag, tagClass: .contextSpecific, read)
        }
        func checkHash(_ node: ASN1Node) throws {
            try DER.sequence(node, identifier: .sequence) { parts in
                guard try ASN1ObjectIdentifier(derEncoded: &parts).oidComponents.elementsEqual(sha384) else {
                    throw FormError("RSASSA-PSS with another hash than SHA-384")
                }
                if let null = parts.next() { _ = try ASN1Null(derEncoded: null) }
            }
        }
        try DER.sequence(node, identifier: .sequence) { parts in
            try tagged(&parts, 0, checkHash)
            try tagged(&parts, 1) { node in
                try DER.sequence(node, identifier: .sequence) { mask in
                    guard
                        try ASN1ObjectIdentifier(derEncoded: &mask).oidComponents == [
                            1, 2, 840, 113549, 1, 1, 8,
                        ],
                        let hash = mask.next()
                    else { throw FormError("RSASSA-PSS with another mask than MGF1") }
                    try checkHash(hash)
                }
            }
            guard try tagged(&parts, 2, { try Int(derEncoded: $0) }) == 48 else {
                throw FormError("RSASSA-PSS with another salt than 48 bytes")
            }
            let trailer = try DER.optionalExplicitlyTagged(
                &parts, tagNumber: 3, tagClass: .contextSpecific, { try Int(derEncoded: $0) })
            guard trailer ?? 1 == 1 else { throw FormError("RSASSA-PSS with an unknown trailer") }
        }
    }
}

/// A public key of the kinds that evidence is signed with.
enum PublicKey: Sendable {
    case rsa(_RSA.Signing.PublicKey)
    case p256(P256.Signing.PublicKey)
    case p384(P384.Signing.PublicKey)

    /// Reads a `SubjectPublicKeyInfo` in DER.
    ///
    /// - Returns: Nil for keys of other kinds, RSA keys of another size than 4,096 bits, and points off the curve.
    init?(_ encoded: [UInt8]) {
        let key = try? DER.sequence(DER.parse(encoded), identifier: .sequence) { parts -> PublicKey in
            guard let algorithm = parts.next() else { throw FormError("no algorithm") }
            let bits = try ASN1BitString(derEncoded: &parts)
            guard bits.paddingBits == 0 else { throw FormError("not whole bytes") }
            let (kind, curve) = try DER.sequence(algorithm, identifier: .sequence) { parts in
                let kind = try ASN1ObjectIdentifier(derEncoded: &parts)
                guard let parameter = parts.next() else { throw FormError("no parameter") }
                let curve = try? ASN1ObjectIdentifier(derEncoded: parameter)
                return (Array(kind.oidComponents), curve.map { Array($0.oidComponents) })
            }
            switch (kind, curve) {
            case ([1, 2, 840, 10045, 2, 1], [1, 2, 840, 10045, 3, 1, 7]):
                return .p256(try P256.Signing.PublicKey(x963Representation: bits.bytes))
            case ([1, 2, 840, 10045, 2, 1], [1, 3, 132, 0, 34]):
                return .p384(try P384.Signing.PublicKey(x963Representation: bits.bytes))
            case ([1, 2, 840, 113549, 1, 1, 1], _):
                let key = try _RSA.Signing.PublicKey(derRepresentation: encoded)
                guard key.keySizeInBits == 4096 else { throw FormError("another size") }
                return .rsa(key)
            default: throw FormError("another kind")
            }
        }
        guard let key else { return nil }
        self = key
    }

    /// Whether this key signed the bytes, as certificates and lists are signed.
    func signed(_ bytes: [UInt8], _ signature: [UInt8], by algorithm: SignatureAlgorithm) -> Bool {
        switch (self, algorithm) {
        case (.rsa(let key), .rsaPSS):
            // The library's salt is as long as the digest: 48 bytes here.
            return key.isValidSignature(
                _RSA.Signing.RSASignature(rawRepresentation: signature), for: SHA384.hash(data: bytes),
                padding: .PSS)
        case (.p256(let key), .ecdsa):
            guard let raw = rawSignature(signature, size: 32),
                let signature = try? P256.Signing.ECDSASignature(rawRepresentation: raw)
            else { return false }
            return key.isValidSignature(signature, for: SHA256.hash(data: bytes))
        default: return false
        }
    }
}

/// Turns an ECDSA signature in DER into r and s of fixed size.
///
/// - Returns: Nil unless it is the one encoding that DER allows, so that a changed bit cannot go unnoticed.
private func rawSignature(_ encoded: [UInt8], size: Int) -> [UInt8]? {
    try? DER.sequence(DER.parse(encoded), identifier: .sequence) { parts in
        try (0..<2).flatMap { _ in
            // The library refuses negative numbers and leading zeros, and takes away the zero of the sign.
            let number = try ArraySlice<UInt8>(derEncoded: &parts)
            guard number.count <= size else { throw FormError("too large") }
            return [UInt8](repeating: 0, count: size - number.count) + number
        }
    }
}
