import HTTPTypes
package import SCXInference
import SCXTrusted

extension RouteTable {
    /// All that the endpoint answers.
    ///
    /// - Parameters:
    ///   - answers: Answers requests.
    ///   - responses: Keeps what `/v1/responses` may continue.
    ///   - facts: What `/health` says of the server beside what it is busy with.
    package init(answers: any Answering, responses: ResponseStore, facts: [JSON.Member]) {
        let model = answers.model
        routes = [
            .get("/health", open: true) { _ in .json(Self.health(model, facts)) },
            .get("/version", open: true) { _ in .json(["version": .string(GatewayVersion.text)]) },
            .post("/v1/responses") { request throws(APIError) in
                try await ResponsesRoutes.create(request, answers, responses)
            },
            .get("/v1/responses/{name}") { request throws(APIError) in
                try await ResponsesRoutes.get(request, responses)
            },
            Route(method: .delete, path: "/v1/responses/{name}") { request throws(APIError) in
                try await ResponsesRoutes.delete(request, responses)
            },
            .post("/v1/messages") { request throws(APIError) in
                try await AnthropicRoutes.messages(request, answers)
            },
            .post("/v1/messages/count_tokens") { request throws(APIError) in
                try await AnthropicRoutes.countTokens(request, answers)
            },
            .post("/v1/chat/completions") { request throws(APIError) in
                try await ChatCompletions.reply(request, answers)
            },
        ]
    }

    private static func health(_ model: ServedModel, _ facts: [JSON.Member]) -> JSON {
        let loads = model.profiles.map { ($0, $0.loop.load) }
        let isDraining = loads.contains { $0.1.isDraining }
        let profiles: [JSON.Member] = loads.map { profile, load in
            JSON.Member(
                profile.name,
                [
                    "running": .int(load.running), "waiting": .int(load.waiting), "kept": .int(load.kept),
                    "not_protected": .string(profile.warning),
                ])
        }
        return .object(
            [
                .init("status", .string(isDraining ? "draining" : "ok")), .init("model", .string(model.name)),
                .init("profiles", .object(profiles)),
            ] + facts)
    }
}

/// Of this program.
package enum GatewayVersion {
    package static let text = "0.1.0"
}
