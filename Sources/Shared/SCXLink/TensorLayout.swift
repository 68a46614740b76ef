import SCXInference

/// What the values of a tensor are rounded to.
public enum TensorPrecision: UInt8, CaseIterable, Sendable {
    case float32 = 0
    case int4 = 4
    case int8 = 8

    /// Bits of a value, beside half a bit for its group.
    var bits: Int { self == .float32 ? 32 : Int(rawValue) }
}

/// How the values of a row, or of a part of one, travel: in float32, or all but the first few in groups with few bits
/// each.
///
/// ``Groups`` says what a group is.
public struct TensorLayout: Equatable, Sendable {
    public let precision: TensorPrecision
    /// The first values, which travel in float32 although the others do not.
    public let exactPrefix: Int
    /// All values.
    public let channels: Int

    /// - Precondition: The prefix lies within the channels, and is empty in float32, where it has no meaning.
    init(precision: TensorPrecision, exactPrefix: Int, channels: Int) {
        precondition((0...channels).contains(exactPrefix), "TensorLayout: prefix")
        precondition(precision != .float32 || exactPrefix == 0, "TensorLayout: float32 has no prefix")
        self.precision = precision
        self.exactPrefix = exactPrefix
        self.channels = channels
    }

    /// The layout of values that are not rounded.
    init(inFloat32 channels: Int) { self.init(precision: .float32, exactPrefix: 0, channels: channels) }

    /// A layout that somebody else has written down; nil when there is none with these numbers.
    init?(precision: UInt8, exactPrefix: UInt32, channels: UInt32) {
        guard let precision = TensorPrecision(rawValue: precision), exactPrefix <= channels,
            precision != .float32 || exactPrefix == 0
        else { return nil }
        self.init(precision: precision, exactPrefix: Int(exactPrefix), channels: Int(channels))
    }

    /// 32-bit words of the values as they travel.
    var wordCount: Int {
        precision == .float32
            ? channels : exactPrefix + Groups.wordCount(channels - exactPrefix, bits: precision.bits)
    }
}
