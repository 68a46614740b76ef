import SCXInference

/// The rows that one side sends to the other: with a permutation, the only thing that a message carries.
///
/// A worker cannot make one that was not asked for: the trusted side's initializers are `package`, and its own needs
/// the request that it answers.
public struct EncodedTensor: Sendable {
    public let rows: Int
    public let channels: Int
    /// `[rows, channels]`, row-major; rounded if ``precision`` is not float32, on both sides alike.
    public let values: [Float]
    /// What the values were rounded to.
    public let precision: TensorPrecision
    /// The first values, which were not.
    public let exactPrefix: Int
    /// The bits of the exact values, then groups; empty in float32.
    let words: [UInt32]

    /// Bytes that travel.
    public var byteCount: Int { 4 * (precision == .float32 ? values.count : words.count) }

    /// How a row of it travels.
    var layout: TensorLayout {
        TensorLayout(precision: precision, exactPrefix: exactPrefix, channels: channels)
    }

    /// What the trusted side sends, after its profile has encoded it.
    ///
    /// - Precondition: `values` has `rows · channels` elements.
    package init(encodedRows rows: Int, channels: Int, values: [Float]) {
        self.init(received: values, rows: rows, channels: channels)
    }

    /// What the trusted side sends, rounded so that it takes 8.5 or 4.5 bits for each value instead of 32.
    ///
    /// Values that a half cannot hold, above 65,504 or not numbers, leave the tensor in float32.
    ///
    /// - Parameters:
    ///   - rows: Must be 1.
    ///   - channels: Values.
    ///   - values: Those to be sent.
    ///   - precision: What they are rounded to.
    ///   - exactPrefix: How many of the first values are not rounded.
    /// - Precondition: There is one row of `channels` values, the prefix among them.
    package init(
        encodedRows rows: Int, channels: Int, values: [Float], precision: TensorPrecision, exactPrefix: Int
    ) {
        precondition(rows == 1 && values.count == channels, "EncodedTensor: values are not one row")
        precondition((0...channels).contains(exactPrefix), "EncodedTensor: prefix")
        guard precision != .float32 else {
            self.init(received: values, rows: rows, channels: channels)
            return
        }
        let layout = TensorLayout(precision: precision, exactPrefix: exactPrefix, channels: channels)
        var words = [UInt32](repeating: 0, count: layout.wordCount)
        for i in 0..<exactPrefix { words[i] = values[i].bitPattern }
        var rounded = values
        var groups = words.mutableSpan
        var out = rounded.mutableSpan
        guard
            Groups.quantize(
                values.span, from: exactPrefix, bits: precision.bits, into: &groups, rounded: &out)
        else {
            self.init(received: values, rows: rows, channels: channels)
            return
        }
        self.init(layout, words, rounded)
    }

    /// What the worker sends back.
    ///
    /// - Parameters:
    ///   - request: What it answers; a worker has one only from the trusted side.
    ///   - channels: Of a row.
    ///   - values: `[rows, channels]`.
    /// - Precondition: `values` are whole rows.
    public init(resultOf request: Request, channels: Int, values: [Float]) {
        precondition(channels > 0 && values.count % channels == 0, "EncodedTensor: values are not whole rows")
        self.init(received: values, rows: values.count / channels, channels: channels)
    }

    /// The codec's way in: rows that came over the wire.
    init(received values: [Float], rows: Int, channels: Int) {
        precondition(values.count == rows * channels, "EncodedTensor: values are not rows x channels")
        self.rows = rows
        self.channels = channels
        self.values = values
        (precision, exactPrefix, words) = (.float32, 0, [])
    }

    /// The codec's way in: a row that came over the wire in groups.
    ///
    /// - Throws: ``LinkError/malformedFrame(_:)`` when the words are not as the layout has them.
    init(received words: [UInt32], _ layout: TensorLayout) throws(LinkError) {
        guard layout.precision != .float32, words.count == layout.wordCount else {
            throw .malformedFrame(
                "\(words.count) words for \(layout.channels) values in \(layout.precision)")
        }
        var values = [Float](repeating: 0, count: layout.channels)
        for i in 0..<layout.exactPrefix { values[i] = Float(bitPattern: words[i]) }
        var out = values.mutableSpan
        guard
            Groups.dequantize(
                words.span, from: layout.exactPrefix, bits: layout.precision.bits, into: &out)
        else { throw .malformedFrame("a group without numbers") }
        self.init(layout, words, values)
    }

    private init(_ layout: TensorLayout, _ words: [UInt32], _ values: [Float]) {
        rows = 1
        channels = layout.channels
        self.values = values
        precision = layout.precision
        exactPrefix = layout.exactPrefix
        self.words = words
    }
}

extension EncodedTensor: Equatable {
    /// Compares what travels.
    public static func == (a: Self, b: Self) -> Bool {
        guard a.rows == b.rows, a.channels == b.channels, a.precision == b.precision,
            a.exactPrefix == b.exactPrefix
        else { return false }
        return a.precision == .float32 ? a.values == b.values : a.words == b.words
    }
}
