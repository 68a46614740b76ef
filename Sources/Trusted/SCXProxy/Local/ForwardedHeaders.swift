package import HTTPTypes
package import NIOHTTP1

/// Which headers pass a proxy.
///
/// Those of one connection alone do not (RFC 9110, section 7.6.1). Of a request, what a browser adds for this machine stays here, too:
/// its cookies are of other programs of this machine, because browsers keep none by port. Of an answer, what would change the
/// browser's ways with this machine is left out.
package enum ForwardedHeaders {
    private static let ofConnection: Set<String> = [
        "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te",
        "trailer",
        "transfer-encoding", "upgrade",
    ]
    private static let ofRequestsHere: Set<String> = ["host", "expect", "cookie", "origin", "referer"]
    private static let ofAnswersThere: Set<String> = [
        "set-cookie", "alt-svc", "strict-transport-security", "clear-site-data", "service-worker-allowed",
        "refresh", "reporting-endpoints", "report-to", "nel",
    ]

    /// The headers of a request as the server gets them.
    package static func request(_ fields: HTTPFields) -> HTTPHeaders {
        let named = namedByConnection(fields[values: .connection])
        var headers = HTTPHeaders()
        for field in fields {
            let name = field.name.canonicalName
            guard !ofConnection.contains(name), !ofRequestsHere.contains(name), !named.contains(name),
                !name.hasPrefix("sec-fetch-")
            else { continue }
            headers.add(name: field.name.rawName, value: field.value)
        }
        return headers
    }

    /// The headers of an answer as the client gets them.
    package static func answer(_ headers: HTTPHeaders) -> HTTPFields {
        let named = namedByConnection(headers["connection"])
        var fields = HTTPFields()
        for (name, value) in headers {
            guard let name = HTTPField.Name(name), !ofConnection.contains(name.canonicalName),
                !ofAnswersThere.contains(name.canonicalName), !named.contains(name.canonicalName),
                !name.canonicalName.hasPrefix("access-control-"), HTTPField.isValidValue(value)
            else { continue }
            fields.append(HTTPField(name: name, value: value))
        }
        return fields
    }

    private static func namedByConnection(_ values: [String]) -> Set<String> {
        Set(
            values.flatMap { $0.split(separator: ",") }.map { name in
                String(name.filter { !$0.isWhitespace }).lowercased()
            })
    }
}
