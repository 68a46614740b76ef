import SCXInference

/// The rows that one side sends to the other.
///
/// The other tensors that messages carry are permutations and rows of integers (``RingTensor``).
///
/// A worker cannot make such a tensor without a request: the trusted side's initializers are `package`, and the
/// worker's initializer needs the request that it answers.
public struct EncodedTensor: Sendable {
    /// How many rows there are.
    public let rows: Int
    /// How many values a row has.
    public let channels: Int
    /// `[rows, channels]`, row-major.
    ///
    /// Where ``layouts`` say that values are rounded, these are the rounded values, on both sides.
    public let values: [Float]
    /// How the values of a row travel, part by part.
    public let layouts: [TensorLayout]
    /// The values as they travel: for each part the bits of the exact values, then groups; empty when all parts
    /// travel in float32.
    let words: [UInt32]

    /// Whether some values travel with few bits each, in groups.
    public var isInGroups: Bool { !words.isEmpty }

    /// The size of the tensor as it is sent, in bytes.
    public var byteCount: Int { 4 * (isInGroups ? words.count : values.count) }

    /// Makes a tensor that the trusted side sends, after its profile has encoded the values.
    ///
    /// - Precondition: `values` has `rows · channels` elements.
    package init(encodedRows rows: Int, channels: Int, values: [Float]) {
        self.init(received: values, rows: rows, channels: channels)
    }

    /// Makes a tensor that the trusted side sends, rounded to 8.5 or 4.5 bits for each value instead of 32.
    ///
    /// If a value cannot be held as a half (binary16), because it is above 65,504 or not a number, the tensor stays
    /// in float32.
    ///
    /// - Parameters:
    ///   - rows: Must be 1.
    ///   - channels: How many values there are.
    ///   - values: The values to send, `[1, channels]`.
    ///   - precision: The precision to which they are rounded.
    ///   - exactPrefix: How many of the first values are not rounded.
    /// - Precondition: There is one row of `channels` values, and the prefix is not longer than the row.
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
        self.init([layout], words, rounded)
    }

    /// Joins tensors of one row each to one row; each stays a part that is sent as it would be alone.
    ///
    /// - Precondition: There is at least one tensor, and each has one row.
    package init(joining tensors: [EncodedTensor]) {
        precondition(
            !tensors.isEmpty && tensors.allSatisfy { $0.rows == 1 }, "EncodedTensor: parts are not rows")
        guard tensors.count > 1 else {
            self = tensors[0]
            return
        }
        var values: [Float] = []
        values.reserveCapacity(tensors.reduce(0) { $0 + $1.channels })
        for tensor in tensors { values += tensor.values }
        var words: [UInt32] = []
        if tensors.contains(where: \.isInGroups) {
            for tensor in tensors {
                words += tensor.isInGroups ? tensor.words : tensor.values.map(\.bitPattern)
            }
        }
        self.init(tensors.flatMap(\.layouts), words, values)
    }

    /// Makes a tensor that the worker sends back.
    ///
    /// - Parameters:
    ///   - request: The request that it answers; a worker gets one only from the trusted side.
    ///   - channels: The number of values of a row.
    ///   - values: `[rows, channels]`.
    /// - Precondition: `values` are whole rows.
    public init(resultOf request: Request, channels: Int, values: [Float]) {
        precondition(channels > 0 && values.count % channels == 0, "EncodedTensor: values are not whole rows")
        self.init(received: values, rows: values.count / channels, channels: channels)
    }

    /// Used by the decoder of messages: rows that came over the wire, of one part unless `layouts` say otherwise.
    init(received values: [Float], rows: Int, channels: Int, layouts: [TensorLayout] = []) {
        precondition(values.count == rows * channels, "EncodedTensor: values are not rows x channels")
        self.rows = rows
        self.channels = channels
        self.values = values
        self.layouts = layouts.isEmpty ? [TensorLayout(inFloat32: channels)] : layouts
        words = []
    }

    /// Used by the decoder of messages: a row that came over the wire in groups.
    ///
    /// - Throws: ``LinkError/malformedFrame(_:)`` when the words do not fit the layouts.
    init(received words: [UInt32], _ layouts: [TensorLayout]) throws(LinkError) {
        guard layouts.contains(where: { $0.precision != .float32 }),
            words.count == layouts.reduce(0, { $0 + $1.wordCount })
        else {
            throw .malformedFrame(
                "\(words.count) words for \(layouts.reduce(0) { $0 + $1.channels }) values in groups")
        }
        var values: [Float] = []
        var next = 0
        for layout in layouts {
            let part = next..<next + layout.wordCount
            next = part.upperBound
            let own = try Self.values(words.span.extracting(part), layout)
            // If there is only one part, its values are not copied.
            if values.isEmpty { values = own } else { values += own }
        }
        self.init(layouts, words, values)
    }

    /// The values of one part.
    private static func values(
        _ words: Span<UInt32>, _ layout: TensorLayout
    ) throws(LinkError) -> [Float] {
        guard layout.precision != .float32 else { return words.indices.map { Float(bitPattern: words[$0]) } }
        var values = [Float](repeating: 0, count: layout.channels)
        for i in 0..<layout.exactPrefix { values[i] = Float(bitPattern: words[i]) }
        var out = values.mutableSpan
        guard Groups.dequantize(words, from: layout.exactPrefix, bits: layout.precision.bits, into: &out)
        else { throw .malformedFrame("a group without numbers") }
        return values
    }

    private init(_ layouts: [TensorLayout], _ words: [UInt32], _ values: [Float]) {
        rows = 1
        channels = values.count
        self.values = values
        self.layouts = layouts
        self.words = words
    }
}

extension EncodedTensor: Equatable {
    /// Whether both tensors would be sent as the same bytes.
    public static func == (a: Self, b: Self) -> Bool {
        guard a.rows == b.rows, a.channels == b.channels, a.layouts == b.layouts else { return false }
        return a.isInGroups ? a.words == b.words : a.values == b.values
    }
}
