/// A virtual processor's state at launch: the page (VMSA) that the firmware measures.
///
/// Offsets are those of AMD's manual, volume 2 (document 24593), table B-4; values are those that QEMU and KVM set.
struct SaveArea {
    private(set) var page = [UInt8](repeating: 0, count: 4096)

    /// Where the first processor begins: the reset vector.
    static let resetVector: UInt32 = 0xffff_fff0

    /// - Parameters:
    ///   - instruction: Address of the first instruction.
    ///   - processor: What CPUID function 1 gives in EAX: family, model and stepping.
    ///   - features: The guest's SEV features (SEV_FEATURES).
    init(instruction: UInt32, processor: UInt32, features: UInt64) {
        for offset in [0x00, 0x30, 0x40, 0x50] { segment(offset, attributes: 0x93) }  // ES, DS, FS, GS
        segment(0x10, selector: 0xf000, attributes: 0x9b, base: UInt64(instruction & 0xffff_0000))  // CS
        segment(0x20, attributes: 0x93)  // SS
        segment(0x60, attributes: 0)  // GDTR
        segment(0x70, attributes: 0x82)  // LDTR
        segment(0x80, attributes: 0)  // IDTR
        segment(0x90, attributes: 0x8b)  // TR
        set(0x0d0, UInt64(0x1000))  // EFER
        set(0x148, UInt64(0x40))  // CR4
        set(0x158, UInt64(0x10))  // CR0
        set(0x160, UInt64(0x400))  // DR7
        set(0x168, UInt64(0xffff_0ff0))  // DR6
        set(0x170, UInt64(0x2))  // RFLAGS
        set(0x178, UInt64(instruction & 0xffff))  // RIP
        set(0x268, UInt64(0x0007_0406_0007_0406))  // G_PAT
        set(0x310, UInt64(processor))  // RDX
        set(0x3b0, features)  // SEV_FEATURES
        set(0x3e8, UInt64(1))  // XCR0
        set(0x408, UInt32(0x1f80))  // MXCSR
        set(0x410, UInt16(0x37f))  // x87 control word
    }

    private mutating func segment(
        _ offset: Int, selector: UInt16 = 0, attributes: UInt16, base: UInt64 = 0
    ) {
        set(offset, selector)
        set(offset + 2, attributes)
        set(offset + 4, UInt32(0xffff))  // limit
        set(offset + 8, base)
    }

    private mutating func set<Value: FixedWidthInteger>(_ offset: Int, _ value: Value) {
        for byte in 0..<Value.bitWidth / 8 {
            page[offset + byte] = UInt8(truncatingIfNeeded: value >> (8 * byte))
        }
    }
}
