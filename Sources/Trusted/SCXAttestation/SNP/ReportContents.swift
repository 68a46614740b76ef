/// What a report says (document 56860, table 23: ATTESTATION_REPORT), versions 2 to 5.
///
/// Code outside this module gets one from a ``VerifiedReport`` alone.
package struct ReportContents: Equatable, Sendable {
    static let size = 0x4a0
    /// Bytes that the signature covers, from the first.
    static let signedSize = 0x2a0

    package let version: UInt32
    package let guestSVN: UInt32
    package let policy: GuestPolicy
    package let familyID: [UInt8]
    package let imageID: [UInt8]
    /// Privilege level (VMPL) of who asked for the report; 0 is the most privileged.
    package let privilegeLevel: UInt32
    package let platform: PlatformInfo
    /// Whether an author key signed the key of the ID block.
    package let hasAuthorKey: Bool
    package let reportData: [UInt8]
    package let measurement: [UInt8]
    package let hostData: [UInt8]
    package let idKeyDigest: [UInt8]
    package let authorKeyDigest: [UInt8]
    package let reportID: [UInt8]
    /// Zeros where the machine's owner hides it.
    package let chipID: [UInt8]
    /// Versions of the firmware, as major, minor and build.
    package let currentFirmware: [UInt8]
    package let committedFirmware: [UInt8]

    let signatureAlgorithm: UInt32
    let isUnsigned: Bool
    let signingKey: UInt32
    /// TCB versions as 8 bytes: their layout depends on the product.
    let currentTCB, reportedTCB, committedTCB, launchTCB: [UInt8]
    /// CPUID family, model and stepping, from version 3.
    let processor: (family: UInt8, model: UInt8, stepping: UInt8)?
    /// r and s, big-endian, of 48 bytes each.
    let signature: [UInt8]

    package static func == (a: Self, b: Self) -> Bool { a.signed == b.signed && a.signature == b.signature }

    /// The bytes that are signed.
    let signed: [UInt8]

    init(_ bytes: [UInt8]) throws(FormError) {
        guard bytes.count == Self.size else {
            throw FormError("it has \(bytes.count) bytes; a report has \(Self.size)")
        }
        signed = Array(bytes[..<Self.signedSize])
        var reader = ByteReader(bytes)
        version = try reader.integer("version")
        guard (2...5).contains(version) else { throw FormError("version \(version) is not one of 2 to 5") }
        guestSVN = try reader.integer("guest SVN")
        policy = try GuestPolicy(reader.integer("policy"))
        familyID = try reader.take(16, "family ID")
        imageID = try reader.take(16, "image ID")
        privilegeLevel = try reader.integer("VMPL")
        signatureAlgorithm = try reader.integer("signature algorithm")
        currentTCB = try reader.take(8, "current TCB")
        platform = PlatformInfo(bits: try reader.integer("platform information"))
        let key: UInt32 = try reader.integer("key information")
        guard key >> 5 == 0 else { throw FormError("the key information has unknown bits") }
        hasAuthorKey = key & 1 != 0
        isUnsigned = key & 2 != 0
        signingKey = key >> 2
        try reader.zeros(4, "reserved field 0x4c")
        reportData = try reader.take(64, "report data")
        measurement = try reader.take(48, "measurement")
        hostData = try reader.take(32, "host data")
        idKeyDigest = try reader.take(48, "ID key digest")
        authorKeyDigest = try reader.take(48, "author key digest")
        reportID = try reader.take(32, "report ID")
        _ = try reader.take(32, "report ID of the migration agent")
        reportedTCB = try reader.take(8, "reported TCB")
        if version >= 3 {
            processor = (
                try reader.integer("family"), try reader.integer("model"), try reader.integer("stepping")
            )
            try reader.zeros(21, "reserved field 0x18b")
        } else {
            processor = nil
            try reader.zeros(24, "reserved field 0x188")
        }
        chipID = try reader.take(64, "chip ID")
        committedTCB = try reader.take(8, "committed TCB")
        currentFirmware = try reader.take(3, "current firmware").reversed()
        try reader.zeros(1, "reserved field 0x1eb")
        committedFirmware = try reader.take(3, "committed firmware").reversed()
        try reader.zeros(1, "reserved field 0x1ef")
        launchTCB = try reader.take(8, "launch TCB")
        if version >= 5 {
            _ = try reader.take(16, "mitigation vectors")
            try reader.zeros(152, "reserved field 0x208")
        } else {
            try reader.zeros(168, "reserved field 0x1f8")
        }
        var numbers: [UInt8] = []
        for name in ["r", "s"] {
            numbers += try reader.take(48, name).reversed()
            try reader.zeros(24, "the upper part of \(name)")
        }
        signature = numbers
        try reader.zeros(reader.remaining, "the field after the signature")
    }
}

/// What the guest's owner allows the host (document 56860, table 9).
package struct GuestPolicy: Equatable, Sendable {
    package let bits: UInt64

    init(_ bits: UInt64) throws(FormError) {
        guard bits & (1 << 17) != 0 else { throw FormError("bit 17 of the policy is not set") }
        guard bits >> 26 == 0 else { throw FormError("the policy has unknown bits") }
        self.bits = bits
    }

    /// Hyper-threads of other guests may run on the core.
    package var allowsThreads: Bool { bits & (1 << 16) != 0 }
    package var allowsMigrationAgent: Bool { bits & (1 << 18) != 0 }
    /// The host may read and write the guest's memory.
    package var allowsDebug: Bool { bits & (1 << 19) != 0 }
}

/// What the platform says of itself (document 56860, table 24).
package struct PlatformInfo: Equatable, Sendable {
    package let bits: UInt64

    package enum Feature: String, CaseIterable, Decodable, Sendable {
        case smt, tsme, ecc, raplDisabled, ciphertextHiding
        /// Since its start the firmware has found no two addresses that name the same memory, as BadRAM makes them.
        case aliasCheck

        var bit: UInt64 {
            switch self {
            case .smt: 0
            case .tsme: 1
            case .ecc: 2
            case .raplDisabled: 3
            case .ciphertextHiding: 4
            case .aliasCheck: 5
            }
        }
    }

    package func has(_ feature: Feature) -> Bool { bits & (1 << feature.bit) != 0 }

    /// The features that are there, in the order of their bits.
    package var features: [Feature] { Feature.allCases.filter(has) }
}
