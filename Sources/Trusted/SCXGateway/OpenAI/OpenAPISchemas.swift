import SCXInference

/// The schemas of requests, replies and errors.
enum OpenAPISchemas {
    static let all: [JSON.Member] = chat + completion + others + foreign

    // MARK: Words

    private static let string: JSON = ["type": "string"]
    private static let bool: JSON = ["type": "boolean"]
    private static let integer: JSON = ["type": "integer"]
    private static let anyObject: JSON = ["type": "object"]
    private static let strings: JSON = ["oneOf": [string, list(string)]]

    private static func integer(_ least: Int, _ most: Int) -> JSON {
        ["type": "integer", "minimum": .int(least), "maximum": .int(most)]
    }

    private static func number(_ least: Double, _ most: Double) -> JSON {
        ["type": "number", "minimum": .double(least), "maximum": .double(most)]
    }

    private static func list(_ item: JSON) -> JSON { ["type": "array", "items": item] }
    private static func orNull(_ schema: JSON) -> JSON { ["anyOf": [schema, ["type": "null"]]] }
    private static func name(_ schema: String) -> JSON {
        ["$ref": .string("#/components/schemas/\(schema)")]
    }
    private static func one(of values: JSON...) -> JSON { ["enum": .array(values)] }

    private static func object(_ required: [String] = [], _ properties: [JSON.Member]) -> JSON {
        [
            "type": "object", "properties": .object(properties),
            "required": .array(required.map { .string($0) }),
        ]
    }

    /// Fields of chat and text completions.
    private static let sampling: [JSON.Member] = [
        .init("model", string), .init("stream", bool),
        .init("stream_options", object([], [.init("include_usage", bool)])), .init("n", integer(1, 16)),
        .init("stop", strings), .init("seed", integer), .init("temperature", number(0, 100)),
        .init("top_p", number(0, 1)), .init("top_k", ["type": "integer", "minimum": -1]),
        .init("min_p", number(0, 1)), .init("presence_penalty", number(-2, 2)),
        .init("frequency_penalty", number(-2, 2)), .init("repetition_penalty", number(0, 100)),
        .init("logit_bias", ["type": "object", "additionalProperties": number(-100, 100)]),
        .init("user", string), .init("ignore_eos", bool), .init("stop_token_ids", list(integer)),
        .init("min_tokens", ["type": "integer", "minimum": 0]), .init("bad_words", list(string)),
        .init("allowed_token_ids", list(integer)), .init("include_stop_str_in_output", bool),
        .init("skip_special_tokens", bool), .init("guided_regex", string),
        .init(
            "cache_salt",
            [
                "type": "string",
                "description":
                    "Conversations of one API key with the same salt share the beginning they have in common, and the keys that hide it.",
            ]),
        .init("prompt_cache_key", string),
    ]

    private static let prompts: JSON = [
        "oneOf": [string, list(string), list(integer), list(list(integer))]
    ]

    // MARK: Chat

    private static let chat: [JSON.Member] = [
        .init(
            "ChatMessage",
            object(
                ["role"],
                [
                    .init("role", one(of: "system", "developer", "user", "assistant", "tool")),
                    .init(
                        "content",
                        orNull([
                            "oneOf": [
                                string,
                                list(
                                    object(
                                        ["type", "text"],
                                        [.init("type", ["const": "text"]), .init("text", string)])),
                            ]
                        ])), .init("reasoning_content", string), .init("name", string),
                    .init("tool_call_id", string),
                    .init("tool_calls", list(name("ToolCall"))),
                ])),
        .init(
            "ToolCall",
            object(
                ["id", "type", "function"],
                [
                    .init("id", string), .init("type", ["const": "function"]),
                    .init(
                        "function",
                        object(["name", "arguments"], [.init("name", string), .init("arguments", string)])),
                ])),
        .init(
            "Tool",
            object(
                ["type", "function"],
                [
                    .init("type", ["const": "function"]),
                    .init(
                        "function",
                        object(
                            ["name"],
                            [
                                .init("name", string), .init("description", string),
                                .init("parameters", anyObject), .init("strict", bool),
                            ])),
                ])),
        .init(
            "ChatCompletionRequest",
            object(
                ["messages"],
                [
                    .init("messages", list(name("ChatMessage"))),
                    .init("max_tokens", ["type": "integer", "minimum": 1, "deprecated": true]),
                    .init("max_completion_tokens", ["type": "integer", "minimum": 1]),
                    .init("logprobs", bool), .init("top_logprobs", integer(0, 20)),
                    .init(
                        "response_format",
                        object(
                            ["type"],
                            [
                                .init("type", one(of: "text", "json_object", "json_schema")),
                                .init(
                                    "json_schema",
                                    object(
                                        ["name", "schema"],
                                        [
                                            .init("name", string), .init("schema", anyObject),
                                            .init("strict", bool),
                                        ])),
                            ])), .init("tools", list(name("Tool"))),
                    .init(
                        "tool_choice", ["oneOf": [one(of: "none", "auto", "required"), anyObject]]),
                    .init("parallel_tool_calls", bool), .init("chat_template_kwargs", anyObject),
                    .init("add_generation_prompt", bool), .init("continue_final_message", bool),
                    .init(
                        "reasoning_effort",
                        one(of: "none", "minimal", "low", "medium", "high", "xhigh", "max")),
                    .init("enable_thinking", bool), .init("include_reasoning", bool),
                    .init("documents", list(anyObject)),
                ] + sampling)),
        .init(
            "ChatCompletion",
            reply(
                "chat.completion",
                [
                    .init("index", integer), .init("message", name("ChatMessage")),
                    .init("logprobs", orNull(anyObject)),
                    .init("finish_reason", one(of: "stop", "length", "tool_calls")),
                ])),
        .init(
            "ChatCompletionChunk",
            reply(
                "chat.completion.chunk",
                [
                    .init("index", integer), .init("delta", anyObject), .init("logprobs", orNull(anyObject)),
                    .init("finish_reason", one(of: "stop", "length", "tool_calls", .null)),
                ])),
    ]

    private static func reply(_ kind: String, _ choice: [JSON.Member]) -> JSON {
        object(
            ["id", "object", "created", "model", "choices"],
            [
                .init("id", string), .init("object", ["const": .string(kind)]), .init("created", integer),
                .init("model", string), .init("system_fingerprint", string),
                .init("choices", list(object(choice.map(\.name), choice))),
                .init("usage", orNull(name("Usage"))), .init("scx", name("Costs")),
            ])
    }

    // MARK: Text

    private static let completion: [JSON.Member] = [
        .init(
            "CompletionRequest",
            object(
                ["prompt"],
                [
                    .init("prompt", prompts),
                    .init("max_tokens", ["type": "integer", "minimum": 0, "default": 16]),
                    .init("echo", bool), .init("logprobs", integer(0, 20)), .init("best_of", integer),
                ] + sampling)),
        .init(
            "Completion",
            reply(
                "text_completion",
                [
                    .init("index", integer), .init("text", string), .init("logprobs", orNull(anyObject)),
                    .init("finish_reason", one(of: "stop", "length", .null)),
                ])),
        .init(
            "Usage",
            object(
                ["prompt_tokens", "completion_tokens", "total_tokens"],
                [
                    .init("prompt_tokens", integer), .init("completion_tokens", integer),
                    .init("total_tokens", integer),
                    .init("prompt_tokens_details", object([], [.init("cached_tokens", integer)])),
                ])),
        .init(
            "Costs",
            object(
                ["profile", "exchanges", "bytes_sent", "bytes_received", "pads"],
                [
                    .init("profile", string), .init("exchanges", integer), .init("bytes_sent", integer),
                    .init("bytes_received", integer), .init("pads", integer),
                ])),
        .init(
            "Error",
            object(
                ["error"],
                [
                    .init(
                        "error",
                        object(
                            ["message", "type", "param", "code"],
                            [
                                .init("message", string), .init("type", string),
                                .init("param", orNull(string)), .init("code", orNull(string)),
                            ]))
                ])),
    ]

    // MARK: Others

    private static let others: [JSON.Member] = [
        .init(
            "EmbeddingRequest",
            object(
                ["input"],
                [
                    .init("input", prompts), .init("model", string), .init("user", string),
                    .init("encoding_format", one(of: "float", "base64")), .init("dimensions", integer),
                    .init("normalize", bool), .init("prompt_name", string), .init("prompt", string),
                    .init("instruction", string), .init("truncate_prompt_tokens", integer),
                ])),
        .init(
            "RerankRequest",
            object(
                ["query", "documents"],
                [
                    .init("query", string),
                    .init(
                        "documents",
                        list(["oneOf": [string, object(["text"], [.init("text", string)])]])),
                    .init("model", string), .init("top_n", integer), .init("return_documents", bool),
                    .init("instruction", string), .init("truncate_prompt_tokens", integer),
                ])),
        .init(
            "RerankReply",
            object(
                ["id", "model", "results", "usage"],
                [
                    .init("id", string), .init("model", string), .init("usage", anyObject),
                    .init(
                        "results",
                        list(
                            object(
                                ["index", "relevance_score"],
                                [
                                    .init("index", integer), .init("relevance_score", ["type": "number"]),
                                    .init("document", object(["text"], [.init("text", string)])),
                                ]))),
                ])),
        .init(
            "EmbeddingList",
            object(
                ["object", "data", "model", "usage"],
                [
                    .init("object", ["const": "list"]), .init("model", string), .init("usage", anyObject),
                    .init(
                        "data",
                        list(
                            object(
                                ["object", "index", "embedding"],
                                [
                                    .init("object", ["const": "embedding"]), .init("index", integer),
                                    .init("embedding", ["oneOf": [list(["type": "number"]), string]]),
                                ]))),
                ])),
        .init(
            "Model",
            object(
                ["id", "object", "created", "owned_by"],
                [
                    .init("id", string), .init("object", ["const": "model"]), .init("created", integer),
                    .init("owned_by", string), .init("max_model_len", integer), .init("scx", anyObject),
                ])),
        .init(
            "ModelList",
            object(
                ["object", "data"],
                [.init("object", ["const": "list"]), .init("data", list(name("Model")))])),
        .init(
            "TokenizeRequest",
            object(
                [],
                [
                    .init("prompt", string), .init("messages", list(name("ChatMessage"))),
                    .init("add_special_tokens", bool), .init("return_token_strs", bool),
                    .init("add_generation_prompt", bool), .init("continue_final_message", bool),
                    .init("tools", list(name("Tool"))), .init("chat_template_kwargs", anyObject),
                ])),
        .init(
            "TokenizeReply",
            object(
                ["count", "max_model_len", "tokens"],
                [
                    .init("count", integer), .init("max_model_len", integer), .init("tokens", list(integer)),
                    .init("token_strs", orNull(list(string))),
                ])),
        .init("DetokenizeRequest", object(["tokens"], [.init("tokens", list(integer))])),
        .init("DetokenizeReply", object(["prompt"], [.init("prompt", string)])),
        .init("Health", object(["status"], [.init("status", string)])),
        .init("Version", object(["version"], [.init("version", string)])),
    ]

    // MARK: Responses and messages

    private static let foreign: [JSON.Member] = [
        .init(
            "ResponseRequest",
            object(
                ["input"],
                [
                    .init("model", string), .init("input", ["oneOf": [string, list(anyObject)]]),
                    .init("instructions", string), .init("max_output_tokens", integer),
                    .init("temperature", number(0, 100)), .init("top_p", number(0, 1)),
                    .init("tools", list(anyObject)), .init("text", anyObject), .init("store", bool),
                    .init("previous_response_id", string), .init("reasoning", anyObject),
                    .init("stream", bool),
                ])),
        .init(
            "Response",
            object(
                ["id", "object", "status", "output"],
                [
                    .init("id", string), .init("object", ["const": "response"]), .init("status", string),
                    .init("model", string), .init("output", list(anyObject)), .init("usage", anyObject),
                ])),
        .init("ResponseEvent", object(["type"], [.init("type", string)])),
        .init(
            "Deleted", object(["id", "deleted"], [.init("id", string), .init("deleted", ["const": true])])),
        .init(
            "MessageRequest",
            object(
                ["messages", "max_tokens"],
                [
                    .init("model", string), .init("max_tokens", integer), .init("messages", list(anyObject)),
                    .init("system", ["oneOf": [string, list(anyObject)]]),
                    .init("stop_sequences", list(string)), .init("temperature", number(0, 1)),
                    .init("top_p", number(0, 1)), .init("top_k", integer), .init("tools", list(anyObject)),
                    .init("tool_choice", anyObject), .init("thinking", anyObject), .init("stream", bool),
                ])),
        .init(
            "Message",
            object(
                ["id", "type", "role", "content", "stop_reason", "usage"],
                [
                    .init("id", string), .init("type", ["const": "message"]), .init("model", string),
                    .init("role", ["const": "assistant"]), .init("content", list(anyObject)),
                    .init("stop_reason", orNull(string)), .init("usage", anyObject),
                ])),
        .init("MessageEvent", object(["type"], [.init("type", string)])),
        .init(
            "TokenCountRequest",
            object(
                ["messages"],
                [
                    .init("model", string), .init("messages", list(anyObject)),
                    .init("system", ["oneOf": [string, list(anyObject)]]), .init("tools", list(anyObject)),
                ])),
        .init("TokenCount", object(["input_tokens"], [.init("input_tokens", integer)])),
        .init(
            "AnthropicError",
            object(
                ["type", "error"],
                [
                    .init("type", ["const": "error"]),
                    .init(
                        "error",
                        object(["type", "message"], [.init("type", string), .init("message", string)])),
                ])),
    ]
}
