import SCXEngine
import SCXProfiles

/// Keeps what the worker sees of one request, which is computed alone for that.
struct ViewCapture: Sendable {
    let id: String
    let key: String
    let profile: String
    let store: WorkerViewStore
    private let tap: LinkTap
    private let links: [TappedLink]

    init(id: String, key: String, profile: String, store: WorkerViewStore, links: [TappedLink]) {
        (self.id, self.key, self.profile, self.store, self.links) = (id, key, profile, store, links)
        tap = store.begin()
    }

    /// Opens and closes the tap.
    var alone: EngineLoop.Alone {
        EngineLoop.Alone(
            begin: { [links, tap] in for link in links { link.open(tap) } },
            end: { [links] in for link in links { link.open(nil) } })
    }

    /// Hands over what was seen, with the truth that attacks are compared with.
    func finish(prompt: [Int32], answer: [Int32]) {
        store.finish(tap, id: id, key: key, profile: profile, prompt: prompt, answer: answer)
    }
}
