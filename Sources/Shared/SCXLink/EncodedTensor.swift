/// The rows that one side sends to the other: the only thing that a request or an answer carries.
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
        precondition(values.count == rows * channels, "EncodedTensor: values are not rows x channels")
        self.rows = rows
        self.channels = channels
        self.values = values
    }

    /// What the worker sends back.
    ///
    /// - Precondition: `values` has as many elements as the request has rows, times `channels`.
    public init(resultOf request: Request, channels: Int, values: [Float]) {
        precondition(
            values.count == request.tensor.rows * channels, "EncodedTensor: not a row for each row asked")
        rows = request.tensor.rows
        self.channels = channels
        self.values = values
    }
}
