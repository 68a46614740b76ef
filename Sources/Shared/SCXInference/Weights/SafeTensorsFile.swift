/// A safetensors file, mapped into memory, with a header that was checked.
///
/// The format (<https://huggingface.co/docs/safetensors>): 8 bytes with the header's length, little-endian, a header
/// in JSON, and the tensors' bytes one after the other. Like the reference implementation, this reader refuses
/// headers above 100 MB, tensors that overlap or leave gaps or bytes at the end, and sizes that differ from the
/// shape's. An unknown element type is an error only when that tensor is asked for.
public struct SafeTensorsFile: Sendable {
    static let headerLimit = 100_000_000

    /// What the header says about one tensor; the offsets are those in the file.
    struct Entry: Sendable {
        let name: String
        let type: String
        let shape: [Int]
        let range: Range<Int>
    }

    let file: MappedFile
    let entries: [String: Entry]

    public var path: String { file.path }

    /// The tensor of that name and shape.
    ///
    /// - Throws: ``CheckpointError/missingTensor(path:tensor:)``,
    ///   ``CheckpointError/wrongShape(path:tensor:expected:found:)`` or
    ///   ``CheckpointError/unsupportedType(path:tensor:found:)``.
    public func tensor(_ name: String, shape: [Int]) throws(CheckpointError) -> StoredTensor {
        guard entries[name] != nil else { throw .missingTensor(path: path, tensor: name) }
        let tensor = try self.tensor(name)
        guard tensor.shape == shape else {
            throw .wrongShape(path: path, tensor: name, expected: shape, found: tensor.shape)
        }
        return tensor
    }

    /// The names of all tensors, sorted.
    public var tensorNames: [String] { entries.keys.sorted() }

    /// Maps a file and checks its header.
    ///
    /// - Parameter path: The file's path.
    /// - Throws: ``CheckpointError`` that names the file.
    public init(_ path: String) throws(CheckpointError) {
        let file = try MappedFile(path)
        guard file.byteCount >= 8 else {
            throw .malformed(path: path, reason: "\(file.byteCount) bytes, shorter than a header's length")
        }
        let headerSize = unsafe file.withUnsafeBytes(0..<8) {
            unsafe UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self))
        }
        guard headerSize <= Self.headerLimit else {
            throw .malformed(path: path, reason: "claims a header of \(headerSize) bytes")
        }
        let dataStart = 8 + Int(headerSize)
        guard dataStart <= file.byteCount else {
            throw .malformed(
                path: path, reason: "claims a header of \(headerSize) bytes in a file of \(file.byteCount)")
        }
        guard case .object(let members) = try file.json(8..<dataStart) else {
            throw .malformed(path: path, reason: "the header is not a JSON object")
        }
        var entries: [Entry] = []
        entries.reserveCapacity(members.count)
        for member in members where member.name != "__metadata__" {
            entries.append(
                try Self.entry(member, path: path, dataStart: dataStart, dataSize: file.byteCount - dataStart)
            )
        }
        entries.sort {
            ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound)
        }
        var end = dataStart
        for entry in entries {
            guard entry.range.lowerBound == end else {
                throw .malformedTensor(
                    path: path, tensor: entry.name,
                    reason: entry.range.lowerBound < end
                        ? "overlaps another tensor" : "unused bytes before it")
            }
            end = entry.range.upperBound
        }
        guard end == file.byteCount else {
            throw .malformed(path: path, reason: "\(file.byteCount - end) bytes after the last tensor")
        }
        var named = [String: Entry](minimumCapacity: entries.count)
        for entry in entries {
            guard named.updateValue(entry, forKey: entry.name) == nil else {
                throw .malformedTensor(path: path, tensor: entry.name, reason: "listed twice")
            }
        }
        self.file = file
        self.entries = named
    }

    private static func entry(
        _ member: JSON.Member, path: String, dataStart: Int, dataSize: Int
    ) throws(CheckpointError) -> Entry {
        func fault(_ reason: String) -> CheckpointError {
            .malformedTensor(path: path, tensor: member.name, reason: reason)
        }
        guard let type = member.value["dtype"]?.string else { throw fault("has no dtype") }
        guard let shape = sizes(member.value["shape"]) else { throw fault("has no shape") }
        guard let offsets = sizes(member.value["data_offsets"]), offsets.count == 2 else {
            throw fault("has no data_offsets")
        }
        guard offsets[0] <= offsets[1] else { throw fault("ends before it starts") }
        guard offsets[1] <= dataSize else {
            throw fault("ends at byte \(offsets[1]) of the data, of which the file has \(dataSize)")
        }
        if let bits = bitWidths[type] {
            var total = bits
            for size in shape {
                let (product, overflow) = total.multipliedReportingOverflow(by: size)
                guard !overflow else { throw fault("its shape \(shape) is too large") }
                total = product
            }
            guard total % 8 == 0, total / 8 == offsets[1] - offsets[0] else {
                throw fault("\(offsets[1] - offsets[0]) bytes do not fit \(type) elements of shape \(shape)")
            }
        }
        return Entry(
            name: member.name, type: type, shape: shape,
            range: dataStart + offsets[0]..<dataStart + offsets[1])
    }

    private static func sizes(_ json: JSON?) -> [Int]? {
        guard let values = json?.array else { return nil }
        var sizes: [Int] = []
        for value in values {
            guard case .int(let size) = value, size >= 0 else { return nil }
            sizes.append(size)
        }
        return sizes
    }

    /// Bits of one element, for the types of the format whose width is certain.
    private static let bitWidths = [
        "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "U16": 16, "I16": 16,
        "F16": 16,
        "BF16": 16, "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64, "C64": 64,
    ]

    /// The tensor of that name.
    ///
    /// - Throws: ``CheckpointError/missingTensor(path:tensor:)``, or
    ///   ``CheckpointError/unsupportedType(path:tensor:found:)`` for integers and the like.
    public func tensor(_ name: String) throws(CheckpointError) -> StoredTensor {
        guard let entry = entries[name] else { throw .missingTensor(path: path, tensor: name) }
        guard let type = ElementType(rawValue: entry.type) else {
            throw .unsupportedType(path: path, tensor: name, found: entry.type)
        }
        return StoredTensor(name: name, type: type, shape: entry.shape, file: file, range: entry.range)
    }
}
