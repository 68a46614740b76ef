/// Rows of integers modulo 2³²: what profile `sealed` sends, and what the worker answers.
///
/// A worker cannot make one that was not asked for, as with ``EncodedTensor``.
public struct RingTensor: Equatable, Sendable {
    public let rows: Int
    public let channels: Int
    /// `[rows, channels]`, row-major.
    public let values: [UInt32]

    /// Bytes that travel.
    public var byteCount: Int { 4 * values.count }

    /// What the trusted side sends, after a one-time pad was added to it.
    ///
    /// - Precondition: `values` has `rows · channels` elements.
    package init(paddedRows rows: Int, channels: Int, values: [UInt32]) {
        self.init(received: values, rows: rows, channels: channels)
    }

    /// Answers of several workers to the parts of one request, side by side or one below the other.
    ///
    /// - Precondition: `values` has `rows · channels` elements.
    package init(joinedRows rows: Int, channels: Int, values: [UInt32]) {
        self.init(received: values, rows: rows, channels: channels)
    }

    /// What the worker sends back.
    ///
    /// - Parameters:
    ///   - request: What it answers; a worker has one only from the trusted side.
    ///   - channels: Of a row.
    ///   - values: `[rows, channels]`.
    /// - Precondition: `values` are whole rows.
    public init(resultOf request: Request, channels: Int, values: [UInt32]) {
        precondition(channels > 0 && values.count % channels == 0, "RingTensor: values are not whole rows")
        self.init(received: values, rows: values.count / channels, channels: channels)
    }

    /// The codec's way in: rows that came over the wire.
    init(received values: [UInt32], rows: Int, channels: Int) {
        precondition(values.count == rows * channels, "RingTensor: values are not rows x channels")
        self.rows = rows
        self.channels = channels
        self.values = values
    }
}
