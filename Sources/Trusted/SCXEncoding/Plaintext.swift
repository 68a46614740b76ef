package import SCXLink

/// Activations of a session in clear: never copied, never printed, and zeroed when they are no longer needed.
///
/// Because the type is noncopyable, a value cannot be interpolated into a text, put into an array, or captured by an
/// escaping closure. `Tests/Forbidden` has programs that try this and must not compile.
package struct Plaintext: ~Copyable, Sendable {
    package let rows: Int
    package let channels: Int
    private var buffer: SecretBuffer<Float>

    /// Makes rows of zeros, to be filled through ``values``.
    package init(rows: Int, channels: Int) {
        self.rows = rows
        self.channels = channels
        buffer = SecretBuffer(repeating: 0, count: rows * channels)
    }

    /// `[rows, channels]`, row-major.
    package var span: Span<Float> {
        @_lifetime(borrow self) get { buffer.span }
    }

    /// `[rows, channels]`, row-major, for writing.
    package var values: MutableSpan<Float> {
        @_lifetime(&self) mutating get { buffer.mutableSpan }
    }

    /// Calls `body` to write one row.
    ///
    /// - Precondition: There is such a row, and `body` gets its `[channels]` elements.
    package mutating func withRow(_ index: Int, _ body: (inout MutableSpan<Float>) -> Void) {
        precondition((0..<rows).contains(index), "Plaintext: no such row")
        let channels = channels
        var values = buffer.mutableSpan
        unsafe values.withUnsafeMutableBufferPointer { values in
            let row = values.extracting(index * channels..<(index + 1) * channels)
            var span = unsafe MutableSpan(_unsafeElements: row)
            body(&span)
        }
    }

    /// Calls `body` to change all rows, `[rows, channels]`, row-major.
    package mutating func update(_ body: (inout MutableSpan<Float>) -> Void) {
        var values = buffer.mutableSpan
        body(&values)
    }

    /// Adds other rows to these, element by element.
    ///
    /// - Parameters:
    ///   - other: The other rows.
    ///   - factor: By what they are multiplied.
    /// - Precondition: Both have the same shape.
    package mutating func add(_ other: borrowing Plaintext, times factor: Float = 1) {
        precondition(rows == other.rows && channels == other.channels, "Plaintext: other rows")
        var values = buffer.mutableSpan
        let update = other.span
        guard factor == 1 else {
            for i in values.indices { unsafe values[unchecked: i] += unsafe factor * update[unchecked: i] }
            return
        }
        for i in values.indices { unsafe values[unchecked: i] += unsafe update[unchecked: i] }
    }

    /// Overwrites the rows from `first` on.
    ///
    /// - Precondition: `other` has as many channels, and these rows exist.
    package mutating func set(rowsFrom first: Int, to other: borrowing Plaintext) {
        precondition(
            other.channels == channels && first >= 0 && other.rows <= rows - first, "Plaintext: other rows")
        var target = buffer.mutableSpan
        let source = other.span
        for row in 0..<other.rows {
            copyRow(row, of: source, to: first + row, of: &target, channels: other.channels)
        }
    }

    /// Copies some of the rows, in the order of their indices.
    ///
    /// - Precondition: There are such rows.
    package borrowing func selecting(_ indices: some Collection<Int>) -> Plaintext {
        var selected = Plaintext(rows: indices.count, channels: channels)
        var target = selected.values
        let source = span
        for (i, index) in indices.enumerated() {
            copyRow(index, of: source, to: i, of: &target, channels: channels)
        }
        return selected
    }

    /// Overwrites one row.
    ///
    /// - Precondition: There is such a row, and `other` has one row of as many channels.
    package mutating func set(_ index: Int, to other: borrowing Plaintext) {
        let channels = channels
        precondition(other.rows == 1 && other.channels == channels, "Plaintext: not such a row")
        var values = buffer.mutableSpan
        copyRow(0, of: other.span, to: index, of: &values, channels: channels)
    }

    /// Takes an answer that is not encoded.
    package init(receivedInClear tensor: EncodedTensor) {
        let (rows, channels) = (tensor.rows, tensor.channels)
        self.init(rows: rows, channels: channels)
        var span = buffer.mutableSpan
        let source = tensor.values.span
        for row in 0..<rows { copyRow(row, of: source, to: row, of: &span, channels: channels) }
    }

    /// Hands out the rows in clear: the encoding of profile `plain`, which hides nothing.
    package consuming func sendInClear() -> EncodedTensor { EncodedTensor(inClear: self) }
}

extension EncodedTensor {
    /// Makes a tensor of rows that the worker may see as they are, because the profile hides nothing at this place.
    package init(inClear rows: borrowing Plaintext) {
        let values = unsafe rows.span.withUnsafeBufferPointer { unsafe Array($0) }
        self.init(encodedRows: rows.rows, channels: rows.channels, values: values)
    }
}

/// Copies a row of `channels` elements.
///
/// - Precondition: Both have such a row.
func copyRow<Value: BitwiseCopyable>(
    _ row: Int, of source: Span<Value>, to target: Int, of out: inout MutableSpan<Value>, channels: Int
) {
    let (from, to) = (row * channels, target * channels)
    precondition(
        row >= 0 && target >= 0 && from + channels <= source.count && to + channels <= out.count,
        "copyRow: no such row")
    unsafe source.withUnsafeBufferPointer { source in
        unsafe out.withUnsafeMutableBufferPointer { out in
            guard let source = source.baseAddress, let out = out.baseAddress else { return }
            unsafe (out + to).update(from: source + from, count: channels)
        }
    }
}
