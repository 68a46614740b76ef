/// How long to wait for answers of a worker, computed from how long its earlier answers took.
///
/// A worker that hangs is given up soon, and one that is only slow is waited for.
package struct AnswerTimes: Sendable {
    /// Measured speed in multiply-adds a second; nil before the first answer.
    package private(set) var speed: Double?

    /// The time that every worker has, in addition to a multiple of the expected time.
    private static let base = Duration.seconds(10)
    private static let multiple = 10.0
    private static let longest = Duration.seconds(300)
    /// Assumed speed of a worker that has not answered yet, in multiply-adds a second; workers are faster.
    private static let unknownSpeed = 1e9

    /// Times of a worker that has not answered yet.
    package init() {}

    /// Includes an answer in the measured speed.
    ///
    /// - Parameters:
    ///   - work: How many multiply-adds it took.
    ///   - duration: The time from the request to the answer.
    package mutating func add(work: Double, took duration: Duration) {
        let found = work / max(duration / .seconds(1), 1e-6)
        speed = speed.map { 0.8 * $0 + 0.2 * found } ?? found
    }

    /// How long to wait for an answer: 10 s and ten times the expected time, at most 300 s.
    ///
    /// - Parameter work: How many multiply-adds it takes.
    /// - Returns: The time to wait.
    package func limit(work: Double) -> Duration {
        let expected = work / max(speed ?? Self.unknownSpeed, 1)
        return min(Self.base + .seconds(min(Self.multiple * expected, 1e6)), Self.longest)
    }
}
