/// Where rules return to: stacks of open calls, of which those that begin with a call at the same place of the text share
/// a cell.
///
/// A cell is a list of returns, each a node and the cell below; cell 0 is the empty stack. Equal cells are stored once.
struct ReturnStacks: Sendable {
    typealias Cell = Int32

    /// The returns of all cells, one after the other: `node << 32 | cell below`.
    private var returns: [UInt64] = []
    private var ends: [Int32] = [0]
    private var depths: [Int32] = [0]
    private var cellOfOne: [UInt64: Cell] = [:]
    private var cellOfSeveral: [[UInt64]: Cell] = [:]

    /// Bytes of memory, about.
    private(set) var size = 0

    static func node(of entry: UInt64) -> Int32 { Int32(truncatingIfNeeded: entry >> 32) }
    static func below(_ entry: UInt64) -> Cell { Int32(truncatingIfNeeded: entry) }
    static func entry(_ node: Int32, _ cell: Cell) -> UInt64 {
        UInt64(UInt32(bitPattern: node)) << 32 | UInt64(UInt32(bitPattern: cell))
    }

    /// The greatest number of calls in any of a cell's stacks.
    func depth(_ cell: Cell) -> Int32 { depths[Int(cell)] }

    /// The returns of a cell.
    func entries(of cell: Cell) -> ArraySlice<UInt64> {
        cell == 0 ? [] : returns[Int(ends[Int(cell) - 1])..<Int(ends[Int(cell)])]
    }

    /// The cell with these returns.
    ///
    /// - Parameter entries: In order, each once, at least one.
    /// - Returns: Its number.
    mutating func cell(_ entries: [UInt64]) -> Cell {
        if entries.count == 1, let known = cellOfOne[entries[0]] { return known }
        if entries.count > 1, let known = cellOfSeveral[entries] { return known }
        let cell = Cell(ends.count)
        returns += entries
        ends.append(Int32(returns.count))
        depths.append(1 + (entries.map { depths[Int(Self.below($0))] }.max() ?? 0))
        if entries.count == 1 { cellOfOne[entries[0]] = cell } else { cellOfSeveral[entries] = cell }
        size += 32 + 24 * entries.count
        return cell
    }

    /// The cells of others here, as far as some of them need.
    ///
    /// A cell has a higher number than those below it.
    mutating func take(_ cells: some Sequence<Cell>, from other: ReturnStacks) -> [Cell: Cell] {
        var needed: Set<Cell> = []
        var pending = Array(cells)
        while let cell = pending.popLast() {
            guard cell != 0, needed.insert(cell).inserted else { continue }
            pending += other.entries(of: cell).map(Self.below)
        }
        var taken: [Cell: Cell] = [0: 0]
        for old in needed.sorted() {
            let entries = other.entries(of: old).map {
                Self.entry(Self.node(of: $0), taken[Self.below($0)] ?? 0)
            }
            taken[old] = cell(entries.sorted())
        }
        return taken
    }
}
