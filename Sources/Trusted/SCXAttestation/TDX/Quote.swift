import Crypto

/// A TDX quote that somebody handed over.
///
/// It can be verified, and asked which certificates it carries for that; what it says is nobody's business before.
package struct UnverifiedQuote: Sendable {
    /// The largest quote that is read, in bytes.
    package static let limit = 64 * 1024

    fileprivate let contents: QuoteContents
    fileprivate let enclave: EnclaveReport
    /// Header and body, which the attestation key signs.
    fileprivate let signed: [UInt8]
    private let signature: [UInt8]
    private let attestationKey: [UInt8]
    private let enclaveBytes: [UInt8]
    private let enclaveSignature: [UInt8]
    private let authenticationData: [UInt8]
    /// The certificates within the quote, the platform's first.
    package let certificates: [Certificate]
    /// How many bytes stood behind the quote, which nothing covers; buffers of drivers are larger than quotes.
    package let trailingCount: Int

    /// Reads a quote of version 4 or 5 (bodies of TDX 1.0 and 1.5), signed by ECDSA with P-256.
    ///
    /// - Throws: ``Check/evidenceForm`` where it is none, and ``Check/certificateForm`` for its certificates.
    package init(_ bytes: [UInt8]) throws(Failures) {
        let chain: [UInt8]
        do throws(FormError) {
            guard bytes.count <= Self.limit else { throw FormError("it has more than \(Self.limit) bytes") }
            var reader = ByteReader(bytes)
            let version: UInt16 = try reader.integer("version")
            guard version == 4 || version == 5 else { throw FormError("version \(version) is not 4 or 5") }
            let keyKind: UInt16 = try reader.integer("key type")
            let tee: UInt32 = try reader.integer("TEE type")
            guard keyKind == 2, tee == 0x81 else {
                throw FormError("it is not for TDX, signed by ECDSA with P-256")
            }
            _ = try reader.take(4, "reserved field")
            guard try reader.take(16, "vendor") == Self.intel else {
                throw FormError("its enclave is not Intel's")
            }
            _ = try reader.take(20, "user data")
            var isTDX15 = false
            if version == 5 {
                let kind: UInt16 = try reader.integer("body type")
                let size: UInt32 = try reader.integer("body size")
                isTDX15 = kind == 3
                guard kind == 2 && size == 584 || kind == 3 && size == 648 else {
                    throw FormError("its body is of type \(kind) with \(size) bytes, not a TD report")
                }
            }
            contents = try QuoteContents(&reader, version: version, isTDX15: isTDX15)
            signed = reader.read(since: 0)
            let size: UInt32 = try reader.integer("signature size")
            var section = ByteReader(try reader.take(Int(size), "signature"))
            trailingCount = reader.remaining
            signature = try section.take(64, "signature")
            attestationKey = try section.take(64, "attestation key")
            var report = try Self.certified(&section, kind: 6, "QE report")
            let start = report.position
            enclave = try EnclaveReport(&report)
            enclaveBytes = report.read(since: start)
            enclaveSignature = try report.take(64, "QE report signature")
            let count: UInt16 = try report.integer("authentication data")
            authenticationData = try report.take(Int(count), "authentication data")
            var certificates = try Self.certified(&report, kind: 5, "PCK certificates")
            chain = try certificates.take(certificates.remaining, "PCK certificates")
        } catch {
            throw Failures(.evidenceForm, "the quote cannot be read: \(error.reason)")
        }
        certificates = try Self.certificates(chain)
    }

    private static let intel: [UInt8] = [
        0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
    ]

    private static func certificates(_ chain: [UInt8]) throws(Failures) -> [Certificate] {
        let blocks: [PEM.Block]
        do throws(FormError) {
            // The chain is a string in C: some generators count its zero.
            blocks = try PEM.blocks(chain.last == 0 ? chain.dropLast() : chain, comments: false)
            guard blocks.allSatisfy({ $0.label == "CERTIFICATE" }) else {
                throw FormError("it holds something else")
            }
        } catch {
            throw Failures(.certificateForm, "the quote's certificates cannot be read: \(error.reason)")
        }
        var certificates: [Certificate] = []
        for block in blocks { certificates.append(try Certificate(block.bytes)) }
        return certificates
    }

    /// Reads certification data of one kind, which must fill what is left.
    private static func certified(
        _ reader: inout ByteReader, kind: UInt16, _ name: String
    ) throws(FormError) -> ByteReader {
        let found: UInt16 = try reader.integer(name)
        guard found == kind else {
            throw FormError("its certification data is of type \(found), not \(kind)")
        }
        let size: UInt32 = try reader.integer(name)
        let part = ByteReader(try reader.take(Int(size), name))
        try reader.end("the \(name)")
        return part
    }

    /// Verifies that the platform's key signed the quoting enclave's report, that the enclave is Intel's, that its report names
    /// the attestation key, and that that key signed the quote; then, where there is any collateral of Intel's, what Intel says
    /// of the platform.
    ///
    /// - Parameters:
    ///   - key: The platform's key, verified.
    ///   - files: TCB infos, identities and the certificates of their signer, and revocation lists.
    ///   - roots: The root keys that are trusted.
    ///   - at: The time at which everything must be valid.
    ///   - revocation: Whether the root's revocation list must be there.
    /// - Returns: The quote, which can be asked for what it says.
    /// - Throws: All checks that do not hold.
    package func verified(
        by key: PlatformKey, with files: Collateral, roots: TrustRoots = .vendors, at: Instant,
        revocation: RevocationRule
    ) throws(Failures) -> VerifiedQuote {
        var failures = FailureList()
        failures.require(
            certificates.allSatisfy(key.chain.contains), .certificateUse,
            "the quote holds a certificate that is not of the chain above its platform's key")
        failures.require(
            Self.signed(enclaveBytes, enclaveSignature, by: key.key), .enclaveReportSignature,
            "the quoting enclave's report is not signed by the platform's key")
        let named = Array(SHA256.hash(data: attestationKey + authenticationData))
        failures.require(
            enclave.reportData == named + [UInt8](repeating: 0, count: 32), .attestationKey,
            "the quoting enclave's report does not name the attestation key")
        let attestationKey = try? P256.Signing.PublicKey(rawRepresentation: self.attestationKey)
        failures.require(
            attestationKey.map { Self.signed(signed, signature, by: .p256($0)) } ?? false, .quoteSignature,
            "the quote is not signed by the attestation key")
        failures.require(
            enclave.isIntelsQuotingEnclave, .enclaveIdentity,
            "the report of the quoting enclave is not of Intel's")
        failures.require(
            contents.isIntelsModule, .moduleIdentity,
            "the TDX module is not Intel's (MRSIGNERSEAM and SEAMATTRIBUTES are not zero)")
        try failures.end()
        var evaluation: TCBEvaluation?
        if files.hasDocuments {
            let verifier = CollateralVerifier(files: files, roots: roots, at: at, revocation: revocation)
            evaluation = try verifier.evaluation(of: contents, enclave, key.platform)
        }
        return VerifiedQuote(contents: contents, key: key, evaluation: evaluation)
    }

    private static func signed(_ bytes: [UInt8], _ signature: [UInt8], by key: PublicKey) -> Bool {
        guard case .p256(let key) = key,
            let signature = try? P256.Signing.ECDSASignature(rawRepresentation: signature)
        else { return false }
        return key.isValidSignature(signature, for: SHA256.hash(data: bytes))
    }
}

/// A quote that a platform of Intel signed: what it says is true as far as Intel and that platform can be trusted.
///
/// Whether it is what was hoped for, the ``Policy`` decides.
package struct VerifiedQuote: Sendable {
    package let contents: QuoteContents
    package let key: PlatformKey
    /// What Intel says of the platform's security versions; nil where no collateral was there.
    package let evaluation: TCBEvaluation?

    /// Only ``UnverifiedQuote`` makes one.
    fileprivate init(contents: QuoteContents, key: PlatformKey, evaluation: TCBEvaluation?) {
        self.contents = contents
        self.key = key
        self.evaluation = evaluation
    }

    /// The launch measurement (MRTD), of 48 bytes.
    package var measurement: [UInt8] { contents.mrTD }
}
