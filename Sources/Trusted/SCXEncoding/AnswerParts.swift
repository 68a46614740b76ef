package import SCXLink

/// An answer to several sessions, whose parts follow each other in it: each session's key opens the next part.
package struct AnswerParts: ~Copyable {
    private let values: [Float]
    private var next = 0

    /// Takes the numbers of an answer.
    ///
    /// - Throws: ``LinkError/unexpectedAnswer(_:)`` when it is not a tensor.
    package init(_ answer: Answer) throws(LinkError) {
        guard case .tensor(let tensor) = answer else { throw .unexpectedAnswer("expected a tensor") }
        values = tensor.values
    }

    /// Takes the next `count` numbers; `what` names them in the error text.
    mutating func take(_ count: Int, _ what: String) throws(LinkError) -> ArraySlice<Float> {
        guard count <= values.count - next else { throw .unexpectedAnswer("expected \(what)") }
        defer { next += count }
        return values[next..<next + count]
    }

    /// Checks that no numbers are left.
    package consuming func finish() throws(LinkError) {
        guard next == values.count else {
            throw .unexpectedAnswer("\(values.count - next) numbers more than expected")
        }
    }
}
