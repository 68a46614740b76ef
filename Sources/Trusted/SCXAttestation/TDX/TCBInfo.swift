/// What Intel says of a platform's security versions: TCB info, version 3, for TDX.
///
/// Source: Intel's Provisioning Certification Service, version 4, "Get TDX TCB Info".
struct TCBInfo: Decodable, Sendable {
    let id: String
    let version: Int
    let issueDate: Instant
    let nextUpdate: Instant
    /// Family, model, stepping, platform type and custom SKU, of 6 bytes.
    let fmspc: HexField
    let pceId: HexField
    let tcbEvaluationDataNumber: Int
    let tdxModule: Module
    let tdxModuleIdentities: [ModuleIdentity]?
    let tcbLevels: [Level]

    /// Who signed a TDX module, and with which attributes.
    struct Module: Decodable, Sendable {
        let mrsigner: HexField
        let attributes: HexField
        let attributesMask: HexField
    }

    struct ModuleIdentity: Decodable, Sendable {
        let id: String
        let mrsigner: HexField
        let attributes: HexField
        let attributesMask: HexField
        let tcbLevels: [EnclaveLevel]
    }

    struct Level: Decodable, Sendable {
        let tcb: Versions
        let tcbStatus: TCBStatus
    }

    struct Versions: Decodable, Sendable {
        let sgxtcbcomponents: [Component]
        let tdxtcbcomponents: [Component]
        let pcesvn: UInt16
    }

    struct Component: Decodable, Sendable {
        let svn: UInt8
    }
}

/// What Intel says of its quoting enclave: identity, version 2.
struct EnclaveIdentity: Decodable, Sendable {
    let id: String
    let version: Int
    let issueDate: Instant
    let nextUpdate: Instant
    let tcbEvaluationDataNumber: Int
    let miscselect: HexField
    let miscselectMask: HexField
    let attributes: HexField
    let attributesMask: HexField
    let mrsigner: HexField
    let isvprodid: UInt16
    let tcbLevels: [EnclaveLevel]
}

/// A security version of an enclave or a module, and what Intel says of it.
struct EnclaveLevel: Decodable, Sendable {
    let tcb: Version
    let tcbStatus: TCBStatus

    struct Version: Decodable, Sendable {
        let isvsvn: UInt16
    }
}

/// What Intel says of a security version.
package enum TCBStatus: String, CaseIterable, Decodable, Sendable {
    case upToDate = "UpToDate"
    case hardeningNeeded = "SWHardeningNeeded"
    case configurationNeeded = "ConfigurationNeeded"
    case configurationAndHardeningNeeded = "ConfigurationAndSWHardeningNeeded"
    case outOfDate = "OutOfDate"
    case outOfDateConfigurationNeeded = "OutOfDateConfigurationNeeded"
    case revoked = "Revoked"
}

/// Bytes that JSON holds as digits of base 16.
struct HexField: Decodable, Equatable, Sendable {
    let bytes: [UInt8]

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let bytes = Hex.bytes(try container.decode(String.self)) else {
            throw DecodingError.form("is not in base 16", at: container.codingPath)
        }
        self.bytes = bytes
    }
}

extension Instant: Decodable {
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let read = Instant(try container.decode(String.self)) else {
            throw DecodingError.form("is not a time in UTC", at: container.codingPath)
        }
        self = read
    }
}
