import SCXInference

/// A way in which one client may try to stop the others.
///
/// Each is a file of this folder, and one of ``ServerAttacks``.
protocol ServerAttack: Sendable {
    /// As on the command line.
    var name: String { get }
    /// What is tried, in one line.
    var purpose: String { get }
    /// Clients that attack at the same time.
    var clients: Int { get }

    /// Attacks once; called again and again until the time is over.
    ///
    /// - Parameters:
    ///   - client: Sends requests and counts what comes of them.
    ///   - round: How often it attacked before.
    func attack(_ client: AttackClient, round: Int)
}

enum ServerAttacks {
    static let all: [any ServerAttack] = [
        OrdinaryLoad(), OrdinaryAnswers(), DeepSchemaAttack(), SelfReferenceAttack(), WideSchemaAttack(),
        PatternAttack(), MaskAttack(), StopTextAttack(), LongPromptAttack(), SilentConnectionsAttack(),
    ]
}

/// Sends an attack's requests.
final class AttackClient {
    private let target: LoadTarget
    /// What became of requests: statuses, or what broke the connection, and how often.
    private(set) var outcomes: [String: Int] = [:]
    private var connection: HTTPConnection?
    private var held: [HTTPConnection] = []

    /// How long an answer is waited for, in seconds.
    private static let patience = 5

    init(_ target: LoadTarget) { self.target = target }

    /// Posts a body and reads the reply; a server that does not reply in some seconds is given up.
    func post(_ path: String, _ body: String) {
        do throws(HTTPError) {
            let connection = try connect()
            try connection.send("POST", path, headers: target.headers(profile: nil), body: body)
            let head = try connection.readHead()
            _ = try connection.readRest()
            count("\(head.status)")
            if !connection.isReusable { self.connection = nil }
        } catch {
            connection?.end()
            connection = nil
            count("\(error)")
        }
    }

    /// Opens a connection, sends the beginning of something, and leaves it at that.
    ///
    /// - Parameters:
    ///   - beginning: What is sent.
    ///   - most: Connections that are held so; the oldest is closed for a new one.
    func hold(_ beginning: String, most: Int) {
        if held.count >= most { held.removeFirst().end() }
        do throws(HTTPError) {
            let connection = try HTTPConnection(
                host: target.host, port: target.port, patience: Self.patience)
            try connection.write(Array(beginning.utf8))
            held.append(connection)
            count("open")
        } catch { count("\(error)") }
    }

    /// Asks a short question with more fields.
    func chat(_ fields: [JSON.Member], tokens: Int = 40) {
        let body: [JSON.Member] = [
            .init("messages", [["role": "user", "content": "Hello"]]), .init("max_tokens", .int(tokens)),
        ]
        post("/v1/chat/completions", JSON.object(body + fields).text)
    }

    private func connect() throws(HTTPError) -> HTTPConnection {
        if let connection { return connection }
        let new = try HTTPConnection(host: target.host, port: target.port, patience: Self.patience)
        connection = new
        return new
    }

    private func count(_ outcome: String) { outcomes[outcome, default: 0] += 1 }
}

extension JSON.Member {
    /// Holds an answer to a schema.
    static func format(_ schema: JSON) -> JSON.Member {
        .init(
            "response_format",
            ["type": "json_schema", "json_schema": ["name": "answer", "schema": schema]])
    }
}
