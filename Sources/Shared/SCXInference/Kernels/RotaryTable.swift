import CSCXKernels

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Cosines and sines for the tokens of one forward pass, computed once and used by every layer.
///
/// When several sequences share a pass, append the positions of each sequence in a call of its own, in the order of
/// the rows.
public struct RotaryTable: Sendable {
    /// The rotary embeddings of the table; a model may use a second one in some of its blocks.
    public let embeddings: [RotaryEmbedding]
    /// How many rows the table has.
    public private(set) var tokens = 0
    /// For each embedding `[tokens, rotaryDimension / 2]`, with the attention factor multiplied in.
    private var angles: [(cosines: [Float], sines: [Float])]

    /// The cosines of the first embedding, `[tokens, rotaryDimension / 2]`, with the attention factor multiplied in.
    public var cosines: [Float] { angles[0].cosines }
    /// The sines of the first embedding.
    public var sines: [Float] { angles[0].sines }

    /// Makes a table without rows.
    ///
    /// - Precondition: There is an embedding.
    public init(_ embeddings: [RotaryEmbedding]) {
        precondition(!embeddings.isEmpty, "RotaryTable: no embedding")
        self.embeddings = embeddings
        angles = embeddings.map { _ in ([], []) }
    }

    /// Makes a table without rows, of one embedding.
    public init(_ embedding: RotaryEmbedding) { self.init([embedding]) }

    /// Makes a table for the rows of one sequence.
    public init(_ embedding: RotaryEmbedding, positions: some Collection<Int>) {
        self.init(embedding)
        append(positions: positions)
    }

    /// Adds rows for these positions of one sequence.
    ///
    /// Dynamic scaling and LongRoPE take the highest position as the sequence's length, as transformers does. The
    /// angle is the float32 product of position and frequency; its cosine and sine are correctly rounded except for
    /// rare last bits.
    public mutating func append(positions: some Collection<Int>) {
        tokens += positions.count
        for (index, embedding) in embeddings.enumerated() {
            let frequencies = embedding.inverseFrequencies(length: (positions.max() ?? 0) + 1)
            let factor = embedding.attentionFactor
            angles[index].cosines.reserveCapacity(tokens * frequencies.count)
            angles[index].sines.reserveCapacity(tokens * frequencies.count)
            for position in positions {
                for frequency in frequencies {
                    let angle = Double(Float(position) * frequency)
                    angles[index].cosines.append(Float(cos(angle)) * factor)
                    angles[index].sines.append(Float(sin(angle)) * factor)
                }
            }
        }
    }

    /// Rotates heads in place: `(x[i], x[i + h]) = (x[i]·cos − x[i + h]·sin, x[i + h]·cos + x[i]·sin)` for i < h.
    ///
    /// h is half the rotary dimension; the angle is that of the row and of i.
    ///
    /// - Parameters:
    ///   - x: Rows that hold the heads, one per token of the table.
    ///   - offset: Where the heads of the first row, `[heads, headSize]`, begin.
    ///   - stride: Floats from one row to the next.
    ///   - heads: Adjacent heads to rotate.
    ///   - headSize: Channels of a head, at least the rotary dimension.
    ///   - index: Which of ``embeddings`` rotates.
    ///   - pool: Threads that share many rows.
    ///   - isa: Instruction set; tests pass each available one.
    /// - Precondition: The heads of all rows lie within `x`.
    public func rotate(
        _ x: inout MutableSpan<Float>, offset: Int, stride: Int, heads: Int, headSize: Int,
        by index: Int = 0, pool: ThreadPool? = nil, on isa: InstructionSet = .detected
    ) {
        let half = embeddings[index].parameters.rotaryDimension / 2
        let (cosines, sines) = angles[index]
        precondition(headSize >= 2 * half, "RotaryTable: heads are smaller than the rotary dimension")
        checkRows(
            x.count, offset: offset, stride: stride, rows: tokens, width: heads * headSize, "RotaryTable: x")
        unsafe x.withUnsafeMutableBufferPointer { x in
            unsafe cosines.withUnsafeBufferPointer { cosines in
                unsafe sines.withUnsafeBufferPointer { sines in
                    guard let x = x.baseAddress, let cosines = cosines.baseAddress,
                        let sines = sines.baseAddress
                    else { return }
                    forRows(tokens, of: heads * headSize, pool: pool) { rows in
                        let first = rows.lowerBound
                        unsafe cscx_rotate(
                            isa.c, x + offset + first * stride, stride, rows.count, heads, headSize, half,
                            cosines + first * half, sines + first * half)
                    }
                }
            }
        }
    }
}
