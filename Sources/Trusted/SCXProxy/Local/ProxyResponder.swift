import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1
import SCXAttestation
import SCXGateway
import SCXInference

/// Answers the programs of the user's machine: with what the attested server answers, and with the proxy's own state.
///
/// `/` and `/health` are the proxy's own. Every other path is the server's, and so is what follows `/upstream`, so that
/// `/upstream/health` is the server's `/health`. Errors have the form of the OpenAI interface. Nothing of a request's content is
/// logged.
struct ProxyResponder: HTTPResponder {
    typealias Context = GatewayContext

    let upstream: AttestedUpstream
    let limits: ServerLimits
    /// Seconds between verifications.
    let interval: Int
    let logger: Logger

    func respond(to request: Request, context: GatewayContext) async throws -> Response {
        let start = ContinuousClock.now
        var response: Response
        do {
            try refuseForeignPages(request)
            response = try await answer(request, context)
        } catch {
            response = Self.response(APIError(error))
        }
        if request.method == .head, response.body.contentLength != nil {
            response = response.createHeadResponse()
        }
        logger.info(
            "request",
            metadata: [
                "method":
                    "\(request.method == .post || request.method == .get ? request.method.rawValue : "other")",
                "status": "\(response.status.code)",
                "seconds": "\((ContinuousClock.now - start) / .seconds(1))",
            ])
        return response
    }

    private func refuseForeignPages(_ request: Request) throws(APIError) {
        do throws(APIError) {
            try limits.refuseForeignPages(request)
            // A picture or a script of another site's page has no origin, but browsers say where it stands.
            if let name = HTTPField.Name("sec-fetch-site"), request.headers[name] == "cross-site" {
                throw APIError(status: 403, "", type: "permission_error", code: "foreign_origin")
            }
        } catch {
            throw APIError(
                status: error.status,
                "Pages of other sites may not ask this proxy, and it is asked by an address or 'localhost' alone.",
                type: error.type, code: error.code)
        }
    }

    private func answer(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let target = request.head.path ?? "/"
        guard target.hasPrefix("/"), target.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
            throw APIError.invalid("The path cannot be forwarded.", code: "invalid_path")
        }
        let path = target.prefix { $0 != "?" }
        if request.method == .get || request.method == .head {
            if path == "/" { return await ownPage() }
            if path == "/health" { return await ownHealth() }
        }
        if path == "/upstream" || path.hasPrefix("/upstream/") {
            let rest = target.dropFirst("/upstream".count)
            return try await forward(request, to: rest.hasPrefix("/") ? String(rest) : "/" + rest, context)
        }
        return try await forward(request, to: target, context)
    }

    // MARK: The proxy's own paths

    private var report: ProxyReport {
        get async {
            ProxyReport(
                address: upstream.address, trust: await upstream.trust, notes: upstream.policyNotes,
                interval: interval)
        }
    }

    private func ownPage() async -> Response {
        var headers = HTTPFields()
        for (name, value) in ProxyReport.pageHeaders {
            if let name = HTTPField.Name(name) { headers[name] = value }
        }
        return Response(
            status: .ok, headers: headers,
            body: ResponseBody(byteBuffer: ByteBuffer(string: await report.page)))
    }

    private func ownHealth() async -> Response {
        let report = await report
        return Self.response(report.trust.isAccepted ? .ok : .serviceUnavailable, report.json)
    }

    // MARK: The server's paths

    private func forward(_ request: Request, to target: String, _ context: GatewayContext) async throws
        -> Response
    {
        guard request.method != .connect, request.method != .trace else {
            throw APIError(
                status: 405, "This method is not forwarded.", type: "invalid_request_error",
                code: "method_not_allowed")
        }
        let takesBody = [.post, .put, .patch].contains(request.method)
        let length = request.headers[.contentLength]
        guard takesBody || request.headers[.transferEncoding] == nil && (length ?? "0") == "0" else {
            throw APIError.invalid(
                "A request of this method is forwarded without a body.", code: "unexpected_body")
        }
        let head = HTTPRequestHead(
            version: .http1_1, method: HTTPMethod(rawValue: request.method.rawValue), uri: target,
            headers: ForwardedHeaders.request(request.headers))
        if request.headers[.expect] != nil { context.wantBody() }
        let watch = try await context.watch()
        let body = takesBody ? request.body : nil
        let answer: UpstreamAnswer
        do {
            answer = try await watch.run { try await upstream.send(head, body: body) }
        } catch let fault as RequestFault {
            return Self.response(fault, upstream.address)
        }
        let status = answer.head.status.code
        guard !(300..<400).contains(status) || status == 304, status >= 200 else {
            answer.cancel()
            throw APIError(
                status: 502,
                "The server answered with a redirect (\(status)), which this proxy does not follow.",
                type: "server_error", code: "upstream_redirect")
        }
        guard request.method != .head else {
            while try await answer.next() != nil {}
            return Response(
                status: HTTPResponse.Status(code: Int(status)),
                headers: ForwardedHeaders.answer(answer.head.headers))
        }
        return response(answer, watch, context)
    }

    /// The server's answer, passed on as it comes.
    private func response(
        _ answer: UpstreamAnswer, _ watch: ConnectionWatch, _ context: GatewayContext
    ) -> Response {
        let fields = ForwardedHeaders.answer(answer.head.headers)
        let length = fields[.contentLength].flatMap { Int($0) }
        let channel = context.channel
        let patience = limits.clientTime
        return Response(
            status: HTTPResponse.Status(code: Int(answer.head.status.code)), headers: fields,
            body: ResponseBody(contentLength: length) { writer in
                watch.onGone { answer.cancel() }
                let progress = StreamProgress(channel: channel, patience: patience)
                defer { progress.stop() }
                while let part = try await answer.next() {
                    progress.begin()
                    try await writer.write(part)
                    progress.end()
                }
                try await writer.finish(nil)
            })
    }

    // MARK: Errors

    private static func response(_ fault: RequestFault, _ address: UpstreamAddress) -> Response {
        switch fault {
        case .busy:
            return response(
                APIError(
                    status: 503, "Too many requests wait for a connection to the server.",
                    type: "overloaded_error",
                    code: "proxy_overloaded", retryAfter: 2))
        case .broken(let fault):
            return response(
                APIError(
                    status: 502, "The connection to \(address) gave no answer: \(fault).",
                    type: "server_error",
                    code: "upstream_unreachable"))
        case .notAccepted(.refused(let refused)):
            let message =
                "\(address) is not accepted, and nothing was sent to it. "
                + refused.lines.joined(separator: "; ")
            let error: JSON = [
                "error": [
                    "message": .string(message), "type": "server_error", "param": .null,
                    "code": "upstream_not_accepted", "failures": ProxyReport.failures(refused),
                ]
            ]
            return response(.badGateway, error)
        case .notAccepted:
            return response(
                APIError(
                    status: 502, "\(address) is not verified yet, and nothing was sent to it.",
                    type: "server_error",
                    code: "upstream_not_accepted", retryAfter: 2))
        }
    }

    private static func response(_ error: APIError) -> Response {
        var response = response(HTTPResponse.Status(code: error.status), error.json)
        if let seconds = error.retryAfter { response.headers[.retryAfter] = "\(seconds)" }
        return response
    }

    private static func response(_ status: HTTPResponse.Status, _ json: JSON) -> Response {
        var headers = HTTPFields()
        headers[.contentType] = "application/json"
        headers[.cacheControl] = "no-store"
        return Response(
            status: status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(string: json.text)))
    }
}
