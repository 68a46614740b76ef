import Foundation
import SCXInference

/// The server's address, and the model and API key to use.
struct LoadTarget: Sendable {
    let host: String
    let port: Int
    let model: String?
    let key: String?

    /// Reads `http://host:port`.
    init?(url: String, model: String?, key: String?) {
        guard let parts = URLComponents(string: url), parts.scheme == "http", let host = parts.host,
            !host.isEmpty, ["", "/", "/v1", "/v1/"].contains(parts.path)
        else { return nil }
        self.host = host.trimmingCharacters(in: CharacterSet(charactersIn: "[]"))
        port = parts.port ?? 80
        (self.model, self.key) = (model, key)
    }

    func headers(profile: String?) -> [(name: String, value: String)] {
        var headers = [(name: "host", value: "\(host):\(port)"), ("content-type", "application/json")]
        if let key { headers.append(("authorization", "Bearer \(key)")) }
        if let profile { headers.append(("x-scx-profile", profile)) }
        return headers
    }
}

/// The content of an answer.
struct LoadAnswer: Equatable, Sendable {
    var text = ""
    var finish = ""
    var promptTokens = 0
    var tokens = 0
    /// The log-probabilities of its tokens, if they were asked for.
    var logprobs: [Double] = []
}

/// What happened to a request.
struct LoadResult: Sendable {
    enum Outcome: Equatable, Sendable {
        case answered, cut
        case failed(String)
    }

    let request: LoadRequest
    var outcome = Outcome.answered
    var answer = LoadAnswer()
    /// Seconds from the first attempt to the first piece of the answer.
    var first: Double?
    /// Seconds between pieces of the answer.
    var gaps: [Double] = []
    /// How many attempts the server refused for the time being.
    var retries = 0
}

/// Sends requests one after the other, on one connection as long as the server allows it.
final class LoadClient {
    private let target: LoadTarget
    private var connection: HTTPConnection?

    private static let mostRetries = 60
    private static let longestWait = 30.0

    init(_ target: LoadTarget) { self.target = target }

    /// Sends a request and reads its answer, or a part of it.
    func ask(_ request: LoadRequest, salt: String? = nil) -> LoadResult {
        var result = LoadResult(request: request)
        let start = ContinuousClock.now
        do throws(HTTPError) {
            while let wait = try attempt(request, salt, start, &result) {
                guard result.retries < Self.mostRetries else {
                    result.outcome = .failed("put off \(Self.mostRetries) times")
                    return result
                }
                result.retries += 1
                Thread.sleep(forTimeInterval: wait)
            }
        } catch {
            connection = nil
            result.outcome = .failed("\(error)")
        }
        if connection?.isReusable == false { connection = nil }
        return result
    }

    /// Tries a request once.
    ///
    /// - Returns: Seconds to wait before the next attempt; nil when there is a result.
    private func attempt(
        _ request: LoadRequest, _ salt: String?, _ start: ContinuousClock.Instant, _ result: inout LoadResult
    ) throws(HTTPError) -> Double? {
        let body = request.body(model: target.model, salt: salt).text
        let headers = target.headers(profile: request.profile)
        func send() throws(HTTPError) -> (HTTPConnection, HTTPHead)? {
            let connection = try connect()
            try connection.send("POST", request.path, headers: headers, body: body)
            if request.cutAfter == 0 { return nil }
            return (connection, try connection.readHead())
        }
        let isReused = connection != nil
        var reply: (HTTPConnection, HTTPHead)?
        do throws(HTTPError) { reply = try send() } catch {
            // A server may close an idle connection at any time.
            guard isReused, error == .closed else { throw error }
            connection = nil
            reply = try send()
        }
        guard let (connection, head) = reply else {
            cut(&result)
            return nil
        }
        guard head.status == 200 else {
            let text = try connection.readRest()
            if head.status == 429 || head.status == 503 {
                let asked = head.headers["retry-after"].flatMap(Double.init) ?? 1
                return min(max(asked, 0.05), Self.longestWait)
            }
            let message = (try? JSON(parsing: text.span))?["error"]?["message"]?.string ?? ""
            result.outcome = .failed("status \(head.status): \(message)")
            return nil
        }
        try read(connection, start, &result)
        return nil
    }

    private func connect() throws(HTTPError) -> HTTPConnection {
        if let connection { return connection }
        let new = try HTTPConnection(host: target.host, port: target.port)
        connection = new
        return new
    }

    private func cut(_ result: inout LoadResult) {
        connection?.end()
        connection = nil
        result.outcome = .cut
    }

    /// Reads the events of a stream.
    private func read(
        _ connection: HTTPConnection, _ start: ContinuousClock.Instant, _ result: inout LoadResult
    ) throws(HTTPError) {
        var last = start
        var pieces = 0
        var isDone = false
        while let line = try connection.nextLine() {
            guard line.hasPrefix("data:") else { continue }
            let data = line.dropFirst(5).drop { $0 == " " }
            if data == "[DONE]" {
                isDone = true
                continue
            }
            guard let json = try? JSON(parsing: String(data)) else { throw .malformed("an event") }
            if let error = json["error"] {
                result.outcome = .failed("in the stream: \(error["message"]?.string ?? "")")
                continue
            }
            if let usage = json["usage"], !usage.isNull {
                result.answer.promptTokens = usage["prompt_tokens"]?.int ?? 0
                result.answer.tokens = usage["completion_tokens"]?.int ?? 0
            }
            guard let choice = json["choices"]?.array?.first else { continue }
            let piece = Self.text(of: choice)
            result.answer.text += piece
            result.answer.logprobs += (choice["logprobs"]?["content"]?.array ?? []).compactMap {
                $0["logprob"]?.double
            }
            if let finish = choice["finish_reason"]?.string { result.answer.finish = finish }
            guard !piece.isEmpty else { continue }
            let now = ContinuousClock.now
            if pieces == 0 {
                result.first = (now - start) / .seconds(1)
            } else {
                result.gaps.append((now - last) / .seconds(1))
            }
            (last, pieces) = (now, pieces + 1)
            if pieces == result.request.cutAfter {
                result.answer.tokens = pieces
                return cut(&result)
            }
        }
        if !isDone, result.outcome == .answered { result.outcome = .failed("the stream has no end") }
    }

    /// What a choice adds to the answer: its text, or its tokens if these are sent.
    private static func text(of choice: JSON) -> String {
        let text = choice["delta"]?["content"]?.string ?? choice["text"]?.string ?? ""
        return text + (choice["logprobs"]?["tokens"]?.array ?? []).compactMap(\.string).joined()
    }
}
