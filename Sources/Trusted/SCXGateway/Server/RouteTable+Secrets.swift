import HTTPTypes
import SCXInference

extension RouteTable {
    /// What became of a request for secrets.
    package enum SecretsDecision: Sendable {
        /// The secrets, encrypted to the guest, in JSON.
        case given([UInt8])
        /// A numbered line for each check that did not hold.
        case refused([String])
    }

    /// The routes of a server that gives secrets to attested guests, and does nothing else.
    ///
    /// `GET /scx/secrets` asks for a question, and `POST /scx/secrets` answers it.
    ///
    /// - Parameters:
    ///   - question: Makes a question, in base 16.
    ///   - decide: Decides over the fields `key` and `document` of a request.
    package init(
        secretsQuestion question: @escaping @Sendable () -> String,
        decide: @escaping @Sendable (_ key: String, _ document: String) -> SecretsDecision
    ) {
        work = WorkPool()
        routes = [
            .get("/health", open: true) { _ in .json(["status": .string("ok")]) },
            Route(method: .get, path: "/scx/secrets", isOpen: true, takesAnyHost: true) { _ in
                .json(["nonce": .string(question())], headers: [APIHeader("cache-control", "no-store")])
            },
            Route(method: .post, path: "/scx/secrets", takesAnyHost: true) { request throws(APIError) in
                guard let key = try request.body.string("key") else {
                    throw request.body.error("key", "is missing")
                }
                guard let document = try request.body.string("document") else {
                    throw request.body.error("document", "is missing")
                }
                switch decide(key, document) {
                case .given(let bytes):
                    return .bytes(
                        bytes, type: "application/json", headers: [APIHeader("cache-control", "no-store")])
                case .refused(let lines):
                    throw APIError(
                        status: 403, "No secrets are given: \(lines.joined(separator: "; ")).",
                        type: "permission_error", code: "not_attested")
                }
            },
        ]
    }
}
