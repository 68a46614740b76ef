/// Which part of the outputs of each site a machine holds, so that several hold a model that fits none of them.
public struct Shard: Hashable, Sendable {
    public let index: Int
    public let count: Int

    /// The one part of one.
    public static let whole = Shard(valid: 0, of: 1)

    /// - Returns: Nil unless there is such a part, of at most 65,535.
    public init?(index: Int, of count: Int) {
        guard (1...65_535).contains(count), (0..<count).contains(index) else { return nil }
        self.init(valid: index, of: count)
    }

    private init(valid index: Int, of count: Int) {
        self.index = index
        self.count = count
    }

    /// The part's share of `outputs` outputs; empty when there are fewer outputs than parts.
    public func range(of outputs: Int) -> Range<Int> {
        outputs * index / count..<outputs * (index + 1) / count
    }
}
