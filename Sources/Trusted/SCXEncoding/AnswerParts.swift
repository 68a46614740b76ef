package import SCXLink

/// An answer for several sessions, which lie in it one after the other: each one's key opens the next part.
package struct AnswerParts: ~Copyable {
    private let values: [Float]
    private var next = 0

    /// - Throws: ``LinkError/unexpectedAnswer(_:)`` when it is no tensor.
    package init(_ answer: Answer) throws(LinkError) {
        guard case .tensor(let tensor) = answer else { throw .unexpectedAnswer("expected a tensor") }
        values = tensor.values
    }

    /// The next numbers, which are `what`.
    mutating func take(_ count: Int, _ what: String) throws(LinkError) -> ArraySlice<Float> {
        guard count <= values.count - next else { throw .unexpectedAnswer("expected \(what)") }
        defer { next += count }
        return values[next..<next + count]
    }

    /// Checks that all was opened.
    package consuming func finish() throws(LinkError) {
        guard next == values.count else {
            throw .unexpectedAnswer("\(values.count - next) numbers more than expected")
        }
    }
}
