import CSCXKernels

/// Weights of one linear site, `[rows = output features, columns = input features]`, in the order in which the
/// kernels read them.
///
/// Sixteen rows are interleaved so that 64 bytes hold the same few inputs of all of them; `linear.h` has the layout.
/// Rows can be packed piece by piece, so that sites with the same input (q, k and v) become one matrix.
///
/// - Important: Pack all rows before the matrix is used; packing is not synchronised with products. Different rows
///   may be packed by several threads unless they are among the same 16.
@safe
public final class PackedMatrix: Sendable {
    /// Output features.
    public let rows: Int
    /// Input features.
    public let columns: Int
    /// The format in which the weights are held and multiplied.
    public let format: WeightFormat

    /// How many inputs share a scale.
    ///
    /// In int4 that is 32, 64 or 128; in int8 also all columns, which is the default. In the floating-point formats,
    /// which have no scales, it is all columns.
    public let groupSize: Int

    /// Bytes of the weights and scales, including padding.
    public let byteCount: Int

    private let storage: Storage
    /// Where the matrix begins in the storage, in panels of 16 rows.
    private let firstPanel: Int

    /// The memory that a matrix shares with those made of its rows.
    private final class Storage: Sendable {
        let values: HugePages
        let scales: HugePages

        init(values: Int, scales: Int) throws(KernelError) {
            self.values = try HugePages(count: values)
            self.scales = try HugePages(count: scales)
        }
    }

    /// Makes a matrix of zeros.
    ///
    /// - Parameters:
    ///   - rows: Output features.
    ///   - columns: Input features.
    ///   - format: The format in which the weights are held and multiplied.
    ///   - groupSize: Inputs per scale: 32, 64 or 128 in the integer formats. Without it int8 has one scale per row
    ///     and int4 one for 32 inputs.
    /// - Throws: ``KernelError`` when there is no memory for it.
    /// - Precondition: The sizes are positive and `groupSize` is one of those allowed.
    public init(rows: Int, columns: Int, format: WeightFormat, groupSize: Int? = nil) throws(KernelError) {
        precondition(rows > 0 && columns > 0, "PackedMatrix: empty")
        // Up to these sizes no product of sizes overflows.
        guard rows <= 1 << 28 && columns <= 1 << 28 else { throw .tooLarge(rows: rows, columns: columns) }
        if let groupSize {
            let isGroup = (format == .int8 || format == .int4) && [32, 64, 128].contains(groupSize)
            precondition(isGroup || format != .int4 && groupSize == columns, "PackedMatrix: group size")
        }
        self.rows = rows
        self.columns = columns
        self.format = format
        self.groupSize = groupSize ?? (format == .int4 ? 32 : columns)
        let grouped = format == .int4 || (format == .int8 && self.groupSize != columns)
        group = grouped ? self.groupSize : 0

        let panels = (rows + 15) / 16
        let groups = grouped ? (columns + self.groupSize - 1) / self.groupSize : 0
        panelBytes = cscx_padded_columns(format.c, columns) * (64 >> Int(format.c.rawValue))
        panelScaleBytes = grouped ? groups * 32 : format == .int8 ? 64 : 0
        storage = try Storage(values: panels * panelBytes, scales: panels * panelScaleBytes)
        firstPanel = 0
        byteCount = panels * (panelBytes + panelScaleBytes)
    }

    /// Makes a matrix of consecutive rows of another, with which it shares its memory.
    private init(_ whole: PackedMatrix, rows: Range<Int>) {
        self.rows = rows.count
        (columns, format, groupSize) = (whole.columns, whole.format, whole.groupSize)
        (group, panelBytes, panelScaleBytes) = (whole.group, whole.panelBytes, whole.panelScaleBytes)
        storage = whole.storage
        firstPanel = whole.firstPanel + rows.lowerBound / 16
        byteCount = (rows.count + 15) / 16 * (panelBytes + panelScaleBytes)
    }

    /// The matrix of consecutive rows of this one; both share their memory, so that many small matrices need not each
    /// have pages of their own.
    ///
    /// - Precondition: The rows exist, and the first one is a multiple of 16.
    public func matrix(ofRows rows: Range<Int>) -> PackedMatrix {
        precondition(
            rows.lowerBound >= 0 && rows.lowerBound % 16 == 0 && rows.upperBound <= self.rows
                && !rows.isEmpty,
            "PackedMatrix: rows of another matrix")
        return PackedMatrix(self, rows: rows)
    }

    /// Bytes of 16 rows, and of their scales.
    private let panelBytes: Int
    private let panelScaleBytes: Int

    /// The value by which the C kernels are told ``groupSize``: 0 for one scale per row or none.
    private let group: Int

    var c: cscx_matrix {
        unsafe cscx_matrix(
            format: format.c, rows: rows, columns: columns, group: group,
            values: storage.values.bytes.baseAddress.map { unsafe $0 + firstPanel * panelBytes },
            scales: storage.scales.bytes.baseAddress.map { unsafe $0 + firstPanel * panelScaleBytes })
    }

    /// Packs rows of a checkpoint, and rounds or quantises them as the format requires.
    ///
    /// Weights that are not finite make the results of their row NaN.
    ///
    /// - Parameters:
    ///   - source: `[count, columns]` elements, row-major, at any alignment.
    ///   - type: The elements' type.
    ///   - firstRow: The matrix's row to which the first row of `source` is packed.
    ///   - count: Rows.
    ///   - pool: Threads that share the work.
    /// - Precondition: The rows exist and `source` is exactly as long as they need.
    public func pack(
        _ source: UnsafeRawBufferPointer, as type: ElementType, firstRow: Int, count: Int, pool: ThreadPool
    ) {
        precondition(firstRow >= 0 && count >= 0 && count <= rows - firstRow, "PackedMatrix.pack: rows")
        precondition(source.count == count * columns * type.byteCount, "PackedMatrix.pack: source size")
        var matrix = unsafe c
        unsafe pool.withRunner { runner in
            unsafe cscx_pack(&matrix, source.baseAddress, type.c, firstRow, count, runner)
        }
    }

    /// Packs rows from a span; see ``pack(_:as:firstRow:count:pool:)``.
    public func pack(_ source: RawSpan, as type: ElementType, firstRow: Int, count: Int, pool: ThreadPool) {
        unsafe source.withUnsafeBytes { source in
            unsafe pack(source, as: type, firstRow: firstRow, count: count, pool: pool)
        }
    }

    /// Writes the values of a row exactly as the kernels multiply by them.
    ///
    /// - Precondition: `values` has room for ``columns`` elements.
    public func dequantize(row: Int, into values: inout MutableSpan<Float>) {
        precondition(row >= 0 && row < rows && values.count >= columns, "PackedMatrix.dequantize: shape")
        var matrix = unsafe c
        unsafe values.withUnsafeMutableBufferPointer { values in
            unsafe cscx_dequantize(&matrix, row, values.baseAddress)
        }
    }
}

extension WeightFormat {
    /// The C kernels' name for the format.
    var c: cscx_format {
        switch self {
        case .f32: cscx_format_f32
        case .bf16: cscx_format_bf16
        case .int8: cscx_format_int8
        case .int4: cscx_format_int4
        }
    }
}

extension ElementType {
    /// The C kernels' name for the type.
    fileprivate var c: cscx_source {
        switch self {
        case .f32: cscx_source_f32
        case .f16: cscx_source_f16
        case .bf16: cscx_source_bf16
        }
    }
}
