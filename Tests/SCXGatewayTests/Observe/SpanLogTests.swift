import Foundation
import SCXGateway
import SCXInference
import SCXLink
import Testing
import Tracing

private struct Headers: Injector, Extractor {
    func inject(_ value: String, forKey key: String, into carrier: inout [String: String]) {
        carrier[key] = value
    }

    func extract(key: String, from carrier: [String: String]) -> String? { carrier[key] }
}

private struct Secretive: Error, CustomStringConvertible {
    var description: String { "the secret canary" }
}

@Suite("spans")
struct SpanLogTests {
    /// Gives a tracer, and reads back what it wrote.
    static func lines(_ body: (SpanLog) throws -> Void) throws -> [JSON] {
        let path = FileManager.default.temporaryDirectory.appending(path: "scx-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let log = try #require(SpanLog(path: path))
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        try body(log)
        log.forceFlush()
        let text = try String(contentsOfFile: path, encoding: .utf8)
        #expect(text.isEmpty || text.hasSuffix("\n"))
        return try text.split(separator: "\n").map { try JSON(parsing: String($0)) }
    }

    @Test("a span is a line with its place in the trace, times, attributes and status")
    func nested() throws {
        let lines = try Self.lines { log in
            log.withSpan("request", ofKind: .server) { outer in
                outer.attributes["prompt_tokens"] = 12
                outer.attributes["route"] = "/v1/models"
                outer.attributes["streams"] = true
                log.withSpan("prefill") { inner in
                    inner.addEvent("first token")
                    inner.setStatus(.init(code: .ok))
                }
            }
        }
        try #require(lines.count == 2)
        let (inner, outer) = (lines[0], lines[1])
        #expect(outer["name"]?.string == "request")
        #expect(outer["kind"]?.string == "server")
        #expect(outer["parent"]?.isNull == true)
        #expect(inner["parent"] == outer["span"])
        #expect(inner["trace"] == outer["trace"])
        #expect(inner["span"] != outer["span"])
        #expect(inner["status"]?.string == "ok")
        #expect(inner["events"]?.array?.first?.array?.first?.string == "first token")
        let start = try #require(outer["start"]?.int)
        let end = try #require(outer["end"]?.int)
        #expect(start > 1_700_000_000_000_000_000)
        #expect(try #require(inner["start"]?.int) >= start)
        #expect(try #require(inner["end"]?.int) <= end)
        let attributes: JSON = ["prompt_tokens": 12, "route": "/v1/models", "streams": true]
        #expect(outer["attributes"] == attributes)
    }

    @Test("texts and errors of unknown kinds leave nothing of what they say")
    func redacted() throws {
        let lines = try Self.lines { log in
            #expect(throws: Secretive.self) {
                try log.withSpan("request") { span in
                    span.attributes["prompt"] = "the secret canary"
                    span.attributes.set("tokens", value: .int32Array([1, 2, 3]))
                    span.attributes.set("texts", value: .stringArray(["the secret canary"]))
                    span.attributes.set("value", value: .stringConvertible(Secretive()))
                    span.addEvent(SpanEvent(name: "said", attributes: ["what": "the secret canary"]))
                    span.setStatus(.init(code: .error, message: "the secret canary"))
                    throw Secretive()
                }
            }
            try? log.withSpan("step") { _ in throw LinkError.timedOut("no answer for 60 s") }
        }
        #expect(!lines[0].text.contains("canary"))
        #expect(lines[0]["attributes"]?["prompt"]?.string == "17 bytes")
        #expect(lines[0]["attributes"]?["tokens"]?.string == "not shown")
        #expect(lines[0]["status"]?.string == "error")
        #expect(lines[0]["errors"]?.array == ["Secretive"])
        #expect(lines[1]["errors"]?.array?.first?.string?.contains("no answer for 60 s") == true)
    }

    @Test("a trace goes on where a header says so")
    func propagation() throws {
        let trace = "0af7651916cd43dd8448eb211c80319c"
        var sent: [String: String] = [:]
        let lines = try Self.lines { log in
            var context = ServiceContext.topLevel
            let headers = ["traceparent": "00-\(trace)-b7ad6b7169203331-01"]
            log.extract(headers, into: &context, using: Headers())
            let span = log.startSpan("request", context: context)
            log.inject(span.context, into: &sent, using: Headers())
            span.end()
            span.end()
            var none: [String: String] = [:]
            log.inject(.topLevel, into: &none, using: Headers())
            #expect(none.isEmpty)
        }
        try #require(lines.count == 1)
        #expect(lines[0]["trace"]?.string == trace)
        #expect(lines[0]["parent"]?.string == "b7ad6b7169203331")
        let span = try #require(lines[0]["span"]?.string)
        #expect(sent == ["traceparent": "00-\(trace)-\(span)-01"])
    }

    @Test(
        "what is no such header begins a new trace",
        arguments: [
            "", "-", "00", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-00",
            "00-0af7651916cd43dd8448eb211c80319cä-b7ad6b716920333-01",
            String(repeating: "0", count: 10_000),
        ])
    func malformed(header: String) throws {
        let lines = try Self.lines { log in
            var context = ServiceContext.topLevel
            log.extract(["traceparent": header], into: &context, using: Headers())
            log.startSpan("request", context: context).end()
        }
        try #require(lines.count == 1)
        #expect(lines[0]["parent"]?.isNull == true)
        let trace = lines[0]["trace"]?.string ?? ""
        #expect(trace.count == 32 && trace.allSatisfy(\.isHexDigit))
        #expect(trace != "0af7651916cd43dd8448eb211c80319c")
    }

    @Test("a file that takes nothing loses spans, and holds up nobody")
    func slowFile() throws {
        var ends: [Int32] = [0, 0]
        #expect(unsafe pipe(&ends) == 0)
        let log = SpanLog(descriptor: ends[1])
        let name = String(repeating: "x", count: 128)
        for _ in 0..<60_000 where log.dropped == 0 { log.startSpan(name, context: .topLevel).end() }
        #expect(log.dropped > 0)
        // Until somebody reads.
        let end = ends[0]
        let reader = Thread {
            var bytes = [UInt8](repeating: 0, count: 1 << 16)
            while unsafe read(end, &bytes, bytes.count) > 0 {}
        }
        reader.start()
        log.forceFlush()
    }
}
