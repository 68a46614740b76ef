import SCXEncoding
import Tracing

/// Where in a trace something happens, as it travels in the header `traceparent`.
///
/// W3C Trace Context, <https://www.w3.org/TR/trace-context/>: `version-trace-span-flags` in lower-case hexadecimal digits.
struct TraceContext: Equatable, Sendable {
    /// 32 digits.
    let trace: String
    /// 16 digits.
    let span: String

    static let header = "traceparent"

    private enum Key: ServiceContextKey {
        typealias Value = TraceContext
        static var nameOverride: String? { TraceContext.header }
    }

    init(trace: String? = nil) {
        self.trace = trace ?? randomDigits(words: 2)
        span = randomDigits(words: 1)
    }

    /// Reads a header; nil when it is none.
    init?(_ header: String) {
        let parts = header.utf8.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        // Later versions may have more parts.
        guard header.utf8.count <= 512, parts.count >= 4, parts[0].count == 2, parts[1].count == 32,
            parts[2].count == 16, parts[3].count == 2, parts[..<4].allSatisfy(Self.isHexadecimal)
        else { return nil }
        let version = String(decoding: parts[0], as: UTF8.self)
        guard version != "ff", version != "00" || parts.count == 4,
            parts[1...2].allSatisfy({ !$0.allSatisfy { $0 == UInt8(ascii: "0") } })
        else { return nil }
        trace = String(decoding: parts[1], as: UTF8.self)
        span = String(decoding: parts[2], as: UTF8.self)
    }

    /// All spans are recorded, so the flag says so.
    var headerValue: String { "00-\(trace)-\(span)-01" }

    static func current(in context: ServiceContext) -> TraceContext? { context[Key.self] }

    func store(in context: inout ServiceContext) { context[Key.self] = self }

    private static func isHexadecimal(_ digits: some Sequence<UInt8>) -> Bool {
        digits.allSatisfy {
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0)
        }
    }
}
