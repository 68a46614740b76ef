import Foundation
import SCXInference

/// OpenAI's Responses interface: `/v1/responses` and what it keeps.
package enum ResponsesRoutes {
    /// `POST /v1/responses`.
    ///
    /// - Throws: ``APIError`` for a request that cannot be answered.
    package static func create(
        _ request: APIRequest, _ answering: any Answering, _ store: ResponseStore
    ) async throws(APIError) -> APIReply {
        var previous: Conversation?
        let field = "previous_response_id"
        if let id = try request.body.string(field) {
            previous = try await store.get(id, owner: request.key, param: field).conversation
        }
        let model = answering.model
        let asked = try ResponsesRequest(request, continuing: previous, model: model)
        let running = try await answering.chat(asked.chat)
        var writer = ResponseWriter(
            id: newName("resp_"), createdAt: Int(Date().timeIntervalSince1970), model: model,
            profile: running.profile, request: asked)
        @Sendable func keep(_ writer: ResponseWriter) async {
            guard asked.isStored else { return }
            let record = ResponseStore.Record(
                response: writer.response, conversation: writer.conversation)
            await store.put(writer.id, owner: request.key, record)
        }
        if asked.isStreamed {
            return .events(writer.events(of: running, atEnd: keep), headers: [.profile(running.profile)])
        }
        try await writer.readAll(running)
        await keep(writer)
        return .json(writer.response, headers: [.profile(running.profile)])
    }

    /// `GET /v1/responses/{id}`.
    ///
    /// - Throws: ``APIError``, 404, for a response that is not kept or that another key asked for.
    package static func get(
        _ request: APIRequest, _ store: ResponseStore
    ) async throws(APIError) -> APIReply {
        .json(try await store.get(request.name ?? "", owner: request.key).response)
    }

    /// `DELETE /v1/responses/{id}`.
    ///
    /// - Throws: ``APIError``, 404, as ``get(_:_:)``.
    package static func delete(
        _ request: APIRequest, _ store: ResponseStore
    ) async throws(APIError) -> APIReply {
        let id = request.name ?? ""
        try await store.delete(id, owner: request.key)
        return .json(["id": .string(id), "object": "response", "deleted": true])
    }
}
