package import SCXLink

/// The numbers and the size of the heads of a block's attention.
package struct HeadShape: Equatable, Sendable {
    package let heads: Int
    package let keyValueHeads: Int
    package let headSize: Int

    package init(heads: Int, keyValueHeads: Int, headSize: Int) {
        precondition(
            keyValueHeads > 0 && headSize > 0 && heads % keyValueHeads == 0 && heads > 0, "HeadShape: heads")
        self.heads = heads
        self.keyValueHeads = keyValueHeads
        self.headSize = headSize
    }

    /// Channels of a token's queries, and of a row of attention's result.
    package var queryWidth: Int { heads * headSize }
    /// Channels of a token's keys, and of its values.
    package var keyWidth: Int { keyValueHeads * headSize }
}

/// Rows of queries, or of keys and values, that are parts of wider rows.
package struct HeadRows: ~Escapable {
    let values: Span<Float>
    let offset: Int
    let stride: Int
    /// How many rows there are.
    package let count: Int

    /// Describes rows that are in `values`.
    ///
    /// - Parameters:
    ///   - values: Memory that contains the rows.
    ///   - offset: Where the first row begins.
    ///   - stride: Floats from one row to the next.
    ///   - count: How many rows there are.
    @_lifetime(copy values)
    package init(_ values: Span<Float>, offset: Int, stride: Int, count: Int) {
        self.values = values
        self.offset = offset
        self.stride = stride
        self.count = count
    }

    /// Returns all rows except the first ones.
    @_lifetime(copy self)
    package func dropping(_ first: Int) -> HeadRows {
        HeadRows(values, offset: offset + first * stride, stride: stride, count: count - first)
    }

    /// Returns the first rows only.
    @_lifetime(copy self)
    package func keeping(_ first: Int) -> HeadRows {
        HeadRows(values, offset: offset, stride: stride, count: first)
    }
}

/// The secret of one attention exchange: a permutation of the channels inside each head.
///
/// ``encode(queries:keyValues:compression:)`` consumes it. The part that opens the answer goes into the
/// ``AttentionExchange``, and can be used once.
package struct OneTimeChannelKey: ~Copyable, Sendable {
    private let order: ChannelOrder

    /// Draws a key.
    ///
    /// - Parameters:
    ///   - shape: The block's heads.
    ///   - random: The generator of keys.
    package init(_ shape: HeadShape, random: inout SecureRandom) {
        order = ChannelOrder(shape, random: &random)
    }

    /// Encodes what the worker needs for the attention of some queries: Qπ, Kπ, Vπ′.
    ///
    /// - Parameters:
    ///   - queries: The queries, after the rotation.
    ///   - keyValues: All keys to which they attend, each followed by its values.
    ///   - compression: How keys and values are rounded; nil for not at all.
    /// - Returns: The tensor to send, and what opens its answer.
    package consuming func encode(
        queries: HeadRows, keyValues: HeadRows, compression: KeyValueCompression? = nil
    ) -> AttentionExchange {
        let tensor = order.encode(queries: queries, keyValues: keyValues, compression)
        return AttentionExchange(
            tensor: tensor, queries: queries.count, order: order, scaling: compression?.scaling)
    }
}

/// An attention request and the part of its key that opens the answer, once.
package struct AttentionExchange: ~Copyable, Sendable {
    /// The tensor that the worker gets.
    package let tensor: EncodedTensor
    private let queries: Int
    private let order: ChannelOrder
    private let scaling: ChannelScaling?

    fileprivate init(
        tensor: EncodedTensor, queries: Int, order: consuming ChannelOrder, scaling: ChannelScaling?
    ) {
        self.tensor = tensor
        self.queries = queries
        self.order = order
        self.scaling = scaling
    }

    /// Decodes the worker's answer.
    ///
    /// - Returns: `[queries, heads · headSize]`
    /// - Throws: ``LinkError/unexpectedAnswer(_:)`` when the answer has another shape.
    package consuming func open(_ answer: Answer) throws(LinkError) -> Plaintext {
        var parts = try AnswerParts(answer)
        let attended = try open(&parts)
        try parts.finish()
        return attended
    }

    /// Decodes the next part of an answer to several exchanges that were sent as one request.
    package consuming func open(_ answer: inout AnswerParts) throws(LinkError) -> Plaintext {
        var attended = try order.open(&answer, queries: queries)
        scaling?.restore(&attended)
        return attended
    }
}

/// How the keys and values of an exchange with one query are rounded.
package struct KeyValueCompression: Sendable {
    package let precision: TensorPrecision
    package let scaling: ChannelScaling
    /// How many of the last tokens are not rounded, because a query attends to them most.
    package let exactTokens: Int

    package init(precision: TensorPrecision, scaling: ChannelScaling, exactTokens: Int) {
        self.precision = precision
        self.scaling = scaling
        self.exactTokens = exactTokens
    }
}

/// Permutations of channels for a whole session: NOT one-time.
///
/// This is the paper's relaxed variant: the worker keeps encoded keys and values, and only those of new tokens are
/// sent. So all that it ever receives of the session has the same permutations, and a single known token gives them
/// away.
package struct SessionChannelKey: ~Copyable, Sendable {
    private let order: ChannelOrder

    /// Draws a key.
    ///
    /// - Parameters:
    ///   - shape: The block's heads.
    ///   - random: The generator of keys.
    package init(_ shape: HeadShape, random: inout SecureRandom) {
        order = ChannelOrder(shape, random: &random)
    }

    /// Encodes queries together with the keys and values of the same tokens.
    package borrowing func encodeReusing(queries: HeadRows, keyValues: HeadRows) -> EncodedTensor {
        order.encode(queries: queries, keyValues: keyValues, nil)
    }

    /// Decodes the next part of an answer, which is the result of the queries.
    package borrowing func openReusing(
        _ answer: inout AnswerParts, queries: Int
    ) throws(LinkError) -> Plaintext {
        try order.open(&answer, queries: queries)
    }
}

/// Permutations of the channels inside each head.
///
/// Each key-value head has two, drawn independently: one for its keys and for the queries that are multiplied by
/// them, and one for its values. The scores q · k do not change; the channels of an answer are in the order of the
/// values.
struct ChannelOrder: ~Copyable, Sendable {
    let shape: HeadShape
    /// For each channel of an encoded row of queries, the channel of the plain row that goes there.
    private let queries: SecretBuffer<UInt32>
    /// The same for keys followed by values.
    private let keyValues: SecretBuffer<UInt32>

    init(_ shape: HeadShape, random: inout SecureRandom) {
        self.shape = shape
        var queries = SecretBuffer<UInt32>(repeating: 0, count: shape.queryWidth)
        var keyValues = SecretBuffer<UInt32>(repeating: 0, count: 2 * shape.keyWidth)
        let size = shape.headSize
        let group = shape.heads / shape.keyValueHeads
        var queryOrder = queries.mutableSpan
        var keyValueOrder = keyValues.mutableSpan
        for part in 0..<2 * shape.keyValueHeads {
            let order = Permutation(count: size, random: &random)
            for c in 0..<size { keyValueOrder[part * size + c] = UInt32(part * size) + order.places[c] }
            guard part < shape.keyValueHeads else { continue }
            for head in part * group..<(part + 1) * group {
                for c in 0..<size { queryOrder[head * size + c] = UInt32(head * size) + order.places[c] }
            }
        }
        self.queries = queries
        self.keyValues = keyValues
    }

    /// Makes the row to send: the queries, then the keys and values of each token, with their channels permuted.
    borrowing func encode(
        queries rows: HeadRows, keyValues tokens: HeadRows, _ compression: KeyValueCompression?
    ) -> EncodedTensor {
        let (queryWidth, pairWidth) = (shape.queryWidth, 2 * shape.keyWidth)
        let prefix = rows.count * queryWidth
        // Keys and values that are rounded come last. Every query attends to all tokens when there is rounding, so
        // the tokens' order does not matter.
        let exact = min(compression?.exactTokens ?? 0, tokens.count)
        var values = encodedRows(1, prefix + tokens.count * pairWidth) { out in
            gather(rows, queries.span, into: &out, at: 0)
            gather(tokens.dropping(tokens.count - exact), keyValues.span, into: &out, at: prefix)
            gather(
                tokens.keeping(tokens.count - exact), keyValues.span, into: &out,
                at: prefix + exact * pairWidth)
        }
        guard let compression else {
            return EncodedTensor(encodedRows: 1, channels: values.count, values: values)
        }
        scale(&values, queries: rows.count, by: compression.scaling)
        return EncodedTensor(
            encodedRows: 1, channels: values.count, values: values, precision: compression.precision,
            exactPrefix: prefix + exact * pairWidth)
    }

    /// Scales encoded rows: each channel by the factor of the plain channel from which it came.
    private borrowing func scale(_ values: inout [Float], queries count: Int, by scaling: ChannelScaling) {
        let (queryWidth, pairWidth) = (shape.queryWidth, 2 * shape.keyWidth)
        let (size, group) = (shape.headSize, shape.heads / shape.keyValueHeads)
        var factors = SecretBuffer<Float>(repeating: 0, count: queryWidth)
        var shifts = SecretBuffer<Float>(repeating: 0, count: pairWidth)
        var inverses = SecretBuffer<Float>(repeating: 0, count: pairWidth)
        var factor = factors.mutableSpan
        var shift = shifts.mutableSpan
        var inverse = inverses.mutableSpan
        for c in 0..<queryWidth {
            // The key channel by which this query channel is multiplied.
            let plain = Int(queries.span[c])
            factor[c] = scaling.deviation(plain / size / group * size + plain % size)
        }
        for c in 0..<pairWidth {
            shift[c] = scaling.mean(Int(keyValues.span[c]))
            inverse[c] = 1 / scaling.deviation(Int(keyValues.span[c]))
        }
        var out = values.mutableSpan
        for row in 0..<count { for c in 0..<queryWidth { out[row * queryWidth + c] *= factor[c] } }
        let start = count * queryWidth
        for row in 0..<(out.count - start) / pairWidth {
            let from = start + row * pairWidth
            for c in 0..<pairWidth { out[from + c] = (out[from + c] - shift[c]) * inverse[c] }
        }
    }

    /// Undoes the order of the values in attention's result.
    borrowing func open(_ answer: inout AnswerParts, queries count: Int) throws(LinkError) -> Plaintext {
        let width = shape.queryWidth
        let part = try answer.take(count * width, "attention of \(count) queries")
        var attended = Plaintext(rows: count, channels: width)
        var out = attended.values
        let values = part.span
        let (size, group) = (shape.headSize, shape.heads / shape.keyValueHeads)
        for head in 0..<shape.heads {
            // The order of this head's values, which comes after the orders of all keys.
            let part = (shape.keyValueHeads + head / group) * size
            for row in 0..<count {
                let start = row * width + head * size
                for c in 0..<size {
                    out[start + Int(keyValues.span[part + c]) - part] = values[start + c]
                }
            }
        }
        return attended
    }
}

/// Writes rows with their channels in another order: `out[start + row · width + c] = rows[row, order[c]]`.
///
/// - Precondition: The rows are within their memory and have the channels that `order` names; `out` has room.
private func gather(
    _ rows: HeadRows, _ order: Span<UInt32>, into out: inout MutableSpan<Float>, at start: Int
) {
    let width = order.count
    guard rows.count > 0 else { return }
    precondition(
        rows.offset >= 0 && rows.stride >= 0
            && rows.offset + (rows.count - 1) * rows.stride + width <= rows.values.count
            && start >= 0 && start + rows.count * width <= out.count, "gather: rows beyond the buffer")
    for c in order.indices { precondition(order[c] < width, "gather: no such channel") }
    unsafe rows.values.withUnsafeBufferPointer { values in
        unsafe order.withUnsafeBufferPointer { order in
            unsafe out.withUnsafeMutableBufferPointer { out in
                guard let values = values.baseAddress, let out = out.baseAddress else { return }
                for row in 0..<rows.count {
                    let from = unsafe values + rows.offset + row * rows.stride
                    let to = unsafe out + start + row * width
                    for c in 0..<width { unsafe to[c] = from[Int(order[c])] }
                }
            }
        }
    }
}
