/// What a TDX quote says: the trust domain's report (Intel's "TDX DCAP Quoting Library API", appendix A.3).
///
/// Code outside this module gets one from a ``VerifiedQuote`` alone.
package struct QuoteContents: Equatable, Sendable {
    package let version: UInt16
    /// Security versions of the TDX module and of the platform, of 16 bytes.
    package let teeTCB: [UInt8]
    package let mrSeam: [UInt8]
    package let mrSignerSeam: [UInt8]
    package let seamAttributes: [UInt8]
    /// The 584 bytes that bodies of all versions have, from TEE_TCB_SVN to REPORTDATA.
    let common: [UInt8]
    /// Attributes of the trust domain, of 64 bits.
    package let attributes: UInt64
    package let xfam: UInt64
    /// The launch measurement, of 48 bytes.
    package let mrTD: [UInt8]
    package let mrConfigID: [UInt8]
    package let mrOwner: [UInt8]
    package let mrOwnerConfig: [UInt8]
    /// Four registers that the guest extends, of 48 bytes each.
    package let rtmrs: [[UInt8]]
    package let reportData: [UInt8]
    /// From TDX 1.5: the versions after an update of the module that preserved its guests.
    package let currentTEETCB: [UInt8]?
    /// From TDX 1.5: the hash of service domains bound to this one, zeros for none.
    package let mrServiceTD: [UInt8]?

    init(_ reader: inout ByteReader, version: UInt16, isTDX15: Bool) throws(FormError) {
        self.version = version
        let start = reader.position
        teeTCB = try reader.take(16, "TEE_TCB_SVN")
        mrSeam = try reader.take(48, "MRSEAM")
        mrSignerSeam = try reader.take(48, "MRSIGNERSEAM")
        seamAttributes = try reader.take(8, "SEAMATTRIBUTES")
        attributes = try reader.integer("TDATTRIBUTES")
        xfam = try reader.integer("XFAM")
        mrTD = try reader.take(48, "MRTD")
        mrConfigID = try reader.take(48, "MRCONFIGID")
        mrOwner = try reader.take(48, "MROWNER")
        mrOwnerConfig = try reader.take(48, "MROWNERCONFIG")
        var registers: [[UInt8]] = []
        for _ in 0..<4 { registers.append(try reader.take(48, "an RTMR")) }
        rtmrs = registers
        reportData = try reader.take(64, "REPORTDATA")
        common = reader.read(since: start)
        currentTEETCB = isTDX15 ? try reader.take(16, "TEE_TCB_SVN_2") : nil
        mrServiceTD = isTDX15 ? try reader.take(48, "MRSERVICETD") : nil
    }

    /// Whether the host may read and change the domain's memory and registers (TDATTRIBUTES.DEBUG).
    package var isDebug: Bool { attributes & 1 != 0 }

    /// The bit TDATTRIBUTES.MIGRATABLE.
    static let migratable: UInt64 = 1 << 29

    /// Whether a service domain may read the domain out of this machine and move it to another.
    package var isMigratable: Bool { attributes & Self.migratable != 0 }

    /// Whether the TDX module is Intel's, as all of Intel's TCB infos say it: signer and attributes are zeros.
    var isIntelsModule: Bool { mrSignerSeam.isZero && seamAttributes.isZero }
}

/// The report of the quoting enclave, of 384 bytes, which names the key that signs quotes.
struct EnclaveReport: Equatable, Sendable {
    let miscSelect: [UInt8]
    let attributes: [UInt8]
    let mrSigner: [UInt8]
    let productID: UInt16
    let version: UInt16
    let reportData: [UInt8]

    init(_ reader: inout ByteReader) throws(FormError) {
        _ = try reader.take(16, "CPUSVN")
        miscSelect = try reader.take(4, "MISCSELECT")
        _ = try reader.take(28, "a reserved field")
        attributes = try reader.take(16, "ATTRIBUTES")
        _ = try reader.take(32, "MRENCLAVE")
        _ = try reader.take(32, "a reserved field")
        mrSigner = try reader.take(32, "MRSIGNER")
        _ = try reader.take(96, "a reserved field")
        productID = try reader.integer("ISVPRODID")
        version = try reader.integer("ISVSVN")
        _ = try reader.take(60, "a reserved field")
        reportData = try reader.take(64, "REPORTDATA")
    }

    /// Whether this is Intel's quoting enclave for TDX, not in debug mode.
    ///
    /// The platform's key signs the reports of every enclave that may use it, whoever wrote the enclave, so that a quote means
    /// nothing before this is known, with or without collateral. The values are those of Intel's identity `TD_QE`, from
    /// `https://api.trustedservices.intel.com/tdx/certification/v4/qe/identity`.
    var isIntelsQuotingEnclave: Bool {
        let mask = [0xfb] + [UInt8](repeating: 0xff, count: 7) + [UInt8](repeating: 0, count: 8)
        return mrSigner == Self.intel && productID == 2 && miscSelect.isZero
            && zip(attributes, mask).map { $0 & $1 } == [0x11] + [UInt8](repeating: 0, count: 15)
    }

    /// The hash of the key with which Intel signs the quoting enclave.
    private static let intel: [UInt8] = [
        0xdc, 0x9e, 0x2a, 0x7c, 0x6f, 0x94, 0x8f, 0x17, 0x47, 0x4e, 0x34, 0xa7, 0xfc, 0x43, 0xed, 0x03,
        0x0f, 0x7c, 0x15, 0x63, 0xf1, 0xba, 0xbd, 0xdf, 0x63, 0x40, 0xc8, 0x2e, 0x0e, 0x54, 0xa8, 0xc5,
    ]
}
