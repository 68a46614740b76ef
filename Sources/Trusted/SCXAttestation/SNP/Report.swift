import Crypto

/// A SEV-SNP report that somebody handed over.
///
/// It can be verified, and asked which key it needs for that; what it says is nobody's business before.
package struct UnverifiedReport: Sendable {
    fileprivate let contents: ReportContents

    /// Reads the 1,184 bytes of a report, of versions 2 to 5.
    ///
    /// - Throws: ``Check/evidenceForm`` where it is none.
    package init(_ bytes: [UInt8]) throws(Failures) {
        do { contents = try ReportContents(bytes) } catch {
            throw Failures(.evidenceForm, "the report cannot be read: \(error.reason)")
        }
    }

    /// The kind of key that the report says it is signed with; nil for none.
    package var signingKey: SigningKey? {
        guard !contents.isUnsigned else { return nil }
        switch contents.signingKey {
        case 0: return .vcek
        case 1: return .vlek
        default: return nil
        }
    }

    /// Whether a certificate's key signed the report; says nothing of the certificate.
    func isSigned(by certificate: Certificate) -> Bool {
        PublicKey(certificate.publicKey).map { isSigned(by: $0) } ?? false
    }

    private func isSigned(by key: PublicKey) -> Bool {
        guard case .p384(let key) = key, contents.signatureAlgorithm == 1,
            let signature = try? P384.Signing.ECDSASignature(rawRepresentation: contents.signature)
        else { return false }
        return key.isValidSignature(signature, for: SHA384.hash(data: contents.signed))
    }

    /// Verifies that the key signed the report, and that both speak of the same chip and TCB version.
    ///
    /// - Throws: All checks that do not hold.
    package func verified(by key: EndorsementKey) throws(Failures) -> VerifiedReport {
        guard let signingKey else {
            throw Failures(.reportUnsigned, "the report says that it is not signed by a key of AMD")
        }
        guard isSigned(by: key.key) else {
            throw Failures(.reportSignature, "the report is not signed by the key of '\(key.chain[0].name)'")
        }
        var failures = FailureList()
        failures.require(
            signingKey == key.kind, .reportKeyKind,
            "the report names a \(signingKey.rawValue), the certificate is of a \(key.kind.rawValue)")
        if let processor = contents.processor {
            let product = Product(family: processor.family, model: processor.model)
            failures.require(
                product == key.product, .productDiffers,
                "the report is of \(product?.rawValue ?? "an unknown product"), the root of \(key.product.rawValue)"
            )
        }
        if let chip = key.paddedChip, !contents.chipID.isZero {
            failures.require(
                contents.chipID == chip, .reportChipDiffers,
                "the report and the certificate name different chips")
        }
        let versions = [contents.currentTCB, contents.reportedTCB, contents.committedTCB, contents.launchTCB]
            .compactMap { TCBVersion($0, of: key.product) }
        guard versions.count == 4 else {
            failures.add(.evidenceForm, "a TCB version of the report has unknown fields")
            throw Failures(failures.all)
        }
        failures.require(
            versions[1] == key.tcb, .reportTCBDiffers,
            "the report's TCB version is \(versions[1]), the certificate's \(key.tcb)")
        try failures.end()
        return VerifiedReport(
            contents: contents, key: key, currentTCB: versions[0], reportedTCB: versions[1],
            committedTCB: versions[2], launchTCB: versions[3])
    }
}

/// A report that a processor of AMD signed: what it says is true as far as AMD and that processor can be trusted.
///
/// Whether it is what was hoped for, the ``Policy`` decides.
package struct VerifiedReport: Sendable {
    package let contents: ReportContents
    package let key: EndorsementKey
    package let currentTCB, reportedTCB, committedTCB, launchTCB: TCBVersion

    /// Only ``UnverifiedReport/verified(by:)`` makes one.
    fileprivate init(
        contents: ReportContents, key: EndorsementKey, currentTCB: TCBVersion, reportedTCB: TCBVersion,
        committedTCB: TCBVersion, launchTCB: TCBVersion
    ) {
        self.contents = contents
        self.key = key
        self.currentTCB = currentTCB
        self.reportedTCB = reportedTCB
        self.committedTCB = committedTCB
        self.launchTCB = launchTCB
    }

    /// The launch measurement, of 48 bytes.
    package var measurement: [UInt8] { contents.measurement }
}
