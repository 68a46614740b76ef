/// Rows in float64, with which the worker answers an exact product.
///
/// They travel as 32-bit words, of each value the low half of its bits and then the high half. As with
/// ``EncodedTensor``, a worker cannot make such a tensor without a request.
public struct Float64Tensor: Equatable, Sendable {
    public let rows: Int
    public let channels: Int
    /// `[rows, channels]`, row-major.
    public let values: [Double]

    /// The size of the tensor as it is sent, in bytes.
    public var byteCount: Int { 8 * values.count }

    /// Makes a tensor that the worker sends back.
    ///
    /// - Parameters:
    ///   - request: The request that it answers; a worker gets one only from the trusted side.
    ///   - channels: The number of values of a row.
    ///   - values: `[rows, channels]`.
    /// - Precondition: `values` are whole rows.
    public init(resultOf request: Request, channels: Int, values: [Double]) {
        precondition(channels > 0 && values.count % channels == 0, "Float64Tensor: values are not whole rows")
        rows = values.count / channels
        self.channels = channels
        self.values = values
    }

    /// Reads rows of words as they travel; nil when a row is not whole values.
    ///
    /// - Parameters:
    ///   - words: `[rows, 2 · channels]`, row-major.
    ///   - rows: How many rows there are.
    public init?(words: [UInt32], rows: Int) {
        guard rows > 0, words.count % (2 * rows) == 0, !words.isEmpty else { return nil }
        self.rows = rows
        channels = words.count / (2 * rows)
        values = (0..<words.count / 2).map {
            Double(bitPattern: UInt64(words[2 * $0 + 1]) << 32 | UInt64(words[2 * $0]))
        }
    }

    /// The rows as they travel, `[rows, 2 · channels]`.
    var words: [UInt32] {
        var words: [UInt32] = []
        words.reserveCapacity(2 * values.count)
        for value in values {
            words.append(UInt32(truncatingIfNeeded: value.bitPattern))
            words.append(UInt32(truncatingIfNeeded: value.bitPattern >> 32))
        }
        return words
    }
}
