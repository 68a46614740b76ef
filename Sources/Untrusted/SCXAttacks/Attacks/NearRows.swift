public import SCXLink

/// Finds rows of integers that are equal or near each other, among those of any number of transcripts.
///
/// Each row is put into a bucket by the high bits of four channels. It is then looked for in all buckets that a small
/// difference can lead to, so that the work grows with the number of rows and not with its square. Candidates are
/// compared in sixteen channels: with the usual bound, independent rows pass with a probability of 2⁻⁶ in each of
/// them.
public struct NearRows {
    /// How many rows were added.
    public private(set) var count = 0
    /// How many pairs of rows were compared in sixteen channels.
    public private(set) var compared = 0

    private static let channels = 16
    private static let keyed = 4

    private let reach: UInt32
    /// How many bits of a channel are below those that choose the bucket.
    private let shift: UInt32
    /// The compared channels of each group's first row.
    private var firsts: [UInt32] = []
    /// The numbers of the groups' first rows.
    private var numbers: [Int] = []
    /// The numbers of the other rows, for groups that have any.
    private var others: [Int32: [Int]] = [:]
    /// For each bucket its last group, and for each group the one before it in its bucket.
    private var heads: [UInt32: Int32] = [:]
    private var previous: [Int32] = []

    /// Makes an empty index.
    ///
    /// - Parameter bound: The bound on encoded values, a power of two; their differences are below twice as much.
    public init(bound: UInt32 = 1 << 24) {
        precondition(Self.isValid(bound: bound), "NearRows: bound")
        reach = 2 * bound
        // A bucket is twice as wide as the largest difference, so that a difference leads at most to one neighbour.
        shift = UInt32(reach.trailingZeroBitCount) + 1
    }

    static func isValid(bound: UInt32) -> Bool {
        bound > 0 && bound & (bound - 1) == 0 && bound <= 1 << 28
    }

    /// Rows that are near each other, by their numbers in the order in which they were added.
    public var groups: [[Int]] {
        others.sorted { $0.key < $1.key }.map { [numbers[Int($0.key)]] + $0.value }
    }

    /// How many rows are near one that was added before.
    public var repeated: Int { others.values.reduce(0) { $0 + $1.count } }

    /// Adds all rows of padded integers that a worker received.
    ///
    /// - Parameter transcript: The worker's transcript.
    /// - Throws: ``AttackError`` when the files cannot be read.
    public mutating func add(_ transcript: Transcript) throws(AttackError) {
        for entry in transcript.entries where entry.isPaddedRows { _ = try add(entry, of: transcript) }
    }

    /// Adds the rows of a message.
    ///
    /// - Parameters:
    ///   - entry: A message with integers.
    ///   - transcript: The transcript to which it belongs.
    /// - Returns: False when its rows are too short to be compared.
    /// - Throws: ``AttackError`` when the files cannot be read.
    mutating func add(_ entry: TranscriptEntry, of transcript: Transcript) throws(AttackError) -> Bool {
        guard entry.channels >= Self.channels else { return false }
        let words: [UInt32]
        do throws(TranscriptError) {
            words = try transcript.words(of: entry)
        } catch {
            throw .transcript(error)
        }
        for row in 0..<entry.rows {
            add(words[row * entry.channels..<row * entry.channels + Self.channels])
        }
        return true
    }

    private mutating func add(_ words: ArraySlice<UInt32>) {
        defer { count += 1 }
        var buckets: [UInt32] = [0]
        var own: UInt32 = 0
        let width: UInt32 = 32 - shift
        for word in words.prefix(Self.keyed) {
            let bucket = word >> shift
            let isLow = word & (1 << shift - 1) < reach
            let neighbour = (isLow ? bucket &- 1 : bucket &+ 1) & (1 << width - 1)
            buckets = buckets.map { $0 << width | bucket } + buckets.map { $0 << width | neighbour }
            own = own << width | bucket
        }
        for bucket in Set(buckets) {
            var group = heads[bucket] ?? -1
            while group >= 0 {
                compared += 1
                let start = Int(group) * Self.channels
                if isNear(words, firsts[start..<start + Self.channels]) {
                    others[group, default: []].append(count)
                    return
                }
                group = previous[Int(group)]
            }
        }
        previous.append(heads[own] ?? -1)
        heads[own] = Int32(numbers.count)
        numbers.append(count)
        firsts += words
    }

    private func isNear(_ a: ArraySlice<UInt32>, _ b: ArraySlice<UInt32>) -> Bool {
        zip(a, b).allSatisfy { Int32(bitPattern: $0 &- $1).magnitude <= reach }
    }
}

extension TranscriptEntry {
    /// Whether it is a request with integers that may be padded.
    ///
    /// Those of a permutation, or of an attention whose values were rounded, are not.
    var isPaddedRows: Bool {
        direction == .received && elements == .uint32 && kind != .unlock && kind != .attention
    }
}
