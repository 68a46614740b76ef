import HTTPTypes
import SCXEncoding
import SCXEngine
package import SCXInference
import SCXProfiles

extension RouteTable {
    /// All that the endpoint answers.
    ///
    /// - Parameters:
    ///   - answers: Answers requests.
    ///   - responses: Keeps what `/v1/responses` may continue.
    ///   - metrics: What `/metrics` says.
    ///   - facts: What `/health` says of the server beside what it is busy with.
    package init(
        answers: any Answering, responses: ResponseStore, metrics: ServerMetrics, facts: [JSON.Member]
    ) {
        let model = answers.model
        work = model.work
        routes = [
            .get("/health", open: true) { _ in .json(Self.health(model, facts)) },
            .get("/metrics") { _ in
                let loads = model.profiles.map { (profile: $0.name, load: $0.loop.load) }
                let sealed = model.profiles.compactMap { profile in
                    profile.sealed.map { (profile: profile.name, $0) }
                }
                return .bytes(
                    Array(metrics.text(loads, sealed: sealed).utf8), type: ServerMetrics.contentType)
            },
            .get("/openapi.json", open: true) { request throws(APIError) in
                try await OpenAPI.reply(request, answers)
            },
            .get("/v1/models") { request throws(APIError) in try await Models.list(request, answers) },
            .get("/v1/models/{name}") { request throws(APIError) in try await Models.one(request, answers) },
            .post("/v1/chat/completions") { request throws(APIError) in
                try await ChatCompletions.reply(request, answers)
            },
            .post("/v1/completions") { request throws(APIError) in
                try await Completions.reply(request, answers)
            },
            .post("/v1/embeddings") { request throws(APIError) in
                try await Embeddings.reply(request, answers)
            },
            .post("/rerank") { request throws(APIError) in try await Reranking.reply(request, answers) },
            .post("/v1/rerank") { request throws(APIError) in try await Reranking.reply(request, answers) },
            .post("/v2/rerank") { request throws(APIError) in try await Reranking.reply(request, answers) },
            .post("/tokenize") { request throws(APIError) in
                try await Tokenization.tokenize(request, answers)
            },
            .post("/detokenize") { request throws(APIError) in
                try await Tokenization.detokenize(request, answers)
            },
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
        ]
    }

    /// Adds the page at `/` and what it shows beside an answer.
    package mutating func addPage(views: WorkerViewStore?) {
        for file in PageFile.all {
            routes.append(
                Route(method: .get, path: file.path, isOpen: true) { _ in
                    .bytes(file.bytes, type: file.type, headers: PageFile.headers)
                })
        }
        if let views {
            routes.append(
                .post("/scx/view") { request throws(APIError) in try await views.reply(to: request) })
        }
    }

    private static func health(_ model: ServedModel, _ facts: [JSON.Member]) -> JSON {
        let loads = model.profiles.map { ($0, $0.loop.load) }
        let isDraining = loads.contains { $0.1.isDraining }
        let profiles: [JSON.Member] = loads.map { profile, load in
            let members: [JSON.Member] = [
                .init("running", .int(load.running)), .init("waiting", .int(load.waiting)),
                .init("kept", .int(load.kept)), .init("not_protected", .string(profile.facts.line)),
            ]
            return JSON.Member(
                profile.name,
                .object(members + profile.facts.members + (profile.sealed?.members ?? [])))
        }
        return .object(
            [
                .init("status", .string(isDraining ? "draining" : "ok")), .init("model", .string(model.name)),
                .init("preparing", .int(model.work.preparing)), .init("profiles", .object(profiles)),
            ] + facts)
    }
}

extension SealedReport {
    /// What `/health` says of profile `sealed`.
    fileprivate var members: [JSON.Member] {
        let (use, values) = (pads, values)
        return [
            .init(
                "pads",
                [
                    "direct": .int(use.direct), "peer": .int(use.peer), "banked": .int(use.banked),
                    "from_disk": .int(use.loaded),
                    "stalled_s": .double(use.stalledSeconds), "prepared_tokens": .int(preparedTokens),
                ]),
            .init("refused_products", .int(values.refused)),
            .init("rows_computed_here", .int(values.computedHere)),
            .init("workers", .array(workers.map { .string($0) })),
            // Together these owners could read everything; neither can alone.
            .init("peers_that_must_not_collude_with_workers", .array(peers.map { .string($0) })),
            .init("owners", .string(owners)),
        ]
    }
}

/// The version of this program.
package enum GatewayVersion {
    package static let text = "0.1.0"
}
