package import SCXInference

/// `GET /openapi.json`: what this server answers, for programs and for people who read such documents.
package enum OpenAPI {
    package static func reply(
        _ request: APIRequest, _ answering: any Answering
    ) async throws(APIError) -> APIReply { .json(document) }

    /// The OpenAPI 3.1 document.
    package static let document: JSON = [
        "openapi": "3.1.0",
        "info": [
            "title": "scx serve", "version": "1",
            "description":
                "OpenAI's interface, and Anthropic's messages, to a model whose worker sees no text.",
        ],
        "security": [["bearer": []]],
        "paths": paths,
        "components": [
            "securitySchemes": ["bearer": ["type": "http", "scheme": "bearer"]],
            "schemas": .object(OpenAPISchemas.all),
        ],
    ]

    // MARK: Paths

    private static let rerank = post(
        "Orders texts by how well they answer a query.", "RerankRequest", "RerankReply")

    private static let paths: JSON = [
        "/v1/chat/completions": post(
            "Answers a conversation.", "ChatCompletionRequest", "ChatCompletion",
            chunk: "ChatCompletionChunk"),
        "/v1/completions": post(
            "Continues texts.", "CompletionRequest", "Completion", chunk: "Completion"),
        "/v1/responses": post(
            "Answers as OpenAI's Responses interface does.", "ResponseRequest", "Response",
            chunk: "ResponseEvent"),
        "/v1/responses/{id}": [
            "get": operation("A response that was stored.", reply: json("Response"), path: "id"),
            "delete": operation("Forgets a stored response.", reply: json("Deleted"), path: "id"),
        ],
        "/v1/messages": post(
            "Answers as Anthropic's interface does.", "MessageRequest", "Message", chunk: "MessageEvent",
            error: "AnthropicError"),
        "/v1/messages/count_tokens": post(
            "How many tokens such a request has.", "TokenCountRequest", "TokenCount",
            error: "AnthropicError"),
        "/v1/embeddings": post("Turns texts into vectors.", "EmbeddingRequest", "EmbeddingList"),
        "/rerank": rerank, "/v1/rerank": rerank, "/v2/rerank": rerank,
        "/v1/models": get("The served model in each profile.", json("ModelList")),
        "/v1/models/{id}": ["get": operation("One of them.", reply: json("Model"), path: "id")],
        "/tokenize": post(
            "The tokens of a text or a conversation.", "TokenizeRequest", "TokenizeReply"),
        "/detokenize": post("The text of tokens.", "DetokenizeRequest", "DetokenizeReply"),
        "/health": get("Whether requests are taken.", json("Health"), isOpen: true),
        "/version": get("This program's version.", json("Version"), isOpen: true),
        "/metrics": get(
            "Counters for Prometheus, without content.", ["text/plain": ["schema": ["type": "string"]]]),
        "/openapi.json": get(
            "This document.", ["application/json": ["schema": ["type": "object"]]], isOpen: true),
    ]

    private static func schema(_ name: String) -> JSON {
        ["schema": ["$ref": .string("#/components/schemas/\(name)")]]
    }

    private static func json(_ name: String) -> JSON { ["application/json": schema(name)] }

    private static func get(_ summary: String, _ reply: JSON, isOpen: Bool = false) -> JSON {
        ["get": operation(summary, reply: reply, isOpen: isOpen)]
    }

    private static func post(
        _ summary: String, _ request: String, _ reply: String, chunk: String? = nil, error: String = "Error"
    ) -> JSON {
        var content: [JSON.Member] = [.init("application/json", schema(reply))]
        // The events of a stream; OpenAPI describes one of them.
        if let chunk { content.append(.init("text/event-stream", schema(chunk))) }
        return [
            "post": operation(summary, request: request, reply: .object(content), error: error)
        ]
    }

    private static func operation(
        _ summary: String, request: String? = nil, reply: JSON, error: String = "Error",
        path: String? = nil, isOpen: Bool = false
    ) -> JSON {
        var members: [JSON.Member] = [.init("summary", .string(summary))]
        if isOpen { members.append(.init("security", [])) }
        var parameters: [JSON] = []
        if let path {
            parameters.append([
                "name": .string(path), "in": "path", "required": true, "schema": ["type": "string"],
            ])
        }
        if let request {
            parameters.append([
                "name": "x-scx-profile", "in": "header", "schema": ["type": "string"],
                "description": "The profile to answer in; else the model's name says it.",
            ])
            members.append(.init("requestBody", ["required": true, "content": json(request)]))
        }
        if !parameters.isEmpty { members.append(.init("parameters", .array(parameters))) }
        let refusals: [(String, String)] = [
            ("400", "The request is wrong."), ("401", "The API key is missing or wrong."),
            ("404", "There is no such path or thing."), ("413", "The body is too large."),
            ("429", "Too many requests of this API key; see Retry-After."), ("500", "A fault."),
            ("503", "The server is busy or has no worker; see Retry-After."),
        ]
        members.append(
            .init(
                "responses",
                .object(
                    [.init("200", ["description": "The answer.", "content": reply])]
                        + refusals.map { status, text in
                            .init(status, ["description": .string(text), "content": json(error)])
                        })))
        return .object(members)
    }
}
