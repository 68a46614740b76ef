/// The floating-point formats in which weights are stored on disk, by their names in safetensors.
public enum ElementType: String, CaseIterable, Sendable {
    case f32 = "F32"
    case f16 = "F16"
    case bf16 = "BF16"

    /// Bytes of one element.
    public var byteCount: Int { self == .f32 ? 4 : 2 }
}

/// How weights are held in memory.
public enum WeightFormat: String, CaseIterable, Sendable {
    case f32
    case bf16
    /// Symmetric signed 8-bit integers, one scale per output column.
    case int8
    /// 4-bit integers, one scale per group of inputs and output column.
    case int4
}
