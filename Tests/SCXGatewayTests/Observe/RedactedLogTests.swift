import Foundation
import Logging
import SCXGateway
import SCXInference
import SCXLink
import Synchronization
import Testing

private struct Secretive: Error, CustomStringConvertible {
    var description: String { "the secret canary" }
}

@Suite("log")
struct RedactedLogTests {
    /// The lines that a logger writes.
    static func lines(
        _ format: RedactedLog.Format, level: Logger.Level = .info, _ body: (inout Logger) -> Void
    ) -> [String] {
        final class Lines: Sendable { let all = Mutex<[String]>([]) }
        let lines = Lines()
        var logger = Logger(label: "scx.test") { label in
            RedactedLog(label: label, level: level, format: format) { line in
                lines.all.withLock { $0.append(line) }
            }
        }
        body(&logger)
        return lines.all.withLock(\.self)
    }

    @Test("a record is one line of time, level, label, message and metadata")
    func text() throws {
        let lines = Self.lines(.text) { logger in
            logger[metadataKey: "profile"] = "scx"
            logger.info("request ended", metadata: ["status": "200", "route": "/v1/chat completions"])
            logger.debug("not shown")
            logger.warning("two\nlines", metadata: ["x": "a\nb"])
        }
        try #require(lines.count == 2)
        let time = try Regex(#"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z "#)
        for line in lines {
            #expect(try time.prefixMatch(in: line) != nil, "\(line)")
            #expect(line.filter { $0 == "\n" }.count == 1 && line.hasSuffix("\n"))
        }
        #expect(
            lines[0].dropFirst(25)
                == "info scx.test: request ended profile=scx route=\"/v1/chat completions\" status=200\n")
        #expect(lines[1].dropFirst(25) == "warning scx.test: two\\nlines profile=scx x=\"a\\nb\"\n")
    }

    @Test("as JSON a record is one object")
    func json() throws {
        let lines = Self.lines(.json, level: .trace) { logger in
            logger.trace("step", metadata: ["rows": .stringConvertible(12), "list": ["a", "b"]])
        }
        try #require(lines.count == 1)
        let record = try JSON(parsing: lines[0])
        #expect(record["level"]?.string == "trace")
        #expect(record["label"]?.string == "scx.test")
        #expect(record["message"]?.string == "step")
        #expect(record["rows"]?.string == "12")
        #expect(record["time"]?.string?.hasSuffix("Z") == true)
    }

    @Test("an error says its own safe text or only its kind, and no value is long")
    func errors() throws {
        let lines = Self.lines(.text) { logger in
            logger.error("failed", error: Secretive())
            logger.error("failed", error: LinkError.timedOut("no answer for 60 s"))
            logger.error("failed", error: APIError.invalid("your prompt 'the secret canary'", code: "bad"))
            logger.error("failed", metadata: ["value": "\(String(repeating: "x", count: 100_000))"])
        }
        try #require(lines.count == 4)
        #expect(!lines.joined().contains("canary"))
        #expect(lines[0].hasSuffix("failed error=Secretive\n"))
        #expect(lines[1].contains("no answer for 60 s"))
        #expect(lines[2].hasSuffix("failed error=\"400 bad\"\n"))
        #expect(lines[3].utf8.count < 400)
    }
}
