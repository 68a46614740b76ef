/// The rows that one side sends to the other: with a permutation, the only thing that a message carries.
///
/// A worker cannot make one that was not asked for: the trusted side's initializer is `package`, and its own needs
/// the request that it answers.
public struct EncodedTensor: Equatable, Sendable {
    public let rows: Int
    public let channels: Int
    /// `[rows, channels]`, row-major.
    public let values: [Float]

    public var byteCount: Int { values.count * MemoryLayout<Float>.stride }

    /// What the trusted side sends, after its profile has encoded it.
    ///
    /// - Precondition: `values` has `rows · channels` elements.
    package init(encodedRows rows: Int, channels: Int, values: [Float]) {
        self.init(received: values, rows: rows, channels: channels)
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
    }
}
