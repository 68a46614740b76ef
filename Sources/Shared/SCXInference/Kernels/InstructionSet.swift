import CSCXKernels

/// The instruction set that the CPU kernels use.
///
/// Chosen once per process, never per call.
public enum InstructionSet: UInt32, CaseIterable, Comparable, Sendable {
    case generic, neon, avx2, avx512, avx512bf16

    /// The best set that this processor and its operating system support.
    public static let detected = InstructionSet(rawValue: cscx_detect_isa().rawValue) ?? .generic

    /// The sets that can run here, from the slowest on; tests try each of them.
    public static var available: [InstructionSet] {
        #if arch(arm64)
            [.generic, .neon]
        #else
            allCases.filter { $0 <= detected && $0 != .neon }
        #endif
    }

    public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }

    var c: cscx_isa { cscx_isa(rawValue: rawValue) }
}
