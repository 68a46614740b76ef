import Foundation

/// A moment in UTC, to the second.
package struct Instant: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Seconds since 1970, without leap seconds.
    package let seconds: Int64

    /// The moment that a calendar and a clock in UTC show.
    ///
    /// - Returns: Nil where there is no such day or time, or the year is not one of 1 to 9999.
    package init?(year: Int, month: Int, day: Int, hour: Int = 0, minute: Int = 0, second: Int = 0) {
        guard (1...9999).contains(year), (1...12).contains(month), (0...23).contains(hour),
            (0...59).contains(minute), (0...59).contains(second)
        else { return nil }
        let isLeap = year.isMultiple(of: 4) && (!year.isMultiple(of: 100) || year.isMultiple(of: 400))
        let lengths = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard (1...lengths[month - 1]).contains(day) else { return nil }
        let before = year - 1
        let days =
            before * 365 + before / 4 - before / 100 + before / 400
            + lengths[..<(month - 1)].reduce(0, +) + day - 1 - 719_162  // days before 1970
        seconds = Int64(((days * 24 + hour) * 60 + minute) * 60 + second)
    }

    /// Reads `2026-02-03`, or `2026-02-03T04:05:06Z`.
    ///
    /// - Returns: Nil for anything else, other time zones among it.
    package init?(_ text: String) {
        let text = Array(text.utf8)
        guard text.count == 10 || text.count == 20 else { return nil }
        let pattern = Array("0000-00-00T00:00:00Z".utf8)
        for (is_, must) in zip(text, pattern) {
            let isDigit = (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(is_)
            guard must == UInt8(ascii: "0") ? isDigit : is_ == must else { return nil }
        }
        func number(_ start: Int, _ count: Int) -> Int {
            guard start + count <= text.count else { return 0 }
            return text[start..<start + count].reduce(0) { $0 * 10 + Int($1 - UInt8(ascii: "0")) }
        }
        self.init(
            year: number(0, 4), month: number(5, 2), day: number(8, 2), hour: number(11, 2),
            minute: number(14, 2), second: number(17, 2))
    }

    /// What this machine's clock says.
    package static var now: Instant { Instant(seconds: Int64(Date().timeIntervalSince1970)) }

    private init(seconds: Int64) { self.seconds = seconds }

    /// The moment some seconds later.
    package func advanced(by seconds: Int64) -> Instant { Instant(seconds: self.seconds + seconds) }

    package static func < (a: Instant, b: Instant) -> Bool { a.seconds < b.seconds }

    package var description: String {
        Date(timeIntervalSince1970: Double(seconds)).formatted(.iso8601)
    }
}
