package import SCXInference

/// A request as routes see it: no HTTP, only what it says.
package struct APIRequest: Sendable {
    /// The last part of the path, on routes where it names something, such as a model.
    package var name: String?
    package var body: JSONFields
    /// The name of the API key; empty where there are no keys.
    package var key: String
    /// The profile that the client asked for by `x-scx-profile`.
    package var profile: String?
    /// What stands behind `?` in the request's target, as it was sent; empty without one.
    package var query: String

    package init(
        name: String? = nil, body: JSON, key: String = "", profile: String? = nil, query: String = ""
    ) {
        self.name = name
        self.body = JSONFields(body, path: "")
        self.key = key
        self.profile = profile
        self.query = query
    }
}

/// What a route answers with: a whole body or a stream of events.
package enum APIReply: Sendable {
    case json(JSON, headers: [APIHeader] = [])
    case bytes([UInt8], type: String, headers: [APIHeader] = [])
    /// Streamed as the events come; an error before the first event has its own status, a later one is an event.
    case events(AsyncThrowingStream<ServerSentEvent, any Error>, headers: [APIHeader] = [])
}

package struct APIHeader: Equatable, Sendable {
    package let name: String
    package let value: String

    package init(_ name: String, _ value: String) { (self.name, self.value) = (name, value) }

    /// Tells what answers.
    static func profile(_ name: String) -> APIHeader { APIHeader("x-scx-profile", name) }
}

/// One event of a stream: `event: NAME` where it has one, `data: …`, and an empty line.
package struct ServerSentEvent: Equatable, Sendable {
    package let name: String?
    package let data: String

    package init(name: String? = nil, data: String) { (self.name, self.data) = (name, data) }

    package var text: String { (name.map { "event: \($0)\n" } ?? "") + "data: \(data)\n\n" }
}

/// The fields of a JSON object from a client, read with errors that name them.
///
/// A field that is null counts as missing. Unknown fields are ignored.
package struct JSONFields: Sendable {
    package let json: JSON
    /// Where the object stands, such as `messages[1].`.
    private let path: String

    package init(_ json: JSON, path: String) {
        self.json = json
        self.path = path
    }

    package subscript(_ name: String) -> JSON? {
        guard let value = json[name], !value.isNull else { return nil }
        return value
    }

    /// The field's name with the path to it, such as `messages[1].role`.
    package func path(of name: String) -> String { path + name }

    package func error(_ name: String, _ reason: String) -> APIError {
        .invalid("'\(path(of: name))' \(reason).", param: path(of: name))
    }

    package func string(_ name: String) throws(APIError) -> String? {
        guard let value = self[name] else { return nil }
        guard let string = value.string else { throw error(name, "must be a string") }
        return string
    }

    package func bool(_ name: String) throws(APIError) -> Bool? {
        guard let value = self[name] else { return nil }
        guard let bool = value.bool else { throw error(name, "must be true or false") }
        return bool
    }

    package func int(_ name: String, _ range: ClosedRange<Int>) throws(APIError) -> Int? {
        guard let value = self[name] else { return nil }
        guard let int = value.int, range.contains(int) else {
            let limits =
                range.upperBound == .max
                ? "\(range.lowerBound) or more" : "\(range.lowerBound) to \(range.upperBound)"
            throw error(name, "must be a whole number, \(limits)")
        }
        return int
    }

    package func number(_ name: String, _ range: ClosedRange<Double>) throws(APIError) -> Double? {
        guard let value = self[name] else { return nil }
        guard let number = value.double, range.contains(number) else {
            throw error(name, "must be a number, \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    package func array(_ name: String) throws(APIError) -> [JSON]? {
        guard let value = self[name] else { return nil }
        guard let array = value.array else { throw error(name, "must be a list") }
        return array
    }

    package func object(_ name: String) throws(APIError) -> JSONFields? {
        guard let value = self[name] else { return nil }
        guard value.object != nil else { throw error(name, "must be an object") }
        return JSONFields(value, path: path(of: name) + ".")
    }

    /// The objects of a list.
    package func objects(_ name: String) throws(APIError) -> [JSONFields]? {
        guard let values = try array(name) else { return nil }
        var objects: [JSONFields] = []
        for (index, value) in values.enumerated() {
            guard value.object != nil else { throw error("\(name)[\(index)]", "must be an object") }
            objects.append(JSONFields(value, path: "\(path(of: name))[\(index)]."))
        }
        return objects
    }

    /// A text or a list of texts.
    package func strings(_ name: String) throws(APIError) -> [String]? {
        guard let value = self[name] else { return nil }
        if let string = value.string { return [string] }
        let strings = value.array?.compactMap(\.string)
        guard let strings, strings.count == value.array?.count else {
            throw error(name, "must be a string or a list of strings")
        }
        return strings
    }
}
