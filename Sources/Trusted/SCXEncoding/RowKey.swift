package import SCXLink

/// The secret of one exchange in which the worker treats all rows alike: π(X ⊕ R) + α.
///
/// The rows X are sent in a secret order π among redundant rows R, with noise α added if there is any. Encoding
/// consumes the key, and opening the answer consumes the rest of it, so a second use does not compile.
package struct OneTimeRowKey: ~Copyable, Sendable {
    private let places: Permutation
    private let redundant: Plaintext
    private let noise: OneTimeNoise?

    /// Draws a key.
    ///
    /// - Parameters:
    ///   - rows: How many rows it will hide.
    ///   - redundant: The rows among which they are hidden.
    ///   - noise: Noise for the `rows` rows; nil for none. Redundant rows then get noise of the same scale.
    ///   - random: The generator of keys.
    package init(
        rows: Int, redundant: consuming Plaintext, noise: consuming OneTimeNoise?, random: inout SecureRandom
    ) {
        places = Permutation(count: rows + redundant.rows, random: &random)
        Self.cover(&redundant, noise, random: &random)
        self.redundant = redundant
        self.noise = noise
    }

    /// Adds noise of the same scale to the redundant rows.
    private static func cover(
        _ rows: inout Plaintext, _ noise: borrowing OneTimeNoise?, random: inout SecureRandom
    ) {
        switch noise {
        case .some(let noise):
            let grid = noise.grid
            var values = rows.values
            for i in values.indices { values[i] = grid.cut(values[i]) + grid.noise(&random) }
        case .none: break
        }
    }

    /// Encodes rows.
    ///
    /// With noise, the rows are rounded and cut first (``NoiseGrid/fit(_:)``).
    ///
    /// - Precondition: The key was drawn for as many rows, of as many channels.
    package consuming func encode(_ x: borrowing Plaintext) -> RowExchange {
        let tensor = EncodedTensor(encodedRows: places.count, channels: x.channels, values: scattered(x))
        return RowExchange(tensor: tensor, rows: x.rows, places: places, noise: noise)
    }

    /// The rows in their secret order, among the redundant ones.
    private borrowing func scattered(_ x: borrowing Plaintext) -> [Float] {
        let (rows, channels) = (x.rows, x.channels)
        precondition(places.count == rows + redundant.rows, "OneTimeRowKey: drawn for other rows")
        precondition(redundant.rows == 0 || redundant.channels == channels, "OneTimeRowKey: other channels")
        return encodedRows(places.count, channels) { out in
            for row in 0..<rows {
                copyRow(row, of: x.span, to: Int(places.places[row]), of: &out, channels: channels)
            }
            for row in 0..<redundant.rows {
                copyRow(
                    row, of: redundant.span, to: Int(places.places[rows + row]), of: &out, channels: channels)
            }
            switch noise {
            case .some(let noise): noise.add(to: &out, rows: rows, channels: channels, at: places.places)
            case .none: break
            }
        }
    }
}

/// A request and the part of its key that opens the answer, once.
package struct RowExchange: ~Copyable, Sendable {
    /// The tensor that the worker gets.
    package let tensor: EncodedTensor
    private let rows: Int
    private let places: Permutation
    private let noise: OneTimeNoise?

    fileprivate init(
        tensor: EncodedTensor, rows: Int, places: consuming Permutation, noise: consuming OneTimeNoise?
    ) {
        self.tensor = tensor
        self.rows = rows
        self.places = places
        self.noise = noise
    }

    /// Decodes the worker's answer: undoes the order, drops the redundant rows, and subtracts the noise's product.
    ///
    /// - Parameters:
    ///   - answer: The worker's answer.
    ///   - channels: Channels of its rows.
    /// - Returns: `[rows, channels]`
    /// - Throws: ``LinkError/unexpectedAnswer(_:)`` when the answer has another shape.
    package consuming func open(_ answer: Answer, channels: Int) throws(LinkError) -> Plaintext {
        try openRows(answer, channels)
    }

    /// Decodes the answer, and keeps the order of each session's rows so that it can be given to the worker later.
    ///
    /// - Parameters:
    ///   - answer: The worker's answer.
    ///   - channels: Channels of its rows.
    ///   - parts: For each session which of the rows are its own.
    ///   - keep: Takes the number of a part and its order.
    /// - Returns: `[rows, channels]`
    /// - Throws: ``LinkError/unexpectedAnswer(_:)`` when the answer has another shape.
    package consuming func openToShare(
        _ answer: Answer, channels: Int, parts: [Range<Int>],
        _ keep: (_ part: Int, _ order: consuming SharedOrder) -> Void
    ) throws(LinkError) -> Plaintext {
        let plain = try openRows(answer, channels)
        for (i, part) in parts.enumerated() { keep(i, SharedOrder(part, of: places)) }
        return plain
    }

    /// Decodes an answer that lists the largest logits of each row.
    ///
    /// - Parameters:
    ///   - answer: The worker's answer.
    ///   - vocabulary: Entries of the vocabulary.
    ///   - wanted: Which of the rows to decode.
    /// - Returns: `[wanted, vocabulary]`; logits that the answer does not list are −∞.
    /// - Throws: ``LinkError/unexpectedAnswer(_:)`` when the answer has another shape.
    package consuming func openLogits(
        _ answer: Answer, vocabulary: Int, wanted: some Collection<Int>
    ) throws(LinkError) -> [Float] {
        var logits: [Float] = []
        logits.reserveCapacity(wanted.count * vocabulary)
        switch answer {
        case .tensor(let tensor) where tensor.rows == places.count && tensor.channels == vocabulary:
            for row in wanted {
                let start = Int(places.places[row]) * vocabulary
                logits += tensor.values[start..<start + vocabulary]
            }
        case .topK(let lists) where lists.count == places.count:
            for row in wanted {
                let start = logits.count
                logits += repeatElement(-Float.infinity, count: vocabulary)
                for entry in lists[Int(places.places[row])] {
                    guard (0..<vocabulary).contains(Int(entry.token)) else {
                        throw .unexpectedAnswer("a token that is not in the vocabulary")
                    }
                    logits[start + Int(entry.token)] = entry.logit
                }
            }
        default: throw .unexpectedAnswer("expected logits of \(places.count) rows")
        }
        return logits
    }

    private borrowing func openRows(_ answer: Answer, _ channels: Int) throws(LinkError) -> Plaintext {
        switch noise {
        case .some(let noise):
            guard case .float64(let tensor) = answer, tensor.rows == places.count, tensor.channels == channels
            else {
                throw .unexpectedAnswer("expected \(places.count) exact rows of \(channels) channels")
            }
            return noise.withoutProduct(tensor, rows: rows, at: places.places)
        case .none: return try openRowsWithoutNoise(answer, channels)
        }
    }

    private borrowing func openRowsWithoutNoise(
        _ answer: Answer, _ channels: Int
    ) throws(LinkError) -> Plaintext {
        guard case .tensor(let tensor) = answer, tensor.rows == places.count, tensor.channels == channels
        else {
            throw .unexpectedAnswer("expected \(places.count) rows of \(channels) channels")
        }
        var plain = Plaintext(rows: rows, channels: channels)
        var out = plain.values
        let values = tensor.values.span
        for row in 0..<rows {
            copyRow(Int(places.places[row]), of: values, to: row, of: &out, channels: channels)
        }
        return plain
    }
}

/// The order of one session's rows, which does not stay secret: key sharing gives it to the worker.
///
/// Section 4.3 of the paper: from the order the worker knows which of its rows belongs to which position. The other rows
/// are redundant, or belong to other sessions that shared the exchange; the order says nothing of those.
package struct SharedOrder: ~Copyable, Sendable {
    private let places: SecretBuffer<UInt32>

    fileprivate init(_ rows: Range<Int>, of order: borrowing Permutation) {
        var places = SecretBuffer<UInt32>(repeating: 0, count: rows.count)
        var span = places.mutableSpan
        for (i, row) in rows.enumerated() { span[i] = order.places[row] }
        self.places = places
    }

    /// Makes the request that gives the order to the worker.
    ///
    /// - Parameters:
    ///   - slot: The session's slot.
    ///   - layer: The rows' layer.
    ///   - position: The position of the first row in its session.
    ///   - source: The slot in which the worker keeps the rows; nil for the session's own.
    /// - Returns: The request; its answer has no content.
    package consuming func share(slot: Slot, layer: Int, position: Int, from source: Slot? = nil) -> Request {
        let order = (0..<places.count).map { places.span[$0] }
        return Request(
            .unlock(slot: slot, layer: layer, position: position, from: source), permutation: order)
    }
}

/// Makes an array of `[rows, channels]` all of whose elements `body` writes.
func encodedRows(_ rows: Int, _ channels: Int, _ body: (inout MutableSpan<Float>) -> Void) -> [Float] {
    unsafe [Float](unsafeUninitializedCapacity: rows * channels) { buffer, count in
        // `body` writes every element, so the floats need not be initialised before.
        var span = unsafe MutableSpan(_unsafeElements: buffer.extracting(..<(rows * channels)))
        body(&span)
        count = rows * channels
    }
}
