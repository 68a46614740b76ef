package import SCXLink

/// The secret order in which the worker holds the keys of one of the last blocks: π(K ⊕ R).
///
/// A session uses it from one key sharing to the next, NOT for one exchange only: the scores of every generated token
/// come in this order.
package struct TailKey: ~Copyable, Sendable {
    private let shape: HeadShape
    private let places: Permutation
    private let tokens: Int

    /// Draws a secret order.
    ///
    /// - Parameters:
    ///   - shape: The block's heads.
    ///   - tokens: How many keys it will hide.
    ///   - redundant: How many redundant keys they are hidden among.
    ///   - random: The generator of keys.
    package init(_ shape: HeadShape, tokens: Int, redundant: Int, random: inout SecureRandom) {
        self.shape = shape
        self.tokens = tokens
        places = Permutation(count: tokens + redundant, random: &random)
    }

    /// Encodes the keys in the order in which the worker will hold them.
    ///
    /// - Parameters:
    ///   - cache: Keys after the rotation, of as many tokens as the key was drawn for.
    ///   - redundant: `[redundant, keyValueHeads · headSize]`
    /// - Returns: `[tokens + redundant, keyValueHeads · headSize]`
    package borrowing func lock(_ cache: ProtectedCache, redundant: borrowing Plaintext) -> EncodedTensor {
        let width = shape.keyWidth
        precondition(
            cache.count == tokens && cache.width == width && places.count == tokens + redundant.rows
                && (redundant.rows == 0 || redundant.channels == width), "TailKey: drawn for other keys")
        let rows = encodedRows(places.count, width) { out in
            cache.withRows { pairs in
                for token in 0..<tokens {
                    // The cache has a row of keys and then a row of values for each token, so keys are every second
                    // row of that width.
                    copyRow(2 * token, of: pairs, to: Int(places.places[token]), of: &out, channels: width)
                }
            }
            for row in 0..<redundant.rows {
                copyRow(
                    row, of: redundant.span, to: Int(places.places[tokens + row]), of: &out, channels: width)
            }
        }
        return EncodedTensor(encodedRows: places.count, channels: width, values: rows)
    }

    /// Decodes the scores of one generated token, which are the next part of an answer.
    ///
    /// - Parameters:
    ///   - answer: For each token its keys, its values, then the scores.
    ///   - generated: How many keys the worker has appended since the keys were locked, including that of this token.
    /// - Returns: Keys and values of the token, and its scores in the order of the positions.
    /// - Throws: ``LinkError/unexpectedAnswer(_:)`` when the answer has another shape.
    package borrowing func open(
        _ answer: inout AnswerParts, generated: Int
    ) throws(LinkError) -> TailScores {
        let (heads, pairWidth) = (shape.heads, 2 * shape.keyWidth)
        let locked = places.count + generated
        let part = try answer.take(pairWidth + heads * locked, "the scores of \(locked) keys")
        let all = tokens + generated
        let values = part.span
        var pair = Plaintext(rows: 1, channels: pairWidth)
        var scores = Plaintext(rows: heads, channels: all)
        var pairSpan = pair.values
        for c in 0..<pairWidth { pairSpan[c] = values[c] }
        var out = scores.values
        for head in 0..<heads {
            let from = pairWidth + head * locked
            for token in 0..<tokens { out[head * all + token] = values[from + Int(places.places[token])] }
            for token in 0..<generated {
                out[head * all + tokens + token] = values[from + places.count + token]
            }
        }
        return TailScores(keyValues: pair, scores: scores)
    }
}

/// What the worker computes for a generated token in one of the last blocks.
package struct TailScores: ~Copyable, Sendable {
    /// The token's own keys, followed by its values.
    package let keyValues: Plaintext
    /// `[heads, tokens]`: scaled, before the softmax, in the order of the positions, with the token's own last.
    package var scores: Plaintext
}
