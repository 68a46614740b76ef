public import SCXInference

/// The first message of each side on a connection: what it is and what it can do.
public struct Hello: Equatable, Sendable {
    /// The version of the link that this program speaks.
    public static let currentVersion: UInt16 = 4

    /// The version of the link that the sender speaks.
    public var version: UInt16
    /// The model's digest, as `Checkpoint.digest()` computes it.
    ///
    /// Both sides must have the same model.
    public var digest: String
    /// How the worker holds its weights, such as `bf16`; empty from the trusted side.
    public var weights: String
    /// Whether the worker multiplies integers modulo 2³²: its weights are int8 with one scale for each output.
    ///
    /// False from the trusted side.
    public var ring = false
    /// How many requests may be on their way at once on one connection; 0 from the trusted side.
    public var window: UInt16 = 0
    /// Which part of each site's outputs the worker holds.
    public var shard = Shard.whole
    /// Bytes of the largest tensor that the worker accepts; 0 from the trusted side.
    public var largestTensor = 0

    /// The size in bytes of the largest tensor that a worker accepts when its hello does not say it.
    public static let usualLargestTensor = 256 << 20

    /// Makes a hello; a worker sets the other properties afterwards.
    public init(version: UInt16 = Self.currentVersion, digest: String, weights: String = "") {
        self.version = version
        self.digest = digest
        self.weights = weights
    }

    func message(isAnswer: Bool, number: UInt64) -> Message {
        var fields = FieldWriter()
        fields.add(version)
        fields.add(digest)
        fields.add(weights)
        fields.add(UInt8(ring ? 1 : 0))
        fields.add(window)
        fields.add(UInt16(shard.index))
        fields.add(UInt16(shard.count))
        if largestTensor > 0 { fields.add(UInt64(largestTensor)) }
        return Message(
            head: FrameHead(kind: .hello, isAnswer: isAnswer, number: number), fields: fields.bytes)
    }

    init(_ message: Message) throws(LinkError) {
        var fields = FieldReader(message.fields)
        version = try fields.take(UInt16.self)
        digest = try fields.takeText()
        weights = try fields.takeText()
        // Both texts are shown to people and written to logs, so they must be names of moderate length, whatever the
        // peer sent.
        for text in [digest, weights] {
            guard text.utf8.count <= 128, text.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) else {
                throw .malformedFrame("a hello whose texts are no names")
            }
        }
        // Another version may have other fields from here on; it is refused because of its number.
        guard version == Self.currentVersion else { return }
        let ring = try fields.take(UInt8.self)
        guard ring <= 1 else { throw .malformedFrame("a ring of \(ring)") }
        self.ring = ring == 1
        window = try fields.take(UInt16.self)
        let (index, count) = (Int(try fields.take(UInt16.self)), Int(try fields.take(UInt16.self)))
        guard let part = Shard(index: index, of: count) else {
            throw .malformedFrame("a hello of part \(index) of \(count)")
        }
        shard = part
        // This field was added within version 3; programs that do not know it end here.
        guard !fields.isAtEnd else { return }
        guard let largest = Int(exactly: try fields.take(UInt64.self)), largest > 0 else {
            throw .malformedFrame("a hello of a worker that takes no tensor")
        }
        largestTensor = largest
    }
}
