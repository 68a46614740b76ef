/// What is checked of evidence.
///
/// The numbers are an interface: scripts read them, and `docs/attestation.md` lists them. A number is never given to
/// another check.
package enum Check: String, CaseIterable, Sendable {
    // 1xx: forms.
    case evidenceForm, certificateForm, revocationListForm, collateralForm, documentForm, documentMissing
    // 2xx: certificates.
    case certificateMissing, rootUnknown, certificateSignature, certificateNotYetValid, certificateExpired
    case certificateRevoked, certificateUse, revocationListMissing, revocationListSignature
    case revocationListNotYetValid, revocationListExpired
    // 3xx: SEV-SNP reports.
    case reportUnsigned, reportSignature, reportKeyKind, reportTCBDiffers, reportChipDiffers, productDiffers
    // 4xx: TDX quotes and their collateral.
    case quoteSignature, attestationKey, enclaveReportSignature, collateralMissing, collateralSignature
    case collateralNotYetValid, collateralExpired, collateralOfOtherPlatform, enclaveIdentity, moduleIdentity
    // 5xx: the policy.
    case reportData, replayed, measurement, debug, tcbTooOld, simultaneousThreads, migrationAgent
    case privilegeLevel, hostData, identity, identityKey, chip, runtimeMeasurement, tcbLevelMissing, tcbStatus
    case attributes, configuration, evaluationNumber, keyKind, platform, evidenceKind
    case channelKey, statement

    /// The stable number.
    package var number: Int {
        switch self {
        case .evidenceForm: 101
        case .certificateForm: 102
        case .revocationListForm: 103
        case .collateralForm: 104
        case .documentForm: 105
        case .documentMissing: 106
        case .certificateMissing: 201
        case .rootUnknown: 202
        case .certificateSignature: 203
        case .certificateNotYetValid: 204
        case .certificateExpired: 205
        case .certificateRevoked: 206
        case .certificateUse: 207
        case .revocationListMissing: 208
        case .revocationListSignature: 209
        case .revocationListNotYetValid: 210
        case .revocationListExpired: 211
        case .reportUnsigned: 301
        case .reportSignature: 302
        case .reportKeyKind: 303
        case .reportTCBDiffers: 304
        case .reportChipDiffers: 305
        case .productDiffers: 306
        case .quoteSignature: 401
        case .attestationKey: 402
        case .enclaveReportSignature: 403
        case .collateralMissing: 404
        case .collateralSignature: 405
        case .collateralNotYetValid: 406
        case .collateralExpired: 407
        case .collateralOfOtherPlatform: 408
        case .enclaveIdentity: 409
        case .moduleIdentity: 410
        case .reportData: 501
        case .replayed: 502
        case .measurement: 503
        case .debug: 504
        case .tcbTooOld: 505
        case .simultaneousThreads: 506
        case .migrationAgent: 507
        case .privilegeLevel: 508
        case .hostData: 509
        case .identity: 510
        case .identityKey: 511
        case .chip: 512
        case .runtimeMeasurement: 513
        case .tcbLevelMissing: 514
        case .tcbStatus: 515
        case .attributes: 516
        case .configuration: 517
        case .evaluationNumber: 518
        case .keyKind: 519
        case .platform: 520
        case .evidenceKind: 521
        case .channelKey: 522
        case .statement: 523
        }
    }
}
