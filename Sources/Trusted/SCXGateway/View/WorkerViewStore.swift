import Foundation
package import SCXInference
package import SCXProfiles
import Synchronization

/// Keeps the last few captures until their views are asked for.
///
/// A capture of the profile `plain` is as good as the text: few are kept, not for long, in memory alone, each is given
/// out once, and servers keep them for clients of the same machine only. A tap sees all that crosses its link, so a
/// captured request must run alone on it, from its first token on and as one answer:
///
///     let tap = store.begin()
///     link.open(tap)          // when no session of the profile is running; none joins until it is closed
///     …                       // compute, without tokens of earlier requests
///     link.open(nil)
///     store.finish(tap, id: id, profile: "scx", prompt: prompt, answer: answer)
package final class WorkerViewStore: Sendable {
    private struct Kept: Sendable {
        let id: String
        let key: String
        let capture: WorkerCapture
        let end: ContinuousClock.Instant
    }

    private let view: WorkerView
    private let limit: Int
    private let patience: Duration
    private let now: @Sendable () -> ContinuousClock.Instant
    /// Oldest first.
    private let kept = Mutex<[Kept]>([])

    /// - Parameters:
    ///   - view: Of the model that is served.
    ///   - limit: Captures kept at most.
    ///   - patience: How long each is kept.
    ///   - now: The time.
    package init(
        _ view: WorkerView, limit: Int = 4, patience: Duration = .seconds(600),
        now: @escaping @Sendable () -> ContinuousClock.Instant = { .now }
    ) {
        (self.view, self.limit, self.patience, self.now) = (view, limit, patience, now)
    }

    package func begin() -> LinkTap { LinkTap() }

    /// Keeps what a tap has seen under the id of the completion.
    ///
    /// - Parameters:
    ///   - tap: From ``begin()``.
    ///   - id: As the client knows the completion.
    ///   - key: The name of the API key, whose holder alone may see it.
    ///   - profile: The profile's name.
    ///   - prompt: The prompt's tokens.
    ///   - answer: The answer's tokens, those that ended it included.
    package func finish(
        _ tap: LinkTap, id: String, key: String = "", profile: String, prompt: [Int32], answer: [Int32]
    ) {
        let capture = WorkerCapture(
            profile: profile, prompt: prompt, answer: answer, exchanges: tap.exchanges,
            isComplete: tap.isComplete)
        let time = now()
        kept.withLock { kept in
            kept.removeAll { $0.end <= time || $0.id == id }
            kept.append(Kept(id: id, key: key, capture: capture, end: time + patience))
            kept.removeFirst(max(0, kept.count - limit))
        }
    }

    /// The number of captures whose views were not asked for yet.
    package var count: Int {
        let time = now()
        return kept.withLock { kept in
            kept.removeAll { $0.end <= time }
            return kept.count
        }
    }

    /// The view of a completion, which is forgotten with that; nil when it is not known.
    ///
    /// Blocks for as long as the attacks take.
    package func view(_ id: String, key: String = "") throws(WorkerViewError) -> JSON? {
        let time = now()
        let capture = kept.withLock { kept -> WorkerCapture? in
            kept.removeAll { $0.end <= time }
            guard let index = kept.firstIndex(where: { $0.id == id && $0.key == key }) else { return nil }
            return kept.remove(at: index).capture
        }
        return try capture.map { capture throws(WorkerViewError) in try view.view(of: capture) }
    }

    /// Answers `POST /scx/view {"id": …}`, on a thread of its own: attacks compute for a second or two.
    package func reply(to request: APIRequest) async throws(APIError) -> APIReply {
        guard let id = try request.body.string("id") else {
            throw request.body.error("id", "is missing")
        }
        let key = request.key
        let result = await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                continuation.resume(
                    returning: Result { () throws(WorkerViewError) in try self.view(id, key: key) })
            }
        }
        switch result {
        case .success(let view?): return .json(view)
        case .success(nil):
            throw APIError(
                status: 404, "There is no view of this answer, or no longer.", type: "invalid_request_error",
                param: "id", code: "view_not_found")
        case .failure(let error):
            throw APIError(
                status: 500, "The worker's view cannot be shown: \(error).", type: "server_error",
                code: "view_failed")
        }
    }
}
