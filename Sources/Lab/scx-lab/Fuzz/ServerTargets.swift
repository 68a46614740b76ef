import Foundation
import SCXInference

/// Reads configuration files of `scx serve`: a process reads the file, and then ends because the model does not exist.
struct YAMLTarget: FuzzTarget {
    private let folder: String
    let seeds: [[UInt8]] = [
        "model: /nonexistent\nport: 8080\nprofile: sealed\nworker:\n  - unix:/tmp/x\n  - tls://h:1\n",
        "port: \"80\"\n# comment\nlog-level: info\nkv: |\n  int8\nallow-http: true\n",
        "a: &x [1, 2, {b: *x}]\n? k\n: v\n--- \n!!binary aGVsbG8=\n",
    ].map { Array($0.utf8) }
    let words = [
        "model: ", "port: ", "host: ", "profile: plain\n", "worker:\n  - ", "- - - - ", "&a ", "*a", "<<: *a",
        "!!int ", "|2-\n",
        "> \n", "\t", "{", "}", "[", "]", "? ", ": ", "~", ".inf", "0x7fffffffffffffff", "%YAML 1.2\n---\n",
        "\"\\U0010FFFF\"",
    ]
    let longest = 1 << 14

    init(_ folder: String) { self.folder = folder }

    func run(_ input: [UInt8]) throws {
        let path = "\(folder)/config.yaml"
        try Data(input).write(to: URL(filePath: path))
        let process = LabProcess(
            "yaml", program: "scx",
            arguments: ["serve", "--config", path, "--model", "\(folder)/no-model"], logs: folder)
        try process.start()
        let status = process.wait()
        guard status > 0 else { fatalError("scx serve ended with \(status): \(process.lastLines)") }
    }
}

/// Sends requests to a running `scx serve` with the bundled model.
///
/// An input is a line with method and path, and then the body.
struct HTTPTarget: FuzzTarget {
    private static let routes = [
        "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/v1/embeddings",
        "/tokenize",
        "/detokenize",
    ]
    private let server: LabProcess
    private let port: Int
    private var answered = 0
    let seeds: [[UInt8]] = [
        "POST /v1/chat/completions\n"
            + #"{"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}],"max_tokens":2,"stream":true,"stop":["a"],"logit_bias":{"3":-100},"n":2,"seed":1,"temperature":0.5,"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]}"#,
        "POST /v1/chat/completions\n"
            + #"{"messages":[{"role":"system","content":"x"},{"role":"user","content":"y"}],"max_completion_tokens":1,"response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{"type":"integer"}}},"logprobs":true,"top_logprobs":3}"#,
        "POST /v1/completions\n"
            + #"{"prompt":["a",[1,2,3]],"max_tokens":1,"echo":true,"logprobs":2,"suffix":null}"#,
        "POST /v1/responses\n"
            + #"{"input":[{"role":"user","content":"Hi"}],"max_output_tokens":1,"store":false}"#,
        "POST /v1/messages\n"
            + #"{"messages":[{"role":"user","content":"Hi"}],"max_tokens":1,"system":"x","stream":true}"#,
        "POST /v1/embeddings\n" + #"{"input":["a","b"],"encoding_format":"base64","dimensions":8}"#,
        "POST /tokenize\n" + #"{"prompt":"a b","add_special_tokens":true}"#,
        "POST /detokenize\n" + #"{"tokens":[1,2,3]}"#,
        "GET /v1/models\n", "GET /health\n", "DELETE /v1/responses/resp_1\n",
    ].map { Array($0.utf8) }
    let words =
        [
            "\"messages\":", "\"role\":\"tool\"", "\"content\":", "\"tool_calls\":", "\"stop\":", "\"n\":",
            "\"max_tokens\":",
            "\"stream\":true", "\"response_format\":", "\"logit_bias\":", "\"tool_choice\":\"required\"",
            "\"image_url\"",
            "\"previous_response_id\":", "1e999", "-1", "[[[[", "\"\\uD800\"",
        ] + routes
    let longest = 1 << 14

    init(_ folder: String) throws {
        port = Int.random(in: 20_000..<60_000)
        server = LabProcess(
            "serve", program: "scx", arguments: ["serve", "--profile", "plain", "--port", "\(port)"],
            logs: folder)
        try server.start()
        // Under a sanitizer the server takes some time to start.
        for _ in 0..<600 {
            guard server.number != nil else { break }
            if (try? health()) == true { return }
            Thread.sleep(forTimeInterval: 0.1)
        }
        throw FuzzJournal.Failure(description: "scx serve does not start: \(server.lastLines)")
    }

    private func health() throws -> Bool {
        let connection = try HTTPConnection(host: "127.0.0.1", port: port)
        defer { connection.end() }
        try connection.send("GET", "/health", headers: [("host", "127.0.0.1:\(port)")])
        return try connection.readHead().status == 200
    }

    mutating func run(_ input: [UInt8]) throws {
        let end = input.firstIndex(of: UInt8(ascii: "\n")) ?? input.count
        let line = String(decoding: input[..<end], as: UTF8.self).split(separator: " ", maxSplits: 1)
        let body = FuzzFixtures.text(Array(input[end...].dropFirst()))
        answered += 1
        defer {
            // Whatever the request was, the server must still run and answer others.
            if server.number == nil || answered % 16 == 0 && (try? health()) != true {
                fatalError("scx serve ended or is silent: \(server.lastLines)")
            }
        }
        let connection = try HTTPConnection(host: "127.0.0.1", port: port)
        defer { connection.end() }
        let method = line.first.map { $0.filter { $0.isASCII && $0.isLetter } } ?? ""
        let path = (line.count > 1 ? line[1] : "/").filter { !$0.isWhitespace && $0.isASCII && $0 != "\0" }
        try connection.send(
            method.isEmpty ? "POST" : method, path.hasPrefix("/") ? path : "/\(path)",
            headers: [("host", "127.0.0.1:\(port)"), ("content-type", "application/json")], body: body)
        _ = try connection.readHead()
        // The server stops a long answer when the connection is closed.
        _ = try connection.nextLine()
    }
}
