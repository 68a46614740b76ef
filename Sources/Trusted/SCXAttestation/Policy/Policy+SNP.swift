extension Policy {
    /// What a SEV-SNP report must say.
    ///
    /// Lists name what is allowed; nil allows all.
    package struct SNP: Sendable {
        package var measurements: [[UInt8]]?
        /// The oldest TCB version for each product; a product that is not named is refused.
        package var minimumTCB: [Product: TCBVersion]?
        package var allowDebug = false
        package var allowThreads = true
        package var allowMigrationAgent = false
        package var privilegeLevels: [UInt32] = [0]
        package var hostData: [[UInt8]]?
        package var familyIDs: [[UInt8]]?
        package var imageIDs: [[UInt8]]?
        package var minimumGuestSVN: UInt32 = 0
        package var idKeyDigests: [[UInt8]]?
        package var authorKeyDigests: [[UInt8]]?
        package var chipIDs: [[UInt8]]?
        package var signingKeys: [SigningKey] = SigningKey.allCases
        package var requiredPlatform: [PlatformInfo.Feature] = []
        package var revocation = RevocationRule.whenGiven

        init() {}
    }

    /// Compares a verified report with this policy.
    func check(_ report: VerifiedReport, _ failures: inout FailureList) {
        let contents = report.contents
        check(reportData: contents.reportData, &failures)
        guard let snp else {
            failures.add(.evidenceKind, "the policy has no part for SEV-SNP")
            return
        }
        failures.require(
            snp.measurements?.contains(report.measurement) ?? true, .measurement,
            "the policy does not name the launch measurement \(Hex.text(report.measurement))")
        failures.require(
            snp.allowDebug || !contents.policy.allowsDebug, .debug,
            "the host may debug the guest (policy bit 19)")
        failures.require(
            snp.allowThreads || !contents.policy.allowsThreads, .simultaneousThreads,
            "the guest may share cores with others (policy bit 16)")
        failures.require(
            snp.allowMigrationAgent || !contents.policy.allowsMigrationAgent, .migrationAgent,
            "the guest may have a migration agent (policy bit 18)")
        failures.require(
            snp.privilegeLevels.contains(contents.privilegeLevel), .privilegeLevel,
            "the report is of privilege level \(contents.privilegeLevel)")
        failures.require(
            snp.hostData?.contains(contents.hostData) ?? true, .hostData,
            "the policy does not name the host data \(Hex.text(contents.hostData))")
        if let chips = snp.chipIDs {
            // The certificate's word counts: a report may hide its chip, and one signed by a VLEK binds it to nothing.
            if let chip = report.key.paddedChip {
                failures.require(
                    chips.contains(chip), .chip,
                    "the policy does not name the chip \(Hex.text(chip.prefix(8)))…")
            } else {
                failures.add(.chip, "the policy names chips, and a VLEK is not bound to one")
            }
        }
        failures.require(
            snp.signingKeys.contains(report.key.kind), .keyKind,
            "the report is signed by a \(report.key.kind.rawValue)")
        for feature in snp.requiredPlatform where !contents.platform.has(feature) {
            failures.add(.platform, "the platform does not report '\(feature.rawValue)'")
        }
        checkTCB(report, snp, &failures)
        checkIdentity(contents, snp, &failures)
    }

    func check(reportData: [UInt8], _ failures: inout FailureList) {
        failures.require(
            self.reportData.map { $0 == reportData } ?? true, .reportData,
            "the report data is not what was asked for")
    }

    private func checkTCB(_ report: VerifiedReport, _ snp: SNP, _ failures: inout FailureList) {
        guard let minimums = snp.minimumTCB else { return }
        let product = report.key.product
        guard let minimum = minimums[product] else {
            failures.add(.tcbTooOld, "the policy names no TCB version for \(product.rawValue)")
            return
        }
        // The committed version is what the host can return to, the launch version what the guest was made with.
        let versions = [
            ("reported", report.reportedTCB), ("current", report.currentTCB),
            ("committed", report.committedTCB),
            ("launch", report.launchTCB),
        ]
        for (name, version) in versions where !version.isAtLeast(minimum) {
            failures.add(.tcbTooOld, "the \(name) TCB version is \(version), below \(minimum)")
        }
    }

    private func checkIdentity(_ contents: ReportContents, _ snp: SNP, _ failures: inout FailureList) {
        failures.require(
            snp.familyIDs?.contains(contents.familyID) ?? true, .identity,
            "the policy does not name the family ID \(Hex.text(contents.familyID))")
        failures.require(
            snp.imageIDs?.contains(contents.imageID) ?? true, .identity,
            "the policy does not name the image ID \(Hex.text(contents.imageID))")
        failures.require(
            contents.guestSVN >= snp.minimumGuestSVN, .identity,
            "the guest's security version \(contents.guestSVN) is below \(snp.minimumGuestSVN)")
        failures.require(
            snp.idKeyDigests?.contains(contents.idKeyDigest) ?? true, .identityKey,
            "the policy does not name the ID key \(Hex.text(contents.idKeyDigest.prefix(8)))…")
        failures.require(
            snp.authorKeyDigests.map { contents.hasAuthorKey && $0.contains(contents.authorKeyDigest) }
                ?? true,
            .identityKey,
            "the policy does not name the author key \(Hex.text(contents.authorKeyDigest.prefix(8)))…")
    }
}

extension Policy.SNP: Decodable {
    private enum Keys: String, CodingKey, CaseIterable {
        case measurements, minimumTCB, allowDebug, allowSMT, allowMigrationAgent, vmpl, hostData, familyIDs
        case imageIDs, minimumGuestSVN, idKeyDigests, authorKeyDigests, chipIDs, signingKeys, requiredPlatform
        case revocation
    }

    package init(from decoder: any Decoder) throws {
        self.init()
        let values = try decoder.strictContainer(Keys.self)
        measurements = try values.list(.measurements, of: 48)
        minimumTCB = try values.decodeIfPresent([Product: TCBVersion].self, forKey: .minimumTCB)
        for (product, version) in minimumTCB ?? [:]
        where (product == .turin) != (version.fmc != nil) {
            throw values.error(
                .minimumTCB, "has 'fmc' for another product than Turin, or Turin without 'fmc'")
        }
        allowDebug = try values.decodeIfPresent(Bool.self, forKey: .allowDebug) ?? allowDebug
        allowThreads = try values.decodeIfPresent(Bool.self, forKey: .allowSMT) ?? allowThreads
        allowMigrationAgent =
            try values.decodeIfPresent(Bool.self, forKey: .allowMigrationAgent) ?? allowMigrationAgent
        privilegeLevels = try values.decodeIfPresent([UInt32].self, forKey: .vmpl) ?? privilegeLevels
        hostData = try values.list(.hostData, of: 32)
        familyIDs = try values.list(.familyIDs, of: 16)
        imageIDs = try values.list(.imageIDs, of: 16)
        minimumGuestSVN = try values.decodeIfPresent(UInt32.self, forKey: .minimumGuestSVN) ?? minimumGuestSVN
        idKeyDigests = try values.list(.idKeyDigests, of: 48)
        authorKeyDigests = try values.list(.authorKeyDigests, of: 48)
        chipIDs = try values.list(.chipIDs, of: 64)
        signingKeys = try values.decodeIfPresent([SigningKey].self, forKey: .signingKeys) ?? signingKeys
        requiredPlatform =
            try values.decodeIfPresent([PlatformInfo.Feature].self, forKey: .requiredPlatform)
            ?? requiredPlatform
        revocation = try values.decodeIfPresent(RevocationRule.self, forKey: .revocation) ?? revocation
    }
}

extension TCBVersion: Decodable {
    private enum Keys: String, CodingKey, CaseIterable { case fmc, bootLoader, tee, snp, microcode }

    package init(from decoder: any Decoder) throws {
        let values = try decoder.strictContainer(Keys.self)
        self.init(
            fmc: try values.decodeIfPresent(UInt8.self, forKey: .fmc),
            bootLoader: try values.decode(UInt8.self, forKey: .bootLoader),
            tee: try values.decode(UInt8.self, forKey: .tee),
            snp: try values.decode(UInt8.self, forKey: .snp),
            microcode: try values.decode(UInt8.self, forKey: .microcode))
    }
}
