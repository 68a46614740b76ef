import Foundation
import SCXEngine
import SCXInference
import SCXProfiles

/// `GET /v1/models` and `/v1/models/{id}`.
package enum Models {
    /// A file's date would change with every copy; clients only sort by it.
    private static let created = Int(Date().timeIntervalSince1970)

    /// The served model under each of its names, and once more for each profile beyond the default, as `name:profile`.
    package static func list(
        _ request: APIRequest, _ answering: any Answering
    ) async throws(APIError) -> APIReply {
        let model = answering.model
        let others = model.profiles.dropFirst().map { object("\(model.name):\($0.name)", model, $0) }
        let names = [model.name] + model.aliases
        let own = names.map { object($0, model, model.profiles[0]) }
        return .json(["object": "list", "data": .array(own + others)])
    }

    /// One of them.
    ///
    /// - Throws: ``APIError``, 404 for another model.
    package static func one(
        _ request: APIRequest, _ answering: any Answering
    ) async throws(APIError) -> APIReply {
        let model = answering.model
        let name = request.name ?? ""
        let profile = try model.profile(named: model.profile(ofModel: name))
        return .json(object(name, model, profile))
    }

    private static func object(_ id: String, _ model: ServedModel, _ profile: ServedProfile) -> JSON {
        [
            "id": .string(id), "object": "model", "created": .int(created), "owned_by": "scx",
            "max_model_len": .int(profile.loop.maximumLength),
            "scx": [
                "profile": .string(profile.name), "not_protected": .string(profile.facts.line),
                "profiles": .array(
                    model.profiles.map { profile in
                        .object([.init("name", .string(profile.name))] + profile.facts.members)
                    }),
            ],
        ]
    }
}

extension ProfileFacts {
    /// As `/v1/models` and `/health` have them.
    var members: [JSON.Member] {
        [
            .init("warning", .string(line)), .init("worker_sees", .string(sees)),
            .init("hides", .string(hides)), .init("leaks", .string(leaks)),
        ]
    }
}
