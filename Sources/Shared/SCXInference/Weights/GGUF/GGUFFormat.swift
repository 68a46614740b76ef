import CSCXKernels

/// How a GGUF file stores the numbers of a tensor, by ggml's number for it.
struct GGUFFormat: Equatable, Sendable {
    /// ggml's name of the format.
    let name: String
    /// The type of the elements, where they are stored one by one.
    let element: ElementType?
    /// The format of the blocks, where several numbers are stored together.
    let block: cscx_block?

    /// Numbers of a block; 1 where there are no blocks.
    var blockValues: Int { block.map { cscx_block_values($0) } ?? 1 }

    /// Bytes of a block, or of an element.
    var blockBytes: Int { block.map { cscx_block_bytes($0) } ?? element?.byteCount ?? 1 }

    /// Finds a format; nil for one that cannot be read.
    ///
    /// - Parameter number: The number of the enumeration `ggml_type`.
    init?(number: UInt32) {
        let elements: [UInt32: ElementType] = [0: .f32, 1: .f16, 30: .bf16]
        let blocks: [UInt32: cscx_block] = [
            2: cscx_block_q4_0, 3: cscx_block_q4_1, 6: cscx_block_q5_0, 7: cscx_block_q5_1,
            8: cscx_block_q8_0,
            10: cscx_block_q2_k, 11: cscx_block_q3_k, 12: cscx_block_q4_k, 13: cscx_block_q5_k,
            14: cscx_block_q6_k, 20: cscx_block_iq4_nl, 23: cscx_block_iq4_xs, 39: cscx_block_mxfp4,
        ]
        (element, block) = (elements[number], blocks[number])
        guard element != nil || block != nil else { return nil }
        name = Self.name(of: number)
    }

    /// The names of all formats that can be read, for errors.
    static let supported = (0..<64).filter { GGUFFormat(number: $0) != nil }.map { name(of: $0) }
        .joined(separator: ", ")

    /// ggml's name of a format, as far as it is known.
    static func name(of number: UInt32) -> String {
        let names: [UInt32: String] = [
            0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1", 10: "Q2_K",
            11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS",
            18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8",
            25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 30: "BF16", 34: "TQ1_0", 35: "TQ2_0",
            39: "MXFP4", 40: "NVFP4",
        ]
        return names[number] ?? "number \(number)"
    }
}

/// Rows of a tensor in a GGUF file.
struct GGUFRows: QuantizedRows {
    let file: MappedFile
    /// The tensor's bytes, whole rows of `columns` numbers.
    let range: Range<Int>
    let format: GGUFFormat
    let columns: Int
    /// Where llama.cpp has put the rows; nil where it has left them.
    let order: PairedRows?

    func read(_ rows: Range<Int>, into values: UnsafeMutableBufferPointer<Float>) {
        precondition(values.count == rows.count * columns, "GGUFRows: values do not fit the rows")
        let stride = columns / format.blockValues * format.blockBytes
        for (i, row) in rows.enumerated() {
            let start = range.lowerBound + (order?.place(of: row) ?? row) * stride
            let out = unsafe UnsafeMutableBufferPointer(rebasing: values[i * columns..<(i + 1) * columns])
            unsafe file.withUnsafeBytes(start..<start + stride) { bytes in
                if let element = format.element {
                    unsafe element.read(bytes, into: out)
                } else if let block = format.block {
                    unsafe cscx_read_blocks(
                        block, bytes.baseAddress, columns / format.blockValues, out.baseAddress)
                }
            }
        }
    }
}

/// The order in which llama.cpp stores the rows of queries and keys that it rotates in pairs of neighbours.
///
/// The families rotate channel i of a head together with channel i + size / 2; their converter to GGUF puts these two
/// rows beside each other.
struct PairedRows: Equatable, Sendable {
    /// Channels of a head; an even number.
    let headSize: Int

    /// The stored row of a row.
    func place(of row: Int) -> Int {
        let channel = row % headSize
        return row - channel + channel % (headSize / 2) * 2 + channel / (headSize / 2)
    }
}
