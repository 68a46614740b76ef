/// What becomes of the matches where a text is split at them.
enum SplitBehavior: String, Sendable {
    /// They go.
    case removed = "Removed"
    /// Each is a part.
    case isolated = "Isolated"
    /// They end the part before them.
    case mergedWithPrevious = "MergedWithPrevious"
    /// They begin the part after them.
    case mergedWithNext = "MergedWithNext"
    /// Matches in a row are one part.
    case contiguous = "Contiguous"
}

/// Makes parts of the matches in one text and what lies between, in order.
struct SplitParts {
    private let behavior: SplitBehavior
    /// What a part's offsets count from.
    private let base: Int
    private var last: Range<Int>?
    private var lastIsMatch = false

    /// - Parameters:
    ///   - behavior: What becomes of the matches.
    ///   - base: Added to all offsets.
    init(_ behavior: SplitBehavior, base: Int) {
        self.behavior = behavior
        self.base = base
    }

    /// Takes the next piece of the text, which may be empty, and appends the parts that are certain now.
    mutating func add(_ piece: Range<Int>, isMatch: Bool, to parts: inout [Range<Int>]) {
        let joins: Bool
        switch behavior {
        case .isolated: return append(piece, to: &parts)
        case .removed: return isMatch ? () : append(piece, to: &parts)
        case .contiguous: joins = isMatch == lastIsMatch
        case .mergedWithPrevious: joins = isMatch && !lastIsMatch
        case .mergedWithNext: joins = !isMatch && lastIsMatch
        }
        lastIsMatch = isMatch
        if joins, let open = last {
            last = open.lowerBound..<piece.upperBound
        } else {
            if let last { append(last, to: &parts) }
            last = piece
        }
    }

    private func append(_ part: Range<Int>, to parts: inout [Range<Int>]) {
        if !part.isEmpty { parts.append(part.lowerBound + base..<part.upperBound + base) }
    }

    /// Appends the last part.
    func finish(to parts: inout [Range<Int>]) {
        if let last { append(last, to: &parts) }
    }
}
