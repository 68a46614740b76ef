/// A small number for every character, found in two steps.
struct ScalarMap: Sendable {
    private static let pageBits: UInt32 = 7
    private static let pageSize = 1 << Int(pageBits)
    /// Where the values of a character's page begin.
    private var pages: [Int32]
    private var values: [UInt8]

    /// Gives every character 0 but those of the runs.
    ///
    /// - Parameter runs: Ranges that do not overlap, in order, each with its value.
    init(_ runs: [(range: Range<UInt32>, value: UInt8)]) {
        pages = []
        values = []
        pages.reserveCapacity(Int(ScalarRanges.limit >> Self.pageBits))
        var known: [[UInt8]: Int32] = [:]
        var uniform = [Int32](repeating: -1, count: 256)
        var run = 0
        var page = [UInt8](repeating: 0, count: Self.pageSize)
        for start in stride(from: 0, to: ScalarRanges.limit, by: Self.pageSize) {
            let end = start + UInt32(Self.pageSize)
            while run < runs.count, runs[run].range.upperBound <= start { run += 1 }
            let covers =
                run < runs.count && runs[run].range.lowerBound <= start && runs[run].range.upperBound >= end
            if covers || run == runs.count || runs[run].range.lowerBound >= end {
                let value = covers ? runs[run].value : 0
                if uniform[Int(value)] < 0 {
                    uniform[Int(value)] = Int32(values.count)
                    values += [UInt8](repeating: value, count: Self.pageSize)
                }
                pages.append(uniform[Int(value)])
                continue
            }
            for i in page.indices { page[i] = 0 }
            var at = run
            while at < runs.count, runs[at].range.lowerBound < end {
                let part = runs[at].range.clamped(to: start..<end)
                for scalar in part { page[Int(scalar - start)] = runs[at].value }
                at += 1
            }
            if let found = known[page] {
                pages.append(found)
            } else {
                known[page] = Int32(values.count)
                pages.append(Int32(values.count))
                values += page
            }
        }
    }

    /// Gives the characters of a set 1, the others 0.
    init(_ set: ScalarRanges) { self.init(set.ranges.map { ($0, 1) }) }

    /// The value of a character.
    ///
    /// - Precondition: The number is below ``ScalarRanges/limit``.
    subscript(_ scalar: UInt32) -> UInt8 {
        values[Int(pages[Int(scalar >> Self.pageBits)]) + Int(scalar) & (Self.pageSize - 1)]
    }

    /// Whether the character's value is not 0: membership, where the map is that of a set.
    func contains(_ scalar: Unicode.Scalar) -> Bool { self[scalar.value] != 0 }
}
