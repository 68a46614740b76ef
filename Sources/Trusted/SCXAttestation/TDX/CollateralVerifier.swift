import Crypto

/// What Intel says of the security versions that a quote was made with.
package struct TCBEvaluation: Equatable, Sendable {
    /// What Intel says of one set of versions of platform and TDX module.
    package struct Levels: Equatable, Sendable {
        /// Of the platform; nil where its versions are below every level that Intel lists.
        package let platform: TCBStatus?
        /// Of the TDX module, where the quote names its version; nil in `module` where Intel lists none so low.
        package let hasModule: Bool
        package let module: TCBStatus?
    }

    /// Of the versions with which the trust domain was started (TEE_TCB_SVN).
    package let launch: Levels
    /// Of the versions when the quote was made, which a preserving update of the module changes (TEE_TCB_SVN_2); nil for bodies
    /// of TDX 1.0, which do not name them.
    package let current: Levels?
    /// Of the quoting enclave.
    package let enclave: TCBStatus?
    /// The older of the numbers of the TCB info and the identity; it rises with each of Intel's recoveries.
    package let evaluationNumber: Int
}

/// Verifies TCB infos and identities, and finds the levels that a quote reaches.
struct CollateralVerifier {
    let files: Collateral
    let roots: TrustRoots
    let at: Instant
    let revocation: RevocationRule

    func evaluation(
        of quote: QuoteContents, _ enclave: EnclaveReport, _ platform: PlatformExtensions
    ) throws(Failures) -> TCBEvaluation {
        var failures = FailureList()
        let documents = self.documents(of: platform, &failures)
        // What is not signed is not compared with.
        try failures.end()
        guard let (info, identity) = documents else { preconditionFailure("documents without a failure") }
        failures.require(
            Self.matches(enclave, identity), .enclaveIdentity,
            "the quoting enclave is not the one of Intel's identity")
        let launch = levels(of: quote.teeTCB, quote, platform, info, &failures)
        let current = quote.currentTEETCB.map { levels(of: $0, quote, platform, info, &failures) }
        try failures.end()
        return TCBEvaluation(
            launch: launch, current: current,
            enclave: identity.tcbLevels.first { $0.tcb.isvsvn <= enclave.version }?.tcbStatus,
            evaluationNumber: min(info.tcbEvaluationDataNumber, identity.tcbEvaluationDataNumber))
    }

    /// Finds the TCB info of a platform and the identity of the quoting enclave, and verifies both.
    ///
    /// - Returns: Nil where one is missing; what is returned counts only where no failure was added.
    func documents(
        of platform: PlatformExtensions, _ failures: inout FailureList
    ) -> (TCBInfo, EnclaveIdentity)? {
        let infos = files.tcbInfos.filter { $0.content.id == "TDX" && $0.content.version == 3 }
        let own = infos.filter {
            $0.content.fmspc.bytes == platform.fmspc && $0.content.pceId.bytes == platform.pceID
        }
        let identities = files.identities.filter { $0.content.id == "TD_QE" && $0.content.version == 2 }
        failures.require(!infos.isEmpty, .collateralMissing, "no TCB info for TDX is there")
        failures.require(
            !identities.isEmpty, .collateralMissing, "no identity of the TDX quoting enclave is there")
        failures.require(
            infos.isEmpty || !own.isEmpty, .collateralOfOtherPlatform,
            "no TCB info is of the quote's platform, FMSPC \(Hex.text(platform.fmspc))")
        guard let info = newest(own, \.issueDate), let identity = newest(identities, \.issueDate) else {
            return nil
        }
        check(
            "TCB info", info.signed, info.signature, from: info.content.issueDate,
            to: info.content.nextUpdate,
            &failures)
        check(
            "enclave identity", identity.signed, identity.signature, from: identity.content.issueDate,
            to: identity.content.nextUpdate, &failures)
        return (info.content, identity.content)
    }

    /// The newest that is not of the future, else the oldest; one that nobody signed only where no other is there.
    private func newest<Content>(
        _ documents: [SignedDocument<Content>], _ date: KeyPath<Content, Instant>
    ) -> SignedDocument<Content>? {
        let signed = documents.filter { !signers(of: $0.signed, $0.signature).isEmpty }
        let sorted = (signed.isEmpty ? documents : signed).sorted {
            $0.content[keyPath: date] > $1.content[keyPath: date]
        }
        return sorted.first { $0.content[keyPath: date] <= at } ?? sorted.last
    }

    private func check(
        _ name: String, _ signed: [UInt8], _ signature: [UInt8], from: Instant, to: Instant,
        _ failures: inout FailureList
    ) {
        checkSigner(name, signed, signature, &failures)
        failures.require(from <= at, .collateralNotYetValid, "the \(name) begins on \(from)")
        failures.require(at <= to, .collateralExpired, "the \(name) ended on \(to)")
    }

    /// The certificates of Intel's name for them whose keys signed a document; their chains are not verified.
    private func signers(of signed: [UInt8], _ signature: [UInt8]) -> [Certificate] {
        guard let signature = try? P256.Signing.ECDSASignature(rawRepresentation: signature) else {
            return []
        }
        let digest = SHA256.hash(data: signed)
        return files.certificates.filter { certificate in
            guard certificate.name == "Intel SGX TCB Signing",
                case .p256(let key) = PublicKey(certificate.publicKey)
            else { return false }
            return key.isValidSignature(signature, for: digest)
        }
    }

    /// Finds the certificate that signed a document, and verifies its chain.
    ///
    /// Intel renews the certificate of one key, so that several may fit: the first whose chain holds is taken.
    private func checkSigner(
        _ name: String, _ signed: [UInt8], _ signature: [UInt8], _ failures: inout FailureList
    ) {
        let signers = signers(of: signed, signature)
        guard !signers.isEmpty else {
            failures.add(
                .collateralSignature, "the \(name) is not signed by a certificate 'Intel SGX TCB Signing'")
            return
        }
        let store = CertificateStore(certificates: files.certificates, lists: files.lists, at: at)
        var first: FailureList?
        for signer in signers {
            var found = FailureList()
            let isRequired = revocation == .required
            _ = store.chain(
                above: signer, to: [roots.intel], listsFor: (leaf: isRequired, issuers: isRequired),
                into: &found)
            if found.all.isEmpty { return }
            first = first ?? found
        }
        for failure in first?.all ?? [] { failures.add(failure.check, failure.detail) }
    }

    // MARK: Comparing

    private static func matches(_ enclave: EnclaveReport, _ identity: EnclaveIdentity) -> Bool {
        masked(enclave.miscSelect, identity.miscselectMask.bytes) == identity.miscselect.bytes
            && masked(enclave.attributes, identity.attributesMask.bytes) == identity.attributes.bytes
            && enclave.mrSigner == identity.mrsigner.bytes && enclave.productID == identity.isvprodid
    }

    /// - Returns: Nil where the sizes differ.
    private static func masked(_ bytes: [UInt8], _ mask: [UInt8]) -> [UInt8]? {
        guard bytes.count == mask.count else { return nil }
        return zip(bytes, mask).map { $0 & $1 }
    }

    /// Finds the levels that a quote's versions reach, of 16 bytes.
    private func levels(
        of versions: [UInt8], _ quote: QuoteContents, _ platform: PlatformExtensions, _ info: TCBInfo,
        _ failures: inout FailureList
    ) -> TCBEvaluation.Levels {
        let module = moduleLevel(of: versions, quote, info, &failures)
        return TCBEvaluation.Levels(
            platform: info.tcbLevels.first { Self.reaches($0.tcb, versions, platform) }?.tcbStatus,
            hasModule: module.isNamed, module: module.status)
    }

    /// Whether platform and quote have at least the versions of a level.
    ///
    /// Where the quote names a version of the TDX module, the first two components are the module's, and are compared by
    /// ``moduleLevel(of:_:_:_:)``.
    private static func reaches(
        _ level: TCBInfo.Versions, _ versions: [UInt8], _ platform: PlatformExtensions
    ) -> Bool {
        guard level.sgxtcbcomponents.count == 16, level.tdxtcbcomponents.count == 16 else { return false }
        let skipped = versions[1] == 0 ? 0 : 2
        return platform.pceSVN >= level.pcesvn
            && zip(platform.components, level.sgxtcbcomponents).allSatisfy { $0 >= $1.svn }
            && zip(versions, level.tdxtcbcomponents).dropFirst(skipped).allSatisfy { $0 >= $1.svn }
    }

    /// Checks who signed the TDX module, and finds the level of its version where the quote names one.
    private func moduleLevel(
        of versions: [UInt8], _ quote: QuoteContents, _ info: TCBInfo, _ failures: inout FailureList
    ) -> (isNamed: Bool, status: TCBStatus?) {
        func matches(_ signer: HexField, _ attributes: HexField, _ mask: HexField) -> Bool {
            quote.mrSignerSeam == signer.bytes
                && Self.masked(quote.seamAttributes, mask.bytes) == attributes.bytes
        }
        let version = versions[1]
        guard version > 0 else {
            failures.require(
                matches(info.tdxModule.mrsigner, info.tdxModule.attributes, info.tdxModule.attributesMask),
                .moduleIdentity, "the TDX module is not the one of Intel's TCB info")
            return (false, nil)
        }
        let name = "TDX_\(Hex.text([version]))"
        guard
            let identity = info.tdxModuleIdentities?.first(where: { $0.id.uppercased() == name.uppercased() })
        else {
            failures.add(.moduleIdentity, "Intel's TCB info lists no module '\(name)'")
            return (true, nil)
        }
        failures.require(
            matches(identity.mrsigner, identity.attributes, identity.attributesMask), .moduleIdentity,
            "the TDX module is not the '\(name)' of Intel's TCB info")
        return (true, identity.tcbLevels.first { $0.tcb.isvsvn <= UInt16(versions[0]) }?.tcbStatus)
    }
}
