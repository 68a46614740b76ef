package import SCXEncoding

/// Rows of pictures that a decoder gets in the place of the rows of some tokens.
///
/// They are kept until a prompt's session ends, so that it can be computed again, and zeroed when they are freed.
package final class PictureRows: Sendable {
    private let rows: Plaintext

    package var count: Int { rows.rows }

    package init(_ rows: consuming Plaintext) { self.rows = rows }

    /// Copies a row over another one.
    ///
    /// - Precondition: Both exist, and have as many channels.
    fileprivate func copy(_ index: Int, to target: Int, of other: inout Plaintext) {
        precondition(
            other.channels == rows.channels && (0..<count).contains(index), "PictureRows: no such row")
        other.set(target, to: rows.selecting([index]))
    }
}

/// Which tokens of a segment have rows of pictures in their place.
package struct InsertedRows: Equatable, Sendable {
    private let rows: PictureRows
    /// For each token of the segment the number of its row, or nil where the token itself is embedded.
    private let places: [Int?]

    /// - Precondition: The rows exist.
    package init(_ rows: PictureRows, places: [Int?]) {
        precondition(
            places.allSatisfy { $0.map { (0..<rows.count).contains($0) } ?? true }, "InsertedRows: rows")
        (self.rows, self.places) = (rows, places)
    }

    /// The same of some of the tokens.
    func part(_ tokens: Range<Int>) -> InsertedRows { InsertedRows(rows, places: Array(places[tokens])) }

    /// Writes the rows over those of their tokens.
    ///
    /// - Parameters:
    ///   - hidden: Embedded tokens.
    ///   - first: The row of the segment's first token.
    func insert(into hidden: inout Plaintext, from first: Int) {
        for (index, place) in places.enumerated() {
            if let place { rows.copy(place, to: first + index, of: &hidden) }
        }
    }

    package static func == (a: Self, b: Self) -> Bool { a.rows === b.rows && a.places == b.places }
}
