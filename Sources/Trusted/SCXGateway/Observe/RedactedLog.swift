import Foundation
package import Logging
import SCXInference

/// Writes log records to standard error, each as one line.
///
/// Messages are literals of the program; what varies goes into metadata as names and sizes. An error says what
/// ``Swift/String/init(reportable:)`` makes of it, so that none of an unknown kind can bring a prompt along.
package struct RedactedLog: LogHandler {
    package enum Format: String, CaseIterable, Sendable {
        case text, json
    }

    package var logLevel: Logger.Level
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?
    private let label: String
    private let format: Format
    private let output: @Sendable (String) -> Void

    /// Nothing that may be said in a log is longer.
    private static let longestValue = 256

    /// Makes the handler of one logger.
    ///
    /// - Parameters:
    ///   - label: The logger's.
    ///   - level: Records below it are left out.
    ///   - format: Of a line.
    ///   - output: Takes a line with its end.
    package init(
        label: String, level: Logger.Level = .info, format: Format = .text,
        output: @escaping @Sendable (String) -> Void = Self.writeToStandardError
    ) {
        (self.label, logLevel, self.format, self.output) = (label, level, format, output)
    }

    /// In one call, so that lines of several threads stay whole.
    package static func writeToStandardError(_ line: String) {
        // What cannot be written is lost: there is nowhere else to say so.
        unsafe _ = Array(line.utf8).withUnsafeBytes { unsafe write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var all = metadata
        if let metadataProvider { all.merge(metadataProvider.get()) { _, new in new } }
        if let own = event.metadata { all.merge(own) { _, new in new } }
        var values = all.sorted { $0.key < $1.key }.map { ($0.key, "\($0.value)") }
        if let error = event.error { values.append(("error", String(reportable: error))) }
        let time = Date().formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
        output(line(time, "\(event.level)", "\(event.message)", values) + "\n")
    }

    private func line(
        _ time: String, _ level: String, _ message: String, _ values: [(key: String, value: String)]
    ) -> String {
        switch format {
        case .json:
            let members = [("time", time), ("level", level), ("label", label), ("message", message)] + values
            return JSON.object(members.map { JSON.Member($0.0, .string(Self.cut($0.1))) }).text
        case .text:
            let pairs = values.map { " \($0.key)=\(Self.quoted(Self.cut($0.value)))" }.joined()
            return "\(time) \(level) \(label): \(Self.cut(message).printable())\(pairs)"
        }
    }

    private static func cut(_ text: String) -> String {
        text.utf8.count <= longestValue ? text : String(text.prefix(longestValue)) + "…"
    }

    /// As it is where that is one word, otherwise as JSON writes it.
    private static func quoted(_ text: String) -> String {
        let isWord = text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "\"") }
        return isWord && !text.isEmpty ? text : JSON.string(text).text
    }
}
