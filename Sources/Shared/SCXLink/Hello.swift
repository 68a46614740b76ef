/// What both sides say first.
public struct Hello: Equatable, Sendable {
    /// The version of the link that this program speaks.
    public static let currentVersion: UInt16 = 2

    public var version: UInt16
    /// The model's digest, as `Checkpoint.digest()` makes it: both sides must have the same model.
    public var digest: String
    /// How the worker holds its weights, `bf16` and the like; empty from the trusted side.
    public var weights: String

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
        return Message(
            head: FrameHead(kind: .hello, isAnswer: isAnswer, number: number), fields: fields.bytes)
    }

    init(_ message: Message) throws(LinkError) {
        var fields = FieldReader(message.fields)
        version = try fields.take(UInt16.self)
        digest = try fields.takeText()
        weights = try fields.takeText()
        // Both are shown to people and written to logs: names of moderate length, whatever the peer sent.
        for text in [digest, weights] {
            guard text.utf8.count <= 128, text.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) else {
                throw .malformedFrame("a hello whose texts are no names")
            }
        }
        // A later version may say more; what follows is for those who know it.
    }
}
