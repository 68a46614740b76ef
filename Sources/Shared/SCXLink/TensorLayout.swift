import SCXInference

/// The precision in which values are sent.
public enum TensorPrecision: UInt8, CaseIterable, Sendable {
    case float32 = 0
    case int4 = 4
    case int8 = 8

    /// The number of bits of a value; in groups, each value takes half a bit more for its share of the group's minimum
    /// and step.
    var bits: Int { self == .float32 ? 32 : Int(rawValue) }
}

/// How the values of a row, or of a part of one, are sent: all in float32, or the first few in float32 and the others
/// in groups with few bits each.
///
/// ``Groups`` says what a group is.
public struct TensorLayout: Equatable, Sendable {
    /// The precision of all values after the prefix.
    public let precision: TensorPrecision
    /// How many of the first values are sent in float32 although the others are not.
    public let exactPrefix: Int
    /// How many values there are in all.
    public let channels: Int

    /// Makes a layout.
    ///
    /// - Precondition: The prefix is not longer than the channels, and is 0 in float32, where it has no meaning.
    init(precision: TensorPrecision, exactPrefix: Int, channels: Int) {
        precondition((0...channels).contains(exactPrefix), "TensorLayout: prefix")
        precondition(precision != .float32 || exactPrefix == 0, "TensorLayout: float32 has no prefix")
        self.precision = precision
        self.exactPrefix = exactPrefix
        self.channels = channels
    }

    /// The layout of values that are not rounded.
    init(inFloat32 channels: Int) { self.init(precision: .float32, exactPrefix: 0, channels: channels) }

    /// Reads a layout from the numbers of a message; nil when they are not valid.
    init?(precision: UInt8, exactPrefix: UInt32, channels: UInt32) {
        guard let precision = TensorPrecision(rawValue: precision), exactPrefix <= channels,
            precision != .float32 || exactPrefix == 0
        else { return nil }
        self.init(precision: precision, exactPrefix: Int(exactPrefix), channels: Int(channels))
    }

    /// The number of 32-bit words in which the values are sent.
    var wordCount: Int {
        precision == .float32
            ? channels : exactPrefix + Groups.wordCount(channels - exactPrefix, bits: precision.bits)
    }
}
