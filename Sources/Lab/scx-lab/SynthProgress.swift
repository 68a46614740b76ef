#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A line on standard error that shows how far a long task is: redrawn on a terminal, every tenth in a log.
///
/// Tasks of under half a second show nothing.
struct ProgressLine {
    private let label: String
    private let isTerminal = isatty(STDERR_FILENO) != 0
    private let start = ContinuousClock.now
    private var shown = -1

    init(label: String) { self.label = label }

    mutating func show(_ done: Int, of total: Int) {
        let percent = total > 0 ? Int(100 * Double(done) / Double(total)) : 100
        guard percent >= shown + (isTerminal ? 1 : 10), .now - start > .milliseconds(500) else { return }
        shown = percent
        put("\(isTerminal ? "\r" : "")\(label): \(percent) %\(isTerminal ? "" : "\n")")
    }

    /// Ends the line on a terminal.
    func finish() {
        if isTerminal, shown >= 0 { put("\n") }
    }

    private func put(_ text: String) {
        let bytes = Array(text.utf8)
        // Progress that cannot be shown is no reason to stop.
        _ = unsafe bytes.withUnsafeBytes { unsafe write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}
