/// How long somebody may take for an answer, by how long earlier ones took.
///
/// One that hangs is given up soon, and one that is merely slow is waited for.
package struct AnswerTimes: Sendable {
    /// Multiply-adds a second, measured; nil before the first answer.
    package private(set) var speed: Double?

    /// The least that anybody is given, beside a multiple of what is expected.
    private static let base = Duration.seconds(10)
    private static let multiple = 10.0
    private static let longest = Duration.seconds(300)
    /// Multiply-adds a second of somebody who has not answered yet: less than any worker has.
    private static let unknownSpeed = 1e9

    package init() {}

    /// Takes note of an answer.
    ///
    /// - Parameters:
    ///   - work: Its multiply-adds.
    ///   - duration: From the request to the answer.
    package mutating func add(work: Double, took duration: Duration) {
        let found = work / max(duration / .seconds(1), 1e-6)
        speed = speed.map { 0.8 * $0 + 0.2 * found } ?? found
    }

    /// How long to wait for an answer: 10 s and ten times what is expected, 300 s at most.
    ///
    /// - Parameter work: Its multiply-adds.
    package func limit(work: Double) -> Duration {
        let expected = work / max(speed ?? Self.unknownSpeed, 1)
        return min(Self.base + .seconds(min(Self.multiple * expected, 1e6)), Self.longest)
    }
}
