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
public struct ProgressLine {
    private let label: String
    private let isTerminal = isatty(STDERR_FILENO) != 0
    private let start = ContinuousClock.now
    private var shown = -1

    public init(_ label: String) { self.label = label }

    /// - Parameter fraction: How much is done, 0 to 1.
    public mutating func show(_ fraction: Double) {
        let percent = Int(100 * min(max(fraction, 0), 1))
        guard percent >= shown + (isTerminal ? 1 : 10), .now - start > .milliseconds(500) else { return }
        shown = percent
        put(isTerminal ? "\r\(label): \(percent) %" : "\(label): \(percent) %\n")
    }

    /// Takes the line off a terminal again.
    public func finish() {
        if isTerminal, shown >= 0 { put("\r\u{1B}[K") }
    }

    private func put(_ text: String) {
        let bytes = Array(text.utf8)
        // Progress that cannot be shown is no reason to stop.
        _ = unsafe bytes.withUnsafeBytes { unsafe write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}
