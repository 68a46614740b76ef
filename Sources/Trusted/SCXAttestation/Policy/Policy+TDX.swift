extension Policy {
    /// What a TDX quote must say.
    ///
    /// Lists name what is allowed; nil allows all.
    package struct TDX: Sendable {
        /// Launch measurements (MRTD).
        package var measurements: [[UInt8]]?
        /// Of each of the four registers: the values, or nil for any.
        package var rtmrs: [[[UInt8]]?] = []
        package var allowDebug = false
        /// Whether the domain may be one that can be moved to another machine; `serviceTDs` must then name who moves it.
        package var allowMigration = false
        /// Bits of the attributes that may be set, besides those of debug mode and of migration, which have conditions of
        /// their own; and those that must be.
        package var allowedAttributes: UInt64 = ~(0xff | QuoteContents.migratable)
        package var requiredAttributes: UInt64 = 0
        package var configIDs: [[UInt8]]?
        package var owners: [[UInt8]]?
        package var ownerConfigs: [[UInt8]]?
        /// Measurements of the TDX module (MRSEAM).
        package var modules: [[UInt8]]?
        /// Hashes of service domains (MRSERVICETD), of 48 bytes; nil allows none.
        package var serviceTDs: [[UInt8]]?
        /// What Intel must say of platform, module and enclave; nil to ask for nothing, so that no collateral is needed.
        package var tcbStatuses: [TCBStatus]? = [.upToDate]
        package var minimumEvaluationNumber = 0
        package var revocation = RevocationRule.required

        init() {}
    }

    /// Compares a verified quote with this policy.
    func check(_ quote: VerifiedQuote, _ failures: inout FailureList) {
        let contents = quote.contents
        check(reportData: contents.reportData, &failures)
        guard let tdx else {
            failures.add(.evidenceKind, "the policy has no part for TDX")
            return
        }
        func require(_ allowed: [[UInt8]]?, _ value: [UInt8], _ check: Check, _ name: String) {
            failures.require(
                allowed?.contains(value) ?? true, check,
                "the policy does not name the \(name) \(Hex.text(value))")
        }
        require(tdx.measurements, quote.measurement, .measurement, "launch measurement")
        for (number, allowed) in tdx.rtmrs.enumerated() {
            require(allowed, contents.rtmrs[number], .runtimeMeasurement, "RTMR\(number)")
        }
        require(tdx.configIDs, contents.mrConfigID, .configuration, "MRCONFIGID")
        require(tdx.owners, contents.mrOwner, .configuration, "MROWNER")
        require(tdx.ownerConfigs, contents.mrOwnerConfig, .configuration, "MROWNERCONFIG")
        require(tdx.modules, contents.mrSeam, .configuration, "TDX module's MRSEAM")
        failures.require(
            tdx.allowDebug || !contents.isDebug, .debug,
            "the host may debug the trust domain (TDATTRIBUTES bit 0)")
        checkMigration(contents, tdx, &failures)
        let unknown = contents.attributes & ~(tdx.allowedAttributes | 1 | QuoteContents.migratable)
        let missing = tdx.requiredAttributes & ~contents.attributes
        failures.require(
            unknown == 0, .attributes,
            "attributes are set that the policy does not allow: \(Self.bits(unknown))")
        failures.require(
            missing == 0, .attributes,
            "attributes are not set that the policy requires: \(Self.bits(missing))")
        check(quote.evaluation, tdx, &failures)
    }

    /// A service domain that migrates this one reads all of its memory, so that it must be named as a measurement is.
    private func checkMigration(_ contents: QuoteContents, _ tdx: TDX, _ failures: inout FailureList) {
        failures.require(
            tdx.allowMigration || !contents.isMigratable, .migrationAgent,
            "the trust domain may be moved to another machine (TDATTRIBUTES bit 29)")
        guard let service = contents.mrServiceTD else {
            failures.require(
                !contents.isMigratable, .migrationAgent,
                "the trust domain may be moved, and the quote does not say by which service domain")
            return
        }
        // Zeros name no service domain; a domain that may be moved is trusted with none only where zeros are named.
        failures.require(
            !contents.isMigratable && service.isZero || tdx.serviceTDs?.contains(service) ?? false,
            .migrationAgent, "the policy does not name the service domain's MRSERVICETD \(Hex.text(service))")
    }

    private static func bits(_ value: UInt64) -> String {
        (0..<64).filter { value & (1 << $0) != 0 }.map { "bit \($0)" }.joined(separator: ", ")
    }

    private func check(_ evaluation: TCBEvaluation?, _ tdx: TDX, _ failures: inout FailureList) {
        guard let statuses = tdx.tcbStatuses else { return }
        guard let evaluation else {
            failures.add(.collateralMissing, "no TCB info and no identity of the quoting enclave are there")
            return
        }
        var levels = [
            ("platform's versions", evaluation.launch.platform),
            ("quoting enclave's versions", evaluation.enclave),
        ]
        if evaluation.launch.hasModule { levels.append(("TDX module's versions", evaluation.launch.module)) }
        // Most often both are the same, and one line of each kind says all.
        if let current = evaluation.current, current != evaluation.launch {
            levels.append(("platform's current versions", current.platform))
            if current.hasModule { levels.append(("TDX module's current versions", current.module)) }
        }
        for (name, status) in levels {
            if let status {
                failures.require(
                    statuses.contains(status), .tcbStatus, "Intel says of the \(name): \(status.rawValue)")
            } else {
                failures.add(.tcbLevelMissing, "the \(name) are below every level that Intel lists")
            }
        }
        failures.require(
            evaluation.evaluationNumber >= tdx.minimumEvaluationNumber, .evaluationNumber,
            "the collateral's evaluation number \(evaluation.evaluationNumber) is below \(tdx.minimumEvaluationNumber)"
        )
    }
}

extension Policy.TDX: Decodable {
    private enum Keys: String, CodingKey, CaseIterable {
        case measurements, rtmrs, allowDebug, allowMigration, allowedAttributes, requiredAttributes,
            mrConfigIDs
        case mrOwners, mrOwnerConfigs, mrSeams, mrServiceTDs, tcbStatuses, requireTCB,
            minimumEvaluationNumber, revocation
    }

    package init(from decoder: any Decoder) throws {
        self.init()
        let values = try decoder.strictContainer(Keys.self)
        measurements = try values.list(.measurements, of: 48)
        if let registers = try values.decodeIfPresent([[HexField]?].self, forKey: .rtmrs) {
            rtmrs = registers.map { $0?.map(\.bytes) }
            guard rtmrs.count == 4,
                rtmrs.allSatisfy({ list in
                    list.map { !$0.isEmpty && $0.allSatisfy { $0.count == 48 } } ?? true
                })
            else {
                throw values.error(.rtmrs, "is not four lists of values of 48 bytes, or null for any value")
            }
        }
        allowDebug = try values.decodeIfPresent(Bool.self, forKey: .allowDebug) ?? allowDebug
        allowMigration = try values.decodeIfPresent(Bool.self, forKey: .allowMigration) ?? allowMigration
        allowedAttributes = try Self.attributes(.allowedAttributes, values) ?? allowedAttributes
        requiredAttributes = try Self.attributes(.requiredAttributes, values) ?? requiredAttributes
        configIDs = try values.list(.mrConfigIDs, of: 48)
        owners = try values.list(.mrOwners, of: 48)
        ownerConfigs = try values.list(.mrOwnerConfigs, of: 48)
        modules = try values.list(.mrSeams, of: 48)
        serviceTDs = try values.list(.mrServiceTDs, of: 48)
        tcbStatuses = try values.decodeIfPresent([TCBStatus].self, forKey: .tcbStatuses) ?? tcbStatuses
        if try values.decodeIfPresent(Bool.self, forKey: .requireTCB) == false {
            guard !values.contains(.tcbStatuses), !values.contains(.minimumEvaluationNumber) else {
                throw values.error(
                    .requireTCB, "is false beside conditions of the TCB, which then would not hold")
            }
            tcbStatuses = nil
        }
        minimumEvaluationNumber =
            try values.decodeIfPresent(Int.self, forKey: .minimumEvaluationNumber) ?? minimumEvaluationNumber
        revocation = try values.decodeIfPresent(RevocationRule.self, forKey: .revocation) ?? revocation
    }

    /// Attributes as the quote has them: 8 bytes, the lowest first.
    private static func attributes(_ key: Keys, _ values: KeyedDecodingContainer<Keys>) throws -> UInt64? {
        guard let bytes = try values.bytes(key) else { return nil }
        guard bytes.count == 8 else {
            throw values.error(key, "has not 8 bytes")
        }
        return bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}
