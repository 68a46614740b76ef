extension Policy {
    /// What an attested server must say of itself.
    ///
    /// A list names the values that are allowed; nil allows any.
    package struct Runs: Sendable {
        /// Every profile that the server answers in must stand here.
        package var profiles: [String]?
        /// Every worker must stand here.
        package var workers: [String]?
        /// Every peer that prepares pads must stand here.
        ///
        /// Worker and peer together read everything, so that one must not take the other's place. Where workers are named and
        /// peers are not, there may be none.
        package var peers: [String]?
        /// SHA-256 of the model's files, in base 16.
        package var models: [String]?
        package var revisions: [String]?
    }
}

extension Policy.Runs: Decodable {
    private enum Keys: String, CodingKey, CaseIterable { case profiles, workers, peers, models, revisions }

    package init(from decoder: any Decoder) throws {
        let values = try decoder.strictContainer(Keys.self)
        profiles = try values.decodeIfPresent([String].self, forKey: .profiles)
        workers = try values.decodeIfPresent([String].self, forKey: .workers)
        peers = try values.decodeIfPresent([String].self, forKey: .peers)
        models = try values.decodeIfPresent([String].self, forKey: .models)
        revisions = try values.decodeIfPresent([String].self, forKey: .revisions)
        // An empty list of workers says that there may be none.
        for (key, list) in [(Keys.profiles, profiles), (.models, models), (.revisions, revisions)] {
            if let list, list.isEmpty {
                throw values.error(key, "is empty, so that nothing could satisfy it")
            }
        }
    }
}

extension Policy.Runs {
    func check(_ statement: ServerStatement, _ failures: inout FailureList) {
        func require(_ given: [String], in allowed: [String]?, _ name: String) {
            guard let allowed else { return }
            for value in given where !allowed.contains(value) {
                failures.add(.statement, "the policy does not name \(name) '\(value)'")
            }
        }
        require(statement.profiles, in: profiles, "profile")
        require(statement.workers, in: workers, "worker")
        require(statement.peers, in: peers ?? workers.map { _ in [] }, "peer")
        require([statement.modelDigest], in: models, "model")
        require([statement.revision], in: revisions, "revision")
    }
}
