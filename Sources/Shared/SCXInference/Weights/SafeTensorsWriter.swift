/// Writes a safetensors file piece by piece, with little memory.
///
/// The header comes first, so all names and shapes must be given at the start; then the tensors' bytes are appended
/// in that order. The file gets its name when it is complete.
public struct SafeTensorsWriter: ~Copyable {
    /// A tensor to be written.
    public struct Tensor: Sendable {
        public let name: String
        public let type: ElementType
        public let shape: [Int]

        public init(_ name: String, _ type: ElementType, _ shape: [Int]) {
            self.name = name
            self.type = type
            self.shape = shape
        }

        public var byteCount: Int { shape.reduce(type.byteCount, *) }
    }

    private let file: OutputFile
    private var missing: Int

    /// Begins a file by writing its header.
    ///
    /// - Parameters:
    ///   - path: The file to make or replace.
    ///   - tensors: The tensors that will follow, in this order.
    /// - Throws: ``CheckpointError/file(path:action:reason:)``.
    /// - Precondition: No name occurs twice.
    public init(_ path: String, tensors: [Tensor]) throws(CheckpointError) {
        precondition(
            Set(tensors.map(\.name)).count == tensors.count, "SafeTensorsWriter: a name occurs twice")
        var end = 0
        var members = [JSON.Member("__metadata__", ["format": "pt"])]
        for tensor in tensors {
            let start = end
            end += tensor.byteCount
            members.append(
                JSON.Member(
                    tensor.name,
                    [
                        "dtype": .string(tensor.type.rawValue), "shape": .array(tensor.shape.map(JSON.int)),
                        "data_offsets": [.int(start), .int(end)],
                    ]))
        }
        var header = Array(JSON.object(members).text.utf8)
        // Pad with spaces, so that tensors start at a multiple of 8.
        while header.count % 8 != 0 { header.append(0x20) }
        let size = UInt64(header.count)
        header.insert(contentsOf: (0..<8).map { UInt8(truncatingIfNeeded: size >> (8 * $0)) }, at: 0)
        let file = try OutputFile(path)
        try unsafe file.append(header.span.bytes)
        self.file = file
        missing = end
    }

    /// Appends the next bytes of the tensors, little-endian; they need not end where a tensor ends.
    public mutating func append(_ bytes: RawSpan) throws(CheckpointError) {
        precondition(bytes.byteCount <= missing, "SafeTensorsWriter: more bytes than the header lists")
        missing -= bytes.byteCount
        try file.append(bytes)
    }

    /// Gives the file its name.
    ///
    /// - Precondition: Every byte that the header lists was appended.
    public consuming func finish() throws(CheckpointError) {
        precondition(missing == 0, "SafeTensorsWriter: fewer bytes than the header lists")
        try file.finish()
    }

    /// Writes a file with one tensor of float32.
    ///
    /// - Precondition: `values` has the elements of `shape`.
    public static func write(
        _ values: Span<Float>, name: String, shape: [Int], to path: String
    ) throws(CheckpointError) {
        var writer = try SafeTensorsWriter(path, tensors: [Tensor(name, .f32, shape)])
        try unsafe writer.append(values.bytes)
        try writer.finish()
    }
}
