import HTTPTypes
package import Hummingbird
import HummingbirdCore
import Logging
package import NIOCore
import SCXInference
import Tracing

/// What Hummingbird gives with a request: here, the connection.
package struct GatewayContext: RequestContext {
    package var coreContext: CoreRequestContextStorage
    package let channel: any Channel

    package init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        channel = source.channel
    }

    /// The watch over the connection's client.
    package func watch() async throws -> ConnectionWatch {
        try await channel.pipeline.handler(type: ConnectionWatch.self).get()
    }

    /// Lets a client send the body that it holds back until it is told to (`Expect: 100-continue`).
    package func wantBody() { channel.triggerUserOutboundEvent(BodyStep.wanted, promise: nil) }
}

/// Turns HTTP requests into those of the routes, and replies into responses.
///
/// Every error has a body of the OpenAI interface. Nothing of a request's content is logged: a line has the route, the
/// status, the time and the name of the API key.
struct GatewayResponder: HTTPResponder {
    typealias Context = GatewayContext

    let table: RouteTable
    let keys: APIKeys
    let limits: ServerLimits
    let observer: ServerObserver

    func respond(to request: Request, context: GatewayContext) async throws -> Response {
        var traceContext = ServiceContext.topLevel
        InstrumentationSystem.instrument.extract(
            request.headers, into: &traceContext, using: HeaderExtractor())
        return try await withSpan("request", context: traceContext, ofKind: .server) { span in
            let (response, route) = try await answer(request, context)
            span.attributes["http.route"] = "\(route)"
            span.attributes["http.response.status_code"] = response.status.code
            return response
        }
    }

    /// The response, and the route that gave it.
    private func answer(
        _ request: Request, _ context: GatewayContext
    ) async throws -> (response: Response, route: StaticString) {
        let start = ContinuousClock.now
        var path = request.head.path?.prefix { $0 != "?" } ?? "/"
        if path.count > 1, path.hasSuffix("/") { path = path.dropLast() }
        var routeName: StaticString = "unknown"
        var keyName = ""
        var response: Response
        do throws(APIError) {
            switch table.match(request.method, path) {
            case .nothing:
                throw APIError(
                    status: 404, "There is nothing at this path.", type: "invalid_request_error",
                    code: "unknown_url")
            case .otherMethod(let methods):
                routeName = "other method"
                if let allowed = crossOrigin.preflight(request, methods: methods) {
                    try refuseForeignPages(request)
                    response = allowed
                    break
                }
                throw APIError(
                    status: 405, "This path does not take this method.", type: "invalid_request_error",
                    code: "method_not_allowed", allow: methods.map(\.rawValue))
            case .route(let route, let name):
                routeName = route.path
                if !route.takesAnyHost { try refuseForeignPages(request) }
                keyName = try authorize(request, route)
                try refusePackedBody(request)
                try refuseExpectations(request)
                // What the body takes is counted until the request is answered.
                let lease = try room(for: request, route)
                defer { withExtendedLifetime(lease) {} }
                let call = APIRequest(
                    name: name, body: try await body(of: request, route, context, key: keyName, lease),
                    key: keyName,
                    profile: request.headers[.scxProfile],
                    query: request.head.path.map { String($0.drop { $0 != "?" }.dropFirst()) } ?? "")
                response = try await reply(to: call, route, context)
            }
        } catch {
            response = Self.response(error, path: path)
        }
        crossOrigin.mark(&response, for: request)
        observer.requestEnded(
            route: routeName, method: request.method, status: response.status.code, key: keyName,
            after: ContinuousClock.now - start)
        return (request.method == .head ? response.createHeadResponse() : response, routeName)
    }

    private var crossOrigin: CrossOrigin { CrossOrigin(origins: limits.origins) }

    // MARK: Who asks

    /// The name of the API key.
    private func authorize(_ request: Request, _ route: Route) throws(APIError) -> String {
        guard !keys.isEmpty, !route.isOpen else { return "" }
        var key = request.headers[.apiKey]
        if let header = request.headers[.authorization], header.lowercased().hasPrefix("bearer ") {
            key = String(header.dropFirst(7))
        }
        guard let key else {
            throw APIError(
                status: 401, "An API key is needed: 'Authorization: Bearer KEY'.",
                type: "authentication_error",
                code: "missing_api_key")
        }
        guard let name = keys.name(of: key) else {
            throw APIError(
                status: 401, "This API key is not known.", type: "authentication_error",
                code: "invalid_api_key")
        }
        return name
    }

    /// Keeps pages of other sites, open in the user's browser, from asking a server that wants no key.
    ///
    /// Their requests have an origin, or a host name of theirs.
    private func refuseForeignPages(_ request: Request) throws(APIError) {
        if keys.isEmpty { try limits.refuseForeignPages(request) }
    }

    // MARK: Bodies

    /// Refuses bodies that would have to be unpacked.
    private func refusePackedBody(_ request: Request) throws(APIError) {
        guard let coding = request.headers[.contentEncoding], coding.lowercased() != "identity" else {
            return
        }
        throw APIError(
            status: 415, "Bodies with a 'Content-Encoding' are not taken: send the JSON as it is.",
            type: "invalid_request_error", code: "unsupported_encoding")
    }

    /// Refuses what a client expects other than to be told when to send the body.
    private func refuseExpectations(_ request: Request) throws(APIError) {
        guard let expected = request.headers[.expect], expected.lowercased() != "100-continue" else { return }
        throw APIError(
            status: 417, "The only value of 'Expect' that this server knows is '100-continue'.",
            type: "invalid_request_error", code: "unknown_expectation")
    }

    /// Room for the body of a request, as large as it says that it is.
    private func room(for request: Request, _ route: Route) throws(APIError) -> BodyRoom.Lease? {
        guard route.method == .post else { return nil }
        let length = request.headers[.contentLength].flatMap({ Int($0) }) ?? limits.bodyBytes
        guard length <= limits.bodyBytes else { throw tooLarge }
        return try table.bodies.take(length)
    }

    private var tooLarge: APIError {
        APIError(
            status: 413, "The body is larger than \(limits.bodyBytes) bytes.", type: "invalid_request_error",
            code: "request_too_large")
    }

    private func body(
        of request: Request, _ route: Route, _ context: GatewayContext, key: String, _ lease: BodyRoom.Lease?
    ) async throws(APIError) -> JSON {
        guard route.method == .post else { return .object([]) }
        if request.headers[.expect] != nil {
            context.wantBody()
        }
        let buffer: ByteBuffer
        do {
            buffer = try await withThrowingTaskGroup(of: ByteBuffer?.self) { [limits] group in
                group.addTask { try await request.body.collect(upTo: limits.bodyBytes) }
                group.addTask {
                    try await Task.sleep(for: limits.bodyTime)
                    return nil
                }
                defer { group.cancelAll() }
                guard let body = try await group.next() ?? nil else { throw BodyTooSlow() }
                return body
            }
        } catch is BodyTooSlow {
            throw APIError(
                status: 408, "The body did not arrive within \(limits.bodyTime.components.seconds) seconds.",
                type: "invalid_request_error", code: "request_timeout")
        } catch is NIOTooManyBytesError {
            throw tooLarge
        } catch {
            throw .invalid("The body did not arrive.", code: "incomplete_body")
        }
        try lease?.grow(to: buffer.readableBytes)
        let json =
            buffer.readableBytes <= WorkPool.quickBytes
            ? try Self.json(buffer)
            : try await table.work.run(bytes: buffer.readableBytes, key: key) { () throws(APIError) in
                let json = try Self.json(buffer)
                try lease?.grow(to: json.memorySize)
                return json
            }
        guard let members = json.object else {
            throw .invalid("The body is no JSON object.", code: "invalid_json")
        }
        // Each field is looked for among all of them.
        guard members.count <= Self.mostFields else {
            throw .invalid("The body has more than \(Self.mostFields) fields.", code: "invalid_json")
        }
        return json
    }

    private static let mostFields = 1024

    private static func json(_ buffer: ByteBuffer) throws(APIError) -> JSON {
        do throws(JSONError) {
            return try JSON(parsing: Array(buffer.readableBytesView).span)
        } catch {
            throw .invalid("The body is \(error).", code: "invalid_json")
        }
    }

    private struct BodyTooSlow: Error {}

    // MARK: Replies

    private func reply(
        to call: APIRequest, _ route: Route, _ context: GatewayContext
    ) async throws(APIError) -> Response {
        let reply: APIReply
        let watch: ConnectionWatch
        do {
            watch = try await context.watch()
            reply = try await watch.run { try await route.handler(call) }
        } catch { throw APIError(error) }
        switch reply {
        case .json(let json, let headers):
            return Self.response(.ok, json, headers)
        case .bytes(let bytes, let type, let headers):
            return Response(
                status: .ok, headers: Self.fields(type, headers),
                body: Self.body(bytes, on: context.channel, patience: limits.clientTime))
        case .events(let given, let headers):
            let events = watch.watched(given)
            var fields = Self.fields("text/event-stream; charset=utf-8", headers)
            fields[.cacheControl] = "no-cache"
            // An error before the first event has a status of its own.
            var first: ServerSentEvent?
            do {
                for try await event in events {
                    first = event
                    break
                }
            } catch { throw APIError(error) }
            let opening = first?.text ?? ""
            let channel = context.channel
            let patience = limits.clientTime
            return Response(
                status: .ok, headers: fields,
                body: ResponseBody { writer in
                    let progress = StreamProgress(channel: channel, patience: patience)
                    defer { progress.stop() }
                    try await writer.write(ByteBuffer(string: opening))
                    for try await event in events {
                        progress.begin()
                        try await writer.write(ByteBuffer(string: event.text))
                        progress.end()
                    }
                    try await writer.finish(nil)
                })
        }
    }

    /// A body that a client has to take part by part, so that one who stops to read holds nothing for ever.
    private static func body(
        _ bytes: [UInt8], on channel: any Channel, patience: Duration
    ) -> ResponseBody {
        let part = 64 << 10
        guard bytes.count > part else { return ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)) }
        return ResponseBody(contentLength: bytes.count) { writer in
            let progress = StreamProgress(channel: channel, patience: patience)
            defer { progress.stop() }
            for start in stride(from: 0, to: bytes.count, by: part) {
                progress.begin()
                try await writer.write(ByteBuffer(bytes: bytes[start..<min(start + part, bytes.count)]))
                progress.end()
            }
            try await writer.finish(nil)
        }
    }

    static func response(
        _ status: HTTPResponse.Status, _ json: JSON, _ headers: [APIHeader] = []
    ) -> Response {
        Response(
            status: status, headers: fields("application/json", headers),
            body: ResponseBody(byteBuffer: ByteBuffer(string: json.text)))
    }

    private static func fields(_ type: String, _ headers: [APIHeader]) -> HTTPFields {
        var fields = HTTPFields()
        fields[.contentType] = type
        for header in headers {
            guard let name = HTTPField.Name(header.name) else { continue }
            fields[name] = header.value
        }
        return fields
    }

    /// An error in the shape of the interface that the path belongs to.
    static func response(_ error: APIError, path: Substring) -> Response {
        let json = path.hasPrefix("/v1/messages") ? error.anthropicJSON : error.json
        var response = response(HTTPResponse.Status(code: error.status), json)
        if let seconds = error.retryAfter { response.headers[.retryAfter] = "\(seconds)" }
        if error.status == 401 { response.headers[.wwwAuthenticate] = "Bearer" }
        if !error.allow.isEmpty { response.headers[.allow] = error.allow.joined(separator: ", ") }
        return response
    }
}

extension HTTPField.Name {
    fileprivate static var scxProfile: Self { Self("x-scx-profile") ?? .accept }
    fileprivate static var apiKey: Self { Self("x-api-key") ?? .authorization }
}

/// Finds the client's trace in its headers.
private struct HeaderExtractor: Extractor {
    func extract(key: String, from carrier: HTTPFields) -> String? {
        HTTPField.Name(key).flatMap { carrier[$0] }
    }
}
