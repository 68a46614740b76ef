/// Which part of the outputs of each site a machine holds, so that several machines together hold a model that fits
/// none of them.
public struct Shard: Hashable, Sendable {
    /// The part's number, from 0 on.
    public let index: Int
    /// How many parts there are.
    public let count: Int

    /// The only part of one, that is the whole model.
    public static let whole = Shard(valid: 0, of: 1)

    /// Makes the part with this number, from 0 on, of so many.
    ///
    /// - Returns: Nil unless there is such a part, of at most 65,535.
    public init?(index: Int, of count: Int) {
        guard (1...65_535).contains(count), (0..<count).contains(index) else { return nil }
        self.init(valid: index, of: count)
    }

    private init(valid index: Int, of count: Int) {
        self.index = index
        self.count = count
    }

    /// Which of `outputs` outputs belong to the part; empty when there are fewer outputs than parts.
    public func range(of outputs: Int) -> Range<Int> {
        outputs * index / count..<outputs * (index + 1) / count
    }
}
