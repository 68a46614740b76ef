/// A tensor in a checkpoint's file, row-major, which is read from the mapped file when it is used.
@safe
public struct StoredTensor: Sendable {
    public let name: String
    /// The type of the stored elements; float32 for a quantised tensor, whose numbers become that when they are read.
    public let type: ElementType
    public let shape: [Int]
    let file: MappedFile
    /// The tensor's bytes in the file; of a quantised tensor those of its codes.
    let range: Range<Int>
    /// How the rows of a quantised tensor are read; nil where the elements are stored as they are.
    let quantized: (any QuantizedRows)?

    init(
        name: String, type: ElementType, shape: [Int], file: MappedFile, range: Range<Int>,
        quantized: (any QuantizedRows)? = nil
    ) {
        (self.name, self.type, self.shape) = (name, type, shape)
        (self.file, self.range, self.quantized) = (file, range, quantized)
    }

    /// Bytes that the tensor takes in its file.
    public var byteCount: Int { range.count }

    /// Whether the file holds codes from which the numbers are computed; there are then no elements to look at.
    public var isQuantized: Bool { quantized != nil }

    /// The file that holds the tensor.
    public var path: String { file.path }

    /// Calls `body` with the tensor's bytes, little-endian.
    ///
    /// They may start at any address, since older files do not align tensors; so load elements with `loadUnaligned`,
    /// or copy them.
    ///
    /// - Precondition: The tensor is not quantised.
    public func withUnsafeBytes<R, E: Error>(
        _ body: (UnsafeRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        precondition(!isQuantized, "StoredTensor: a quantised tensor has no elements")
        return try unsafe file.withUnsafeBytes(range, body)
    }

    /// Gives the memory of the pages that were read so far back to the system.
    ///
    /// Call it once a tensor is packed; otherwise loading would need memory for every weight twice. The tensor can be
    /// read again, from the system's page cache or the disk.
    public func discard() {
        file.discard(range)
        quantized?.discard()
    }

    /// Makes the system begin to read the tensor from the disk, so that it is there when it is needed.
    public func prefetch() { file.prefetch(range) }

    /// All elements as float32, exactly; used for norms and biases.
    public func values() -> [Float] {
        guard quantized == nil else { return quantizedValues() }
        return unsafe withUnsafeBytes { bytes in
            unsafe [Float](unsafeUninitializedCapacity: byteCount / type.byteCount) { values, count in
                count = byteCount / type.byteCount
                unsafe type.read(bytes, into: UnsafeMutableBufferPointer(rebasing: values[..<count]))
            }
        }
    }

    /// Reads row `r` of a matrix as float32, exactly.
    ///
    /// - Parameters:
    ///   - r: Index of the row.
    ///   - values: Result, `[shape[1]]`, overwritten.
    /// - Precondition: The tensor is a matrix, has row `r`, and `values` has its number of columns.
    public func row(_ r: Int, into values: inout MutableSpan<Float>) {
        precondition(shape.count == 2 && (0..<shape[0]).contains(r), "StoredTensor: no such row")
        precondition(values.count == shape[1], "StoredTensor: values is not one row")
        if let quantized {
            unsafe values.withUnsafeMutableBufferPointer { unsafe quantized.read(r..<r + 1, into: $0) }
            return
        }
        let stride = shape[1] * type.byteCount
        let start = range.lowerBound + r * stride
        unsafe values.withUnsafeMutableBufferPointer { values in
            unsafe file.withUnsafeBytes(start..<start + stride) { bytes in
                // The file's bounds and the shape were checked when the file was opened.
                unsafe type.read(bytes, into: values)
            }
        }
    }
}

extension ElementType {
    /// Converts elements to float32, exactly: `bytes` holds as many as `values`.
    func read(_ bytes: UnsafeRawBufferPointer, into values: UnsafeMutableBufferPointer<Float>) {
        precondition(bytes.count == values.count * byteCount, "ElementType: bytes do not fit the values")
        for i in values.indices {
            switch self {
            case .f32:
                unsafe values[i] = Float(
                    bitPattern: UInt32(
                        littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * i, as: UInt32.self)))
            case .bf16:
                let half = unsafe UInt16(
                    littleEndian: bytes.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self))
                unsafe values[i] = Float(bitPattern: UInt32(half) << 16)
            case .f16:
                let half = unsafe UInt16(
                    littleEndian: bytes.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self))
                unsafe values[i] = Float(Float16(bitPattern: half))
            }
        }
    }
}
