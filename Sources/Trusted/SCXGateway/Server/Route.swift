import HTTPTypes
import SCXInference

/// What answers at a path.
struct Route: Sendable {
    typealias Handler = @Sendable (APIRequest) async throws(APIError) -> APIReply

    let method: HTTPRequest.Method
    /// With `{name}` where a part of the path names something.
    let path: StaticString
    /// Whether anybody may ask, without an API key.
    var isOpen = false
    /// Whether it answers under any host name, also where there are no API keys: what it says is for everybody.
    var takesAnyHost = false
    let handler: Handler

    static func get(_ path: StaticString, open: Bool = false, _ handler: @escaping Handler) -> Route {
        Route(method: .get, path: path, isOpen: open, handler: handler)
    }

    static func post(_ path: StaticString, _ handler: @escaping Handler) -> Route {
        Route(method: .post, path: path, handler: handler)
    }

    /// Whether a path is the route's, and what it names.
    func match(_ path: Substring) -> (isMatch: Bool, name: String?) {
        let own = "\(self.path)".split(separator: "/")
        let given = path.split(separator: "/")
        guard own.count == given.count else { return (false, nil) }
        var name: String?
        for (part, text) in zip(own, given) {
            if part == "{name}" {
                name = text.removingPercentEncoding
                guard name != nil else { return (false, nil) }
            } else if part != text {
                return (false, nil)
            }
        }
        return (true, name)
    }
}

extension Substring {
    /// The text with `%XX` read as bytes; nil where that is no text.
    fileprivate var removingPercentEncoding: String? {
        var bytes: [UInt8] = []
        var rest = utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            let digits = rest.prefix(2)
            guard digits.count == 2, let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
            else {
                return nil
            }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        return String(validating: bytes, as: UTF8.self)
    }
}

/// All routes of a server.
package struct RouteTable: Sendable {
    var routes: [Route]
    /// Reads large bodies.
    let work: WorkPool
    let bodies = BodyRoom()

    /// The methods that any route has.
    static let methods: Set<HTTPRequest.Method> = [.get, .head, .post, .delete]

    /// What a request is for.
    enum Match {
        case route(Route, name: String?)
        /// The path exists for these methods.
        case otherMethod([HTTPRequest.Method])
        case nothing
    }

    func match(_ method: HTTPRequest.Method, _ path: Substring) -> Match {
        var others: [HTTPRequest.Method] = []
        for route in routes {
            let (isMatch, name) = route.match(path)
            guard isMatch else { continue }
            // A HEAD is answered as the GET, without its body.
            if route.method == method || (method == .head && route.method == .get) {
                return .route(route, name: name)
            }
            others.append(route.method)
        }
        return others.isEmpty ? .nothing : .otherMethod(others)
    }
}
