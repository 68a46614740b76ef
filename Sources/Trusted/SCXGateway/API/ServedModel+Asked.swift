import SCXEngine

extension ServedModel {
    /// The name and profile that a request asks for: `name`, `name:profile`, or nothing.
    ///
    /// The name comes back as the request has it, since clients compare the two.
    ///
    /// - Throws: ``APIError``: 404 for another model, 400 for a profile in the header that is not served.
    func asked(by request: APIRequest) throws(APIError) -> (name: String, profile: String) {
        let asked = try request.body.string("model") ?? ""
        let name = asked.isEmpty ? self.name : asked
        let profile = try profile(ofModel: name)
        return (name, try self.profile(named: profile ?? request.profile).name)
    }

    /// The profile in a model's name, nil for the name alone.
    ///
    /// - Throws: ``APIError``, 404 for another model.
    func profile(ofModel asked: String) throws(APIError) -> String? {
        for name in [name] + aliases {
            if asked == name { return nil }
            // A model's name may have colons of its own.
            if asked.hasPrefix(name + ":") {
                let profile = String(asked.dropFirst(name.count + 1))
                if profiles.contains(where: { $0.name == profile }) { return profile }
            }
        }
        throw APIError(
            status: 404, "The model '\(asked.prefix(80))' does not exist; this server has '\(name)'.",
            type: "invalid_request_error", param: "model", code: "model_not_found")
    }

    /// Most tokens of a prompt and its answer.
    var contextLength: Int { profiles[0].loop.maximumLength }
}
