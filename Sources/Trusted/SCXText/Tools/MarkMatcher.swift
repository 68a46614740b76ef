/// Compares bytes as they come with some texts, from the place where it was reset.
///
/// A search through a text begins anew at the byte that did not fit, so no text may have its first byte twice.
struct MarkMatcher: Sendable {
    enum Outcome: Equatable {
        case none
        case partial
        /// The number of the text that is complete.
        case matched(Int)
    }

    private let marks: [[UInt8]]
    /// Bytes that fit.
    private(set) var count = 0
    /// A bit for each text that fits so far.
    private var fitting: UInt64
    private let all: UInt64

    init(_ marks: [String]) {
        precondition(marks.count < 64, "MarkMatcher: too many texts")
        self.marks = marks.map { Array($0.utf8) }
        all = (1 << UInt64(marks.count)) - 1
        fitting = all
    }

    mutating func reset() { (count, fitting) = (0, all) }

    /// Takes the next byte; after `none` and `matched` it starts anew.
    mutating func push(_ byte: UInt8) -> Outcome {
        var whole: Int?
        for (place, mark) in marks.enumerated() where fitting & (1 << UInt64(place)) != 0 {
            if count < mark.count, mark[count] == byte {
                if count + 1 == mark.count { whole = whole ?? place }
            } else {
                fitting &= ~(1 << UInt64(place))
            }
        }
        guard fitting != 0 else {
            reset()
            return .none
        }
        if let whole {
            reset()
            return .matched(whole)
        }
        count += 1
        return .partial
    }
}
