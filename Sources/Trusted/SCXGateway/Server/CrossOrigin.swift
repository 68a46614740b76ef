import HTTPTypes
import Hummingbird
package import HummingbirdCore

/// Lets pages of other origins, which the operator has named, ask this server: CORS, <https://fetch.spec.whatwg.org/#http-cors-protocol>.
struct CrossOrigin: Sendable {
    /// Origins such as `https://chat.example.org`; `*` for all.
    let origins: [String]

    private static let exposed =
        "x-scx-profile, x-scx-exchanges, x-scx-bytes-sent, x-scx-bytes-received, x-scx-pads, retry-after"

    /// The origin of the page that asks, when it is one of those.
    func origin(of request: Request) -> String? {
        guard let origin = request.headers[.origin] else { return nil }
        return origins.contains(origin) || origins.contains("*") ? origin : nil
    }

    /// The answer to a browser that asks whether a page may ask; nil for other requests.
    func preflight(_ request: Request, methods: [HTTPRequest.Method]) -> Response? {
        guard request.method == .options, origin(of: request) != nil,
            request.headers[.accessControlRequestMethod] != nil
        else { return nil }
        var headers = HTTPFields()
        headers[.accessControlAllowMethods] = methods.map(\.rawValue).joined(separator: ", ")
        if let asked = request.headers[.accessControlRequestHeaders] {
            headers[.accessControlAllowHeaders] = asked
        }
        headers[.accessControlMaxAge] = "600"
        // Pages of the public network that ask a server of this machine are asked for this, too.
        if let name = HTTPField.Name("access-control-request-private-network"), request.headers[name] != nil,
            let allowed = HTTPField.Name("access-control-allow-private-network")
        {
            headers[allowed] = "true"
        }
        return Response(status: .noContent, headers: headers)
    }

    /// Tells the browser that the page may read the response.
    func mark(_ response: inout Response, for request: Request) {
        guard !origins.isEmpty else { return }
        response.headers[.vary] = "origin"
        guard let origin = origin(of: request) else { return }
        response.headers[.accessControlAllowOrigin] = origin
        response.headers[.accessControlExposeHeaders] = Self.exposed
    }
}

extension ServerLimits {
    /// Keeps pages of other sites, open in the user's browser, from asking a server that wants no key.
    ///
    /// Their requests have an origin, or a host name of theirs.
    package func refuseForeignPages(_ request: Request) throws(APIError) {
        let host = request.head.authority ?? ""
        // A page whose name its owner lets point to this machine is of the same origin as this server, for a browser.
        guard host.isEmpty || isOwnHost(host) else {
            throw APIError(
                status: 403,
                "This server is asked under a name that is not its own; without API keys use its address or 'localhost'.",
                type: "permission_error", code: "foreign_host")
        }
        guard let origin = request.headers[.origin] else { return }
        let isOwn = origin == "http://\(host)" || origin == "https://\(host)"
        guard isOwn || CrossOrigin(origins: origins).origin(of: request) != nil, isOwnHost(host) else {
            throw APIError(
                status: 403,
                "Pages of other sites may not ask this server without an API key; '--allow-origin' lets one.",
                type: "permission_error", code: "foreign_origin")
        }
    }

    /// Whether a text is an origin as browsers write it, or `*`.
    ///
    /// - Parameter text: From the operator.
    /// - Returns: False for an address with a path, or without a scheme.
    package static func isOrigin(_ text: String) -> Bool {
        if text == "*" { return true }
        let parts = text.split(separator: "://", omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else { return false }
        return text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F } && !parts[1].contains("/")
            && text == text.lowercased()
    }
}
