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
        /// Bits of the attributes that may be set, besides that of debug mode; and those that must be.
        package var allowedAttributes: UInt64 = ~0xff
        package var requiredAttributes: UInt64 = 0
        package var configIDs: [[UInt8]]?
        package var owners: [[UInt8]]?
        package var ownerConfigs: [[UInt8]]?
        /// Measurements of the TDX module (MRSEAM).
        package var modules: [[UInt8]]?
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
        let unknown = contents.attributes & ~(tdx.allowedAttributes | 1)
        let missing = tdx.requiredAttributes & ~contents.attributes
        failures.require(
            unknown == 0, .attributes,
            "attributes are set that the policy does not allow: \(Self.bits(unknown))")
        failures.require(
            missing == 0, .attributes,
            "attributes are not set that the policy requires: \(Self.bits(missing))")
        check(quote.evaluation, tdx, &failures)
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
        var levels = [("platform", evaluation.platform), ("quoting enclave", evaluation.enclave)]
        if evaluation.hasModule { levels.append(("TDX module", evaluation.module)) }
        for (name, status) in levels {
            if let status {
                failures.require(
                    statuses.contains(status), .tcbStatus,
                    "Intel says of the \(name)'s versions: \(status.rawValue)")
            } else {
                failures.add(
                    .tcbLevelMissing, "the \(name)'s versions are below every level that Intel lists")
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
        case measurements, rtmrs, allowDebug, allowedAttributes, requiredAttributes, mrConfigIDs, mrOwners
        case mrOwnerConfigs, mrSeams, tcbStatuses, requireTCB, minimumEvaluationNumber, revocation
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
                throw DecodingError.dataCorruptedError(
                    forKey: .rtmrs, in: values,
                    debugDescription: "is not four lists of values of 48 bytes, or null for any value")
            }
        }
        allowDebug = try values.decodeIfPresent(Bool.self, forKey: .allowDebug) ?? allowDebug
        allowedAttributes = try Self.attributes(.allowedAttributes, values) ?? allowedAttributes
        requiredAttributes = try Self.attributes(.requiredAttributes, values) ?? requiredAttributes
        configIDs = try values.list(.mrConfigIDs, of: 48)
        owners = try values.list(.mrOwners, of: 48)
        ownerConfigs = try values.list(.mrOwnerConfigs, of: 48)
        modules = try values.list(.mrSeams, of: 48)
        tcbStatuses = try values.decodeIfPresent([TCBStatus].self, forKey: .tcbStatuses) ?? tcbStatuses
        if try values.decodeIfPresent(Bool.self, forKey: .requireTCB) == false {
            guard !values.contains(.tcbStatuses), !values.contains(.minimumEvaluationNumber) else {
                throw DecodingError.dataCorruptedError(
                    forKey: .requireTCB, in: values,
                    debugDescription: "is false beside conditions of the TCB, which then would not hold")
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
            throw DecodingError.dataCorruptedError(
                forKey: key, in: values, debugDescription: "has not 8 bytes")
        }
        return bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}
