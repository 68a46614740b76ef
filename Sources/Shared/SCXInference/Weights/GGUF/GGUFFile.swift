/// A GGUF file, mapped into memory, with a header that was checked.
///
/// The format (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>): magic, version, counts, the metadata as
/// named values, the tensors' names, shapes, formats and offsets, and then their bytes. Files come from strangers: each
/// count and length is compared with the bytes that are left before anything is done with it, the header has a greatest
/// size, and tensors lie inside the file and do not overlap.
public struct GGUFFile: Sendable {
    /// The longest header that is read; those of published files have up to 20 MB, nearly all of it tokens.
    static let headerLimit = 1 << 28
    /// The most named values, and the most tensors.
    static let countLimit = 1 << 16

    /// A kind of value, by its number in the file.
    enum Kind: UInt32, Sendable {
        case uint8, int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

        /// Bytes of a value; nil for strings and arrays.
        var byteCount: Int? {
            switch self {
            case .uint8, .int8, .bool: 1
            case .uint16, .int16: 2
            case .uint32, .int32, .float32: 4
            case .uint64, .int64, .float64: 8
            case .string, .array: nil
            }
        }
    }

    /// A value of the metadata, which is read from the file when it is asked for.
    struct Value: Sendable {
        let kind: Kind
        /// The kind of an array's elements.
        var element: Kind?
        /// Elements of an array.
        var count = 0
        /// The value's bytes; of an array those of its elements.
        let range: Range<Int>
    }

    /// A tensor as the header describes it.
    struct Entry: Sendable {
        let name: String
        let format: GGUFFormat
        /// As in other checkpoints: `[rows, columns]`.
        let shape: [Int]
        let range: Range<Int>
    }

    let file: MappedFile
    /// The names of the values, in the order of the file.
    let keys: [String]
    let values: [String: Value]
    let entries: [String: Entry]

    public var path: String { file.path }

    /// Whether a path names a file, not a directory, that is a GGUF file by its first bytes or its name.
    public static func isOne(_ path: String) -> Bool {
        guard let file = try? MappedFile(path) else { return false }
        return path.hasSuffix(".gguf") || hasMagic(file)
    }

    private static func hasMagic(_ file: MappedFile) -> Bool {
        guard file.byteCount >= 4 else { return false }
        return unsafe file.withUnsafeBytes(0..<4) { unsafe $0.elementsEqual("GGUF".utf8) }
    }

    /// Maps a file and checks its header.
    ///
    /// - Parameter path: The file's path.
    /// - Throws: ``CheckpointError`` that names the file.
    public init(_ path: String) throws(CheckpointError) {
        let file = try MappedFile(path)
        var cursor = GGUFCursor(file: file, end: min(file.byteCount, Self.headerLimit))
        guard Self.hasMagic(file) else {
            throw .malformedGGUF(path: path, reason: "it does not begin with the four letters GGUF")
        }
        cursor.at = 4
        let version: UInt32 = try cursor.integer("the version")
        guard version == 2 || version == 3 else {
            throw .unsupported(
                path: path, what: "version \(version) of GGUF", supported: "2 and 3, little-endian")
        }
        let tensorCount: UInt64 = try cursor.integer("the number of tensors")
        let keyCount: UInt64 = try cursor.integer("the number of values")
        guard tensorCount <= Self.countLimit, keyCount <= Self.countLimit else {
            throw .malformedGGUF(
                path: path, reason: "claims \(tensorCount) tensors and \(keyCount) values of metadata")
        }
        var keys: [String] = []
        var values: [String: Value] = [:]
        for _ in 0..<keyCount {
            let key = try cursor.text("a key", limit: 1 << 16)
            let value = try cursor.value(of: key)
            guard values.updateValue(value, forKey: key) == nil else {
                throw .malformedGGUF(path: path, reason: "the key '\(key)' is there twice")
            }
            keys.append(key)
        }
        (self.file, self.keys, self.values) = (file, keys, values)
        entries = try Self.entries(count: Int(tensorCount), &cursor, alignment: Self.alignment(file, values))
    }

    /// To which multiple of bytes tensors are aligned.
    private static func alignment(
        _ file: MappedFile, _ values: [String: Value]
    ) throws(CheckpointError) -> Int {
        guard let value = values["general.alignment"] else { return 32 }
        let alignment = unsafe value.range.count == 4 ? file.load(UInt32.self, at: value.range.lowerBound) : 0
        guard value.kind == .uint32, (1...1 << 16).contains(alignment), alignment.nonzeroBitCount == 1 else {
            throw .field(
                path: file.path, field: "general.alignment", reason: "is no power of two up to 65536")
        }
        return Int(alignment)
    }

    private static func entries(
        count: Int, _ cursor: inout GGUFCursor, alignment: Int
    ) throws(CheckpointError) -> [String: Entry] {
        let path = cursor.file.path
        var found: [(name: String, format: GGUFFormat, shape: [Int], offset: UInt64, size: Int)] = []
        found.reserveCapacity(count)
        for _ in 0..<count {
            let name = try cursor.text("a tensor's name", limit: 1 << 10)
            func fault(_ reason: String) -> CheckpointError {
                .malformedTensor(path: path, tensor: name, reason: reason)
            }
            let dimensions: UInt32 = try cursor.integer("a tensor's dimensions")
            guard (1...4).contains(dimensions) else { throw fault("has \(dimensions) dimensions") }
            var shape: [Int] = []
            for _ in 0..<dimensions {
                let size: UInt64 = try cursor.integer("a tensor's size")
                guard (1...1 << 40).contains(size) else { throw fault("has a dimension of \(size)") }
                shape.insert(Int(size), at: 0)
            }
            let number: UInt32 = try cursor.integer("a tensor's format")
            let offset: UInt64 = try cursor.integer("a tensor's offset")
            guard let format = GGUFFormat(number: number) else {
                throw .unsupported(
                    path: path, what: "tensor '\(name)' in format \(GGUFFormat.name(of: number))",
                    supported: GGUFFormat.supported)
            }
            let columns = shape[shape.count - 1]
            guard columns % format.blockValues == 0 else {
                throw fault("has rows of \(columns) numbers, no whole blocks of \(format.name)")
            }
            var size = columns / format.blockValues
            for factor in shape.dropLast() + [format.blockBytes] {
                let (product, overflow) = size.multipliedReportingOverflow(by: factor)
                guard !overflow else { throw fault("its shape \(shape) is too large") }
                size = product
            }
            guard offset % UInt64(alignment) == 0 else {
                throw fault("starts at byte \(offset), no multiple of \(alignment)")
            }
            found.append((name, format, shape, offset, size))
        }
        let start = (cursor.at + alignment - 1) / alignment * alignment
        let room = max(0, cursor.file.byteCount - start)
        var end = 0
        var entries = [String: Entry](minimumCapacity: count)
        for tensor in found.sorted(by: { ($0.offset, $0.size) < ($1.offset, $1.size) }) {
            func fault(_ reason: String) -> CheckpointError {
                .malformedTensor(path: path, tensor: tensor.name, reason: reason)
            }
            guard tensor.offset <= room, tensor.size <= room - Int(tensor.offset) else {
                throw fault("ends behind the end of the file")
            }
            let first = Int(tensor.offset)
            guard first >= end else { throw fault("overlaps another tensor") }
            end = first + tensor.size
            let entry = Entry(
                name: tensor.name, format: tensor.format, shape: tensor.shape,
                range: start + first..<start + end)
            guard entries.updateValue(entry, forKey: tensor.name) == nil else {
                throw fault("is listed twice")
            }
        }
        return entries
    }
}

/// Reads a GGUF file's header from its beginning.
struct GGUFCursor {
    let file: MappedFile
    /// Where the next value begins.
    var at = 0
    /// The header may reach to here.
    let end: Int

    init(file: MappedFile, end: Int) { (self.file, self.end) = (file, end) }

    private func require(_ count: UInt64, _ what: String) throws(CheckpointError) -> Range<Int> {
        guard count <= UInt64(end - at) else {
            throw .malformedGGUF(
                path: file.path,
                reason: end < file.byteCount
                    ? "its header has more than \(end) bytes" : "it ends in the middle of \(what)")
        }
        return at..<at + Int(count)
    }

    /// Reads an unsigned number.
    mutating func integer<T: FixedWidthInteger>(_ what: String) throws(CheckpointError) -> T {
        let range = try require(UInt64(MemoryLayout<T>.size), what)
        at = range.upperBound
        return unsafe file.load(T.self, at: range.lowerBound)
    }

    /// Passes over a string, and gives the range of its bytes.
    mutating func string(_ what: String) throws(CheckpointError) -> Range<Int> {
        let count: UInt64 = try integer(what)
        let range = try require(count, what)
        at = range.upperBound
        return range
    }

    /// Reads a string of at most `limit` bytes.
    mutating func text(_ what: String, limit: Int) throws(CheckpointError) -> String {
        let range = try string(what)
        guard range.count <= limit, let text = file.text(range) else {
            throw .malformedGGUF(path: file.path, reason: "\(what) is not UTF-8 or too long")
        }
        return text
    }

    /// Passes over the value of a key.
    mutating func value(of key: String) throws(CheckpointError) -> GGUFFile.Value {
        let what = "the value of '\(key)'"
        func kind(_ number: UInt32) throws(CheckpointError) -> GGUFFile.Kind {
            guard let kind = GGUFFile.Kind(rawValue: number) else {
                throw .malformedGGUF(path: file.path, reason: "\(what) is of the unknown kind \(number)")
            }
            return kind
        }
        let own = try kind(integer(what))
        switch own {
        case .string: return GGUFFile.Value(kind: own, range: try string(what))
        case .array:
            let element = try kind(integer(what))
            let count: UInt64 = try integer(what)
            let start = at
            switch element {
            case .array:
                throw .malformedGGUF(path: file.path, reason: "\(what) is an array of arrays")
            case .string:
                // Each string takes at least its length, so that this ends with the file.
                guard count <= UInt64(end - at) / 8 else { _ = try require(.max, what); break }
                for _ in 0..<count { _ = try string(what) }
            default:
                let (bytes, overflow) = count.multipliedReportingOverflow(by: UInt64(element.byteCount ?? 8))
                at = try require(overflow ? .max : bytes, what).upperBound
            }
            return GGUFFile.Value(kind: own, element: element, count: Int(count), range: start..<at)
        default:
            let range = try require(UInt64(own.byteCount ?? 8), what)
            at = range.upperBound
            return GGUFFile.Value(kind: own, range: range)
        }
    }
}

extension MappedFile {
    /// The little-endian number at a place.
    ///
    /// - Precondition: The file has its bytes.
    @unsafe
    func load<T: FixedWidthInteger>(_ type: T.Type, at offset: Int) -> T {
        unsafe withUnsafeBytes(offset..<offset + MemoryLayout<T>.size) {
            unsafe T(littleEndian: $0.loadUnaligned(as: T.self))
        }
    }

    /// The bytes of a range as text; nil where they are not UTF-8.
    func text(_ range: Range<Int>) -> String? {
        unsafe withUnsafeBytes(range) { bytes in unsafe String(validating: bytes, as: UTF8.self) }
    }
}
