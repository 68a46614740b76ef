import SCXInference

/// An attack by which some clients try to stop a server from answering others.
///
/// Each attack is a file of this folder, and an entry of ``ServerAttacks``.
protocol ServerAttack: Sendable {
    /// The attack's name on the command line.
    var name: String { get }
    /// What the attack sends, in one line.
    var purpose: String { get }
    /// How many clients attack at the same time.
    var clients: Int { get }

    /// Attacks once; each client calls this again and again until the time is over.
    ///
    /// - Parameters:
    ///   - client: Sends the requests and counts their outcomes.
    ///   - round: How many times this client has attacked before.
    func attack(_ client: AttackClient, round: Int)
}

enum ServerAttacks {
    static let all: [any ServerAttack] = [
        OrdinaryLoad(), OrdinaryAnswers(), DeepSchemaAttack(), SelfReferenceAttack(), WideSchemaAttack(),
        PatternAttack(), MaskAttack(), StopTextAttack(), LongPromptAttack(), SilentConnectionsAttack(),
    ]
}

/// One client of an attack, which sends its requests and counts their outcomes.
final class AttackClient {
    private let target: LoadTarget
    /// How often each outcome occurred: a status, or the error that broke the connection.
    private(set) var outcomes: [String: Int] = [:]
    private var connection: HTTPConnection?
    private var held: [HTTPConnection] = []

    /// How long to wait for an answer, in seconds.
    private static let patience = 5

    init(_ target: LoadTarget) { self.target = target }

    /// Posts a body and reads the reply; when none comes within ``patience``, closes the connection.
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

    /// Opens a connection, sends the beginning of a request, and keeps the connection open without sending more.
    ///
    /// - Parameters:
    ///   - beginning: The text to send.
    ///   - most: The most connections held open in this way; the oldest is closed for a new one.
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

    /// Posts a short chat message with additional fields in the request.
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
    /// The field `response_format` of a request, which asks for an answer that follows a schema.
    static func format(_ schema: JSON) -> JSON.Member {
        .init(
            "response_format",
            ["type": "json_schema", "json_schema": ["name": "answer", "schema": schema]])
    }
}
