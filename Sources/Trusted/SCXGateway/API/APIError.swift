import SCXEngine
package import SCXInference
import SCXLink
import SCXText

/// Why a request gets no answer, in the words of the OpenAI interface.
///
/// Its text goes to the client and into no log: it may name fields and sizes, never prompts.
package struct APIError: Error, Equatable, Sendable {
    package var status: Int
    package var message: String
    package var type: String
    /// The name of the field at fault.
    package var param: String?
    package var code: String?
    /// When to try again, in seconds.
    package var retryAfter: Int?
    /// The methods that the path takes, where that is the error.
    package var allow: [String] = []

    package init(
        status: Int, _ message: String, type: String, param: String? = nil, code: String? = nil,
        retryAfter: Int? = nil, allow: [String] = []
    ) {
        (self.status, self.message, self.type) = (status, message, type)
        (self.param, self.code, self.retryAfter, self.allow) = (param, code, retryAfter, allow)
    }

    /// A request that can never be answered as it is.
    package static func invalid(
        _ message: String, param: String? = nil, code: String? = nil
    ) -> APIError {
        APIError(status: 400, message, type: "invalid_request_error", param: param, code: code)
    }

    /// An answer that stopped without an end.
    static var endedEarly: APIError {
        APIError(status: 500, "The answer ended early.", type: "server_error", code: "internal_error")
    }

    /// The body of the reply: `{"error": {"message", "type", "param", "code"}}`.
    package var json: JSON {
        [
            "error": [
                "message": .string(message), "type": .string(type),
                "param": param.map { .string($0) } ?? .null,
                "code": code.map { .string($0) } ?? .null,
            ]
        ]
    }

    /// The error that a client gets for an error of the engine or of a worker.
    package init(_ error: any Error) {
        switch error {
        case let error as APIError: self = error
        case let error as AdmissionError:
            switch error {
            case .tooManyOfKey:
                self.init(
                    status: 429, "\(error)", type: "rate_limit_error", code: "rate_limit_exceeded",
                    retryAfter: 1)
            case .queueFull:
                self.init(
                    status: 503, "\(error)", type: "overloaded_error", code: "server_overloaded",
                    retryAfter: 2)
            case .draining:
                self.init(
                    status: 503, "\(error)", type: "overloaded_error", code: "server_draining", retryAfter: 5)
            }
        case EngineError.promptTooLong(let tokens, let limit):
            self = .invalid(
                "This model's maximum context length is \(limit + 1) tokens; the prompt has \(tokens).",
                param: "messages", code: "context_length_exceeded")
        case EmbeddingError.tooLong:
            self = .invalid(
                "\(error); 'truncate_prompt_tokens': -1 leaves out its end.", param: "input",
                code: "context_length_exceeded")
        case let error as EmbeddingError: self = .invalid("\(error).")
        case let error as EngineError: self = .invalid("\(error).", param: "prompt")
        case let error as ConstraintError:
            self = .invalid("\(error).", param: "response_format", code: "invalid_schema")
        case SamplingError.nothingToChoose:
            // Not the client's fault: the worker's numbers, or the weights, are no numbers.
            self.init(
                status: 502, "the model gives no token a probability: its numbers are not finite",
                type: "server_error",
                code: "no_probabilities")
        case let error as SamplingError: self = .invalid("\(error)")
        case let error as LinkError:
            switch error {
            case .workerFull:
                self.init(
                    status: 503, "the worker has no memory left for this request", type: "overloaded_error",
                    code: "worker_full", retryAfter: 5)
            default:
                // What the peer said is for the log, not for clients.
                self.init(
                    status: 503, "the worker cannot be used now", type: "server_error",
                    code: "worker_unavailable", retryAfter: 5)
            }
        default:
            self.init(status: 500, "internal error", type: "server_error", code: "internal_error")
        }
    }
}
