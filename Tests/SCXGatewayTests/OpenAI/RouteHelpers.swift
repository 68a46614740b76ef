import SCXEngine
import SCXGateway
import SCXInference
import Testing

typealias Route = @Sendable (APIRequest, any Answering) async throws(APIError) -> APIReply

/// A request with this body.
func asking(_ body: String, name: String? = nil, profile: String? = nil) throws -> APIRequest {
    APIRequest(name: name, body: try JSON(parsing: body), key: "team", profile: profile)
}

/// The object of a reply without its id and time, and its headers.
func whole(_ reply: APIReply) throws -> (json: JSON, headers: [APIHeader]) {
    switch reply {
    case .json(let json, let headers): return (withoutID(json), headers)
    case .bytes(let bytes, "application/json", let headers):
        return (withoutID(try JSON(parsing: bytes.span)), headers)
    default:
        Issue.record("not a whole reply")
        return (.null, [])
    }
}

/// The events of a reply, objects without id and time.
func events(_ reply: APIReply) async throws -> [String] {
    guard case .events(let stream, let headers) = reply else {
        Issue.record("not a stream")
        return []
    }
    #expect(headers == [APIHeader("x-scx-profile", "plain")])
    var events: [String] = []
    for try await event in stream {
        let data = (try? JSON(parsing: event.data)).map { withoutID($0).text } ?? event.data
        events.append((event.name.map { "\($0): " } ?? "") + data)
    }
    return events
}

private func withoutID(_ json: JSON) -> JSON {
    guard let members = json.object, json["created"] != nil else { return json }
    return .object(members.filter { !["id", "created"].contains($0.name) })
}

/// What is thrown for a body.
func fault(_ body: String, _ route: Route, _ answering: any Answering) async throws -> APIError? {
    do {
        _ = try await route(asking(body), answering)
        return nil
    } catch let error as APIError {
        return error
    }
}

func token(_ id: Int32, _ logprob: Float = -0.5, top: [(Int32, Float)] = []) -> SampledToken {
    SampledToken(id: id, logprob: logprob, top: top.map { TokenLogprob(id: $0.0, logprob: $0.1) })
}

func usage(_ prompt: Int, _ answer: Int, cached: Int = 0) -> ChatUsage {
    var usage = ChatUsage()
    (usage.promptTokens, usage.answerTokens, usage.cachedTokens) = (prompt, answer, cached)
    (usage.exchanges, usage.bytesSent, usage.bytesReceived) = (7, 100, 200)
    return usage
}

/// The costs of so many such answers, as text.
func costs(_ answers: Int = 1) -> String {
    #""scx":{"profile":"plain","exchanges":\#(7 * answers),"bytes_sent":\#(100 * answers),"#
        + #""bytes_received":\#(200 * answers),"pads":0}"#
}
