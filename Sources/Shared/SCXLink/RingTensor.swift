/// Rows of integers modulo 2³², which profile `sealed` sends and the worker answers.
///
/// As with ``EncodedTensor``, a worker cannot make such a tensor without a request.
public struct RingTensor: Equatable, Sendable {
    public let rows: Int
    public let channels: Int
    /// `[rows, channels]`, row-major.
    public let values: [UInt32]

    /// The size of the tensor as it is sent, in bytes.
    public var byteCount: Int { 4 * values.count }

    /// Makes a tensor that the trusted side sends; a one-time pad was added to each row.
    ///
    /// - Precondition: `values` has `rows · channels` elements.
    package init(paddedRows rows: Int, channels: Int, values: [UInt32]) {
        self.init(received: values, rows: rows, channels: channels)
    }

    /// Makes one tensor of the answers of several workers to the parts of one request, joined by columns or by rows.
    ///
    /// - Precondition: `values` has `rows · channels` elements.
    package init(joinedRows rows: Int, channels: Int, values: [UInt32]) {
        self.init(received: values, rows: rows, channels: channels)
    }

    /// Makes a tensor that the worker sends back.
    ///
    /// - Parameters:
    ///   - request: The request that it answers; a worker gets one only from the trusted side.
    ///   - channels: The number of values of a row.
    ///   - values: `[rows, channels]`.
    /// - Precondition: `values` are whole rows.
    public init(resultOf request: Request, channels: Int, values: [UInt32]) {
        precondition(channels > 0 && values.count % channels == 0, "RingTensor: values are not whole rows")
        self.init(received: values, rows: values.count / channels, channels: channels)
    }

    /// Used by the decoder of messages: rows that came over the wire.
    init(received values: [UInt32], rows: Int, channels: Int) {
        precondition(values.count == rows * channels, "RingTensor: values are not rows x channels")
        self.rows = rows
        self.channels = channels
        self.values = values
    }
}
