#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A line on standard error that shows the progress of a long task: on a terminal it is redrawn, in a log a line is
/// printed after every tenth.
///
/// Tasks of less than half a second show nothing.
public struct ProgressLine {
    private let label: String
    private let isTerminal = isatty(STDERR_FILENO) != 0
    private let start = ContinuousClock.now
    private var shown = -1
    private var lastShown = ContinuousClock.now
    private let report: Report?

    /// Called with the task's name and how much of it is done, 0 to 1.
    public typealias Report = @Sendable (_ task: String, _ fraction: Double) -> Void

    /// Makes a line for a task.
    ///
    /// - Parameters:
    ///   - label: The task's name.
    ///   - report: Is told of the progress; then nothing is written to standard error.
    public init(_ label: String, report: Report? = nil) { (self.label, self.report) = (label, report) }

    /// Shows the progress of the task.
    ///
    /// - Parameters:
    ///   - fraction: How much is done, 0 to 1.
    ///   - note: Further text, such as the time left; on a terminal it is renewed each second.
    public mutating func show(_ fraction: Double, note: String? = nil) {
        if let report { return report(label, min(max(fraction, 0), 1)) }
        let percent = Int(100 * min(max(fraction, 0), 1))
        let now = ContinuousClock.now
        let isNews = percent >= shown + (isTerminal ? 1 : 10)
        let isOld = isTerminal && note != nil && now - lastShown > .seconds(1)
        guard isNews || isOld, now - start > .milliseconds(500) else { return }
        (shown, lastShown) = (percent, now)
        let text = "\(label): \(percent) %" + (note.map { ", \($0)" } ?? "")
        put(isTerminal ? "\r\(text)\u{1B}[K" : "\(text)\n")
    }

    /// Removes the line from a terminal.
    public func finish() {
        if isTerminal, shown >= 0 { put("\r\u{1B}[K") }
    }

    private func put(_ text: String) {
        let bytes = Array(text.utf8)
        // Progress that cannot be shown is no reason to stop.
        _ = unsafe bytes.withUnsafeBytes { unsafe write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}
