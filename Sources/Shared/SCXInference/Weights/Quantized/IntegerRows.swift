import CSCXKernels

/// The bits from `place` on in words that follow one another.
func bitField(_ place: Int, _ count: Int, _ word: (_ index: Int) -> UInt32) -> UInt32 {
    let (index, shift) = (place / 32, place % 32)
    var bits = word(index) >> UInt32(shift)
    if shift + count > 32 { bits |= word(index + 1) << UInt32(32 - shift) }
    return bits & (UInt32(1) << UInt32(count) - 1)
}

/// Rows of integers of a few bits: `(code - zero) · scale`, where scale and zero point are those of the row and of the
/// column's group.
struct IntegerRows: QuantizedRows {
    /// How the codes lie in words of 32 bits.
    enum Layout {
        /// `[columns · bits / 32, rows]`: the codes of a row's columns follow one another, some across two words.
        case wordsOfInputs(bits: Int)
        /// `[columns, rows / 8]`: eight rows of four bits to a word, in the order of ``shiftInWordOfOutputs(_:)``.
        case wordsOfOutputs
        /// `[rows, words]`: the codes of a row's columns, none of them across two words.
        case rows(bits: Int)
    }

    let file: MappedFile
    /// The words.
    let range: Range<Int>
    let layout: Layout
    let rows: Int
    let columns: Int
    /// The scales, `[groups, rows]`.
    let scales: [Float]
    /// The zero points, `[groups, rows]`.
    let zeros: [Int16]
    /// For each column its group.
    let groups: [Int32]

    /// The place of the bits of a row in a word of AWQ, which holds the rows 0, 2, 4, 6, 1, 3, 5, 7 of eight.
    static func shiftInWordOfOutputs(_ row: Int) -> UInt32 {
        let place = row % 8
        return UInt32(4 * (place / 2 + place % 2 * 4))
    }

    func read(_ selected: Range<Int>, into values: UnsafeMutableBufferPointer<Float>) {
        precondition(values.count == selected.count * columns, "IntegerRows: values do not fit the rows")
        unsafe file.withUnsafeBytes(range) { bytes in
            func word(_ index: Int) -> UInt32 {
                unsafe UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self))
            }
            switch layout {
            case .wordsOfInputs(let bits):
                unsafe fill(values, selected) { row, column in
                    bitField(column * bits, bits) { word($0 * rows + row) }
                }
            case .wordsOfOutputs:
                unsafe fill(values, selected) { row, column in
                    word(column * (rows / 8) + row / 8) >> Self.shiftInWordOfOutputs(row) & 15
                }
            case .rows(let bits):
                let perWord = 32 / bits
                let words = (columns + perWord - 1) / perWord
                let mask = UInt32(1) << UInt32(bits) - 1
                unsafe fill(values, selected) { row, column in
                    word(row * words + column / perWord) >> UInt32(column % perWord * bits) & mask
                }
            }
        }
    }

    /// Computes the numbers of rows from their codes.
    @inline(__always)
    private func fill(
        _ values: UnsafeMutableBufferPointer<Float>, _ selected: Range<Int>,
        code: (_ row: Int, _ column: Int) -> UInt32
    ) {
        // Neighbouring rows lie in the same words or beside one another, so that a column's are read together.
        for column in 0..<columns {
            let group = Int(groups[column]) * rows
            for (i, row) in selected.enumerated() {
                unsafe values[i * columns + column] =
                    Float(Int32(code(row, column)) - Int32(zeros[group + row])) * scales[group + row]
            }
        }
    }
}

/// Rows of numbers of eight bits, integers or E4M3, each times the scale of its block of rows and columns.
struct ScaledRows: QuantizedRows {
    let file: MappedFile
    /// One byte for each number, row-major.
    let range: Range<Int>
    /// Whether the bytes are floating-point numbers (E4M3).
    let isFloat: Bool
    let columns: Int
    let blockRows: Int
    let blockColumns: Int
    /// Blocks beside one another.
    let gridColumns: Int
    /// The scales of blocks, `[blocks above one another, gridColumns]`.
    let scales: [Float]
    /// What is subtracted from integers, in the same order; empty for nothing.
    let zeros: [Int8]
    /// What every number is multiplied by in the end.
    let factor: Float

    func read(_ rows: Range<Int>, into values: UnsafeMutableBufferPointer<Float>) {
        precondition(values.count == rows.count * columns, "ScaledRows: values do not fit the rows")
        for (i, row) in rows.enumerated() {
            let start = range.lowerBound + row * columns
            let out = unsafe UnsafeMutableBufferPointer(rebasing: values[i * columns..<(i + 1) * columns])
            unsafe file.withUnsafeBytes(start..<start + columns) { bytes in
                if isFloat {
                    unsafe cscx_read_e4m3(
                        bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), columns, out.baseAddress)
                } else {
                    for c in 0..<columns { unsafe out[c] = Float(Int8(bitPattern: bytes[c])) }
                }
            }
            let blocks = row / blockRows * gridColumns
            for block in 0..<gridColumns {
                let scale = scales[blocks + block]
                let zero = zeros.isEmpty ? 0 : Float(zeros[blocks + block])
                for c in block * blockColumns..<min(columns, (block + 1) * blockColumns) {
                    unsafe out[c] = (out[c] - zero) * scale
                    if factor != 1 { unsafe out[c] *= factor }
                }
            }
        }
    }
}

/// Rows of numbers of E2M1, 32 to a scale, which is a power of two.
struct MicroscaledRows: QuantizedRows {
    let file: MappedFile
    /// 16 bytes for 32 numbers.
    let range: Range<Int>
    let scalesFile: MappedFile
    /// One exponent for 32 numbers.
    let scales: Range<Int>
    let columns: Int

    func read(_ rows: Range<Int>, into values: UnsafeMutableBufferPointer<Float>) {
        precondition(values.count == rows.count * columns, "MicroscaledRows: values do not fit the rows")
        let perRow = columns / 32
        let first = rows.lowerBound * perRow
        let count = rows.count * perRow
        unsafe file.withUnsafeBytes(range.lowerBound + 16 * first..<range.lowerBound + 16 * (first + count)) {
            codes in
            unsafe scalesFile.withUnsafeBytes(scales.lowerBound + first..<scales.lowerBound + first + count) {
                exponents in
                guard let codes = unsafe codes.baseAddress?.assumingMemoryBound(to: UInt8.self),
                    let out = values.baseAddress
                else { return }
                for block in 0..<count {
                    unsafe cscx_read_mxfp4(codes + 16 * block, exponents[block], out + 32 * block)
                }
            }
        }
    }

    func discard() { scalesFile.discard(scales) }
}
