package import SCXInference

extension APIError {
    /// The body of a reply in Anthropic's shape, which has the members of OpenAI's too.
    package var anthropicJSON: JSON {
        let type =
            switch status {
            case 401: "authentication_error"
            case 403: "permission_error"
            case 404: "not_found_error"
            case 413: "request_too_large"
            case 429: "rate_limit_error"
            case 503, 529: "overloaded_error"
            case 500...: "api_error"
            default: "invalid_request_error"
            }
        return [
            "type": "error",
            "error": [
                "type": .string(type), "message": .string(message),
                "param": param.map { .string($0) } ?? .null,
                "code": code.map { .string($0) } ?? .null,
            ],
        ]
    }
}
