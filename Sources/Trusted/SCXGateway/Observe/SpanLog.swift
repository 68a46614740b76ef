import SCXInference
import Synchronization
package import Tracing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A tracer that writes a line of JSON for each span that has ended.
///
/// Of what spans are told it writes numbers and truth values, and texts of attributes that are known to hold none of a
/// client's: other texts leave only their size, and errors only what ``Swift/String/init(reportable:)`` says of them.
package final class SpanLog: Tracer {
    /// Attributes whose texts are the server's own.
    package static let plainAttributes: Set<String> = [
        "finish_reason", "http.request.method", "http.route", "model", "profile", "route", "stage", "worker",
    ]

    private let writer: LineWriter

    /// Writes to an open file, which is closed when the tracer goes.
    package init(descriptor: Int32) { writer = LineWriter(descriptor: descriptor) }

    /// Appends to a file, which nobody but its owner can read when it is new.
    ///
    /// - Returns: Nil when the file cannot be written; `errno` says why.
    package convenience init?(path: String) {
        let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return nil }
        self.init(descriptor: descriptor)
    }

    /// Spans that were not written because the file is too slow.
    package var dropped: Int { writer.dropped }

    package func startSpan<Instant: TracerInstant>(
        _ operationName: String, context: @autoclosure () -> ServiceContext, ofKind kind: SpanKind,
        at instant: @autoclosure () -> Instant, function: String, file fileID: String, line: UInt
    ) -> LoggedSpan {
        LoggedSpan(
            operationName, kind, in: context(), start: instant().nanosecondsSinceEpoch, writer: writer)
    }

    package func startAnySpan<Instant: TracerInstant>(
        _ operationName: String, context: @autoclosure () -> ServiceContext, ofKind kind: SpanKind,
        at instant: @autoclosure () -> Instant, function: String, file fileID: String, line: UInt
    ) -> any Tracing.Span {
        LoggedSpan(
            operationName, kind, in: context(), start: instant().nanosecondsSinceEpoch, writer: writer)
    }

    /// Returns when the spans that have ended are written.
    package func forceFlush() { writer.flush() }

    package func extract<Carrier, Extract: Extractor>(
        _ carrier: Carrier, into context: inout ServiceContext, using extractor: Extract
    ) where Extract.Carrier == Carrier {
        let header = extractor.extract(key: TraceContext.header, from: carrier)
        header.flatMap { TraceContext($0) }?.store(in: &context)
    }

    package func inject<Carrier, Inject: Injector>(
        _ context: ServiceContext, into carrier: inout Carrier, using injector: Inject
    ) where Inject.Carrier == Carrier {
        guard let current = TraceContext.current(in: context) else { return }
        injector.inject(current.headerValue, forKey: TraceContext.header, into: &carrier)
    }
}

/// A span of ``SpanLog``.
package final class LoggedSpan: Tracing.Span {
    package let context: ServiceContext
    private let own: TraceContext
    private let parent: String?
    private let kind: SpanKind
    private let start: UInt64
    private let writer: LineWriter
    private let state: Mutex<State>

    private struct State {
        var name: String
        var attributes: SpanAttributes = [:]
        var status: SpanStatus?
        /// Names and times of what happened.
        var events: [(name: String, time: UInt64)] = []
        var errors: [String] = []
        var hasEnded = false
    }

    private static let mostEvents = 32
    private static let mostAttributes = 64
    private static let longestText = 128

    fileprivate init(
        _ name: String, _ kind: SpanKind, in context: ServiceContext, start: UInt64, writer: LineWriter
    ) {
        let outer = TraceContext.current(in: context)
        own = TraceContext(trace: outer?.trace)
        parent = outer?.span
        var inner = context
        own.store(in: &inner)
        self.context = inner
        (self.kind, self.start, self.writer) = (kind, start, writer)
        state = Mutex(State(name: name))
    }

    package var operationName: String {
        get { state.withLock(\.name) }
        set { state.withLock { $0.name = newValue } }
    }

    package var attributes: SpanAttributes {
        get { state.withLock(\.attributes) }
        set { state.withLock { $0.attributes = newValue } }
    }

    package var isRecording: Bool { state.withLock { !$0.hasEnded } }

    package func setStatus(_ status: SpanStatus) { state.withLock { $0.status = status } }

    package func addEvent(_ event: SpanEvent) {
        state.withLock { state in
            guard state.events.count < Self.mostEvents else { return }
            state.events.append((event.name, event.nanosecondsSinceEpoch))
        }
    }

    package func recordError<Instant: TracerInstant>(
        _ error: any Error, attributes: SpanAttributes, at instant: @autoclosure () -> Instant
    ) {
        let text = String(reportable: error)
        state.withLock { state in
            guard state.errors.count < Self.mostEvents else { return }
            state.errors.append(text)
        }
    }

    /// Links are not written.
    package func addLink(_ link: SpanLink) {}

    package func end<Instant: TracerInstant>(at instant: @autoclosure () -> Instant) {
        let end = instant().nanosecondsSinceEpoch
        let line = state.withLock { state -> String? in
            guard !state.hasEnded else { return nil }
            state.hasEnded = true
            return describe(state, end: end).text
        }
        if let line { writer.append(line) }
    }

    private func describe(_ state: borrowing State, end: UInt64) -> JSON {
        var members: [JSON.Member] = [
            .init("trace", .string(own.trace)), .init("span", .string(own.span)),
            .init("parent", parent.map { .string($0) } ?? .null), .init("name", Self.text(state.name)),
            .init("kind", .string("\(kind)")), .init("start", Self.number(start)),
            .init("end", Self.number(end)),
        ]
        if let status = state.status {
            members.append(.init("status", status.code == .ok ? "ok" : "error"))
        }
        var attributes: [JSON.Member] = []
        state.attributes.forEach { name, value in
            guard attributes.count < Self.mostAttributes else { return }
            attributes.append(.init(String(name.prefix(Self.longestText)), Self.value(value, of: name)))
        }
        if !attributes.isEmpty {
            members.append(.init("attributes", .object(attributes.sorted { $0.name < $1.name })))
        }
        if !state.events.isEmpty {
            let events = state.events.map { JSON.array([Self.text($0.name), Self.number($0.time)]) }
            members.append(.init("events", .array(events)))
        }
        if !state.errors.isEmpty { members.append(.init("errors", .array(state.errors.map(Self.text)))) }
        return .object(members)
    }

    private static func text(_ text: String) -> JSON { .string(String(text.prefix(longestText))) }

    private static func number(_ value: UInt64) -> JSON { .int(Int(clamping: value)) }

    private static func value(_ attribute: SpanAttribute, of name: String) -> JSON {
        switch attribute {
        case .int32(let value): return .int(Int(value))
        case .int64(let value): return .int(Int(value))
        case .double(let value): return .double(value)
        case .bool(let value): return .bool(value)
        case .string(let value) where SpanLog.plainAttributes.contains(name): return text(value)
        case .string(let value): return .string("\(value.utf8.count) bytes")
        case .stringConvertible(let value) where SpanLog.plainAttributes.contains(name):
            return text("\(value)")
        default: return "not shown"
        }
    }
}
