import SCXEncoding
package import SCXInference
package import SCXProfiles

/// A small model on the trusted side, with the same vocabulary as the model for which it proposes tokens.
package final class DraftModel: Sendable {
    let embedding: TokenEmbedding
    let decoder: Decoder

    /// - Precondition: Embedding and decoder belong to one model, and the decoder has all of its blocks.
    package init(embedding: TokenEmbedding, decoder: Decoder) {
        precondition(
            embedding.vocabularySize == decoder.configuration.vocabularySize, "DraftModel: two models")
        self.embedding = embedding
        self.decoder = decoder
    }
}

/// Proposes the tokens that a small model finds likeliest, with a key-value cache of its own on the trusted side.
///
/// Drafts of several sessions are computed together: one forward pass of the small model for each token of the longest
/// draft.
package final class ModelDrafter: Drafter {
    package let longest: Int
    private let model: DraftModel
    private var states: [SessionID: State] = [:]
    private var workspace = Workspace()

    /// The most tokens of sessions' prompts that the small model computes in one step.
    ///
    /// A session has no draft until the small model has computed all of its tokens.
    private static let mostRows = 256

    /// The small model's state of one session.
    private struct State {
        let cache: KVCache
        /// The tokens in the cache; the last ones may be draft tokens.
        var tokens: [Int32] = []
        /// How many of these tokens were compared with the session's and are equal.
        var checked = 0
    }

    /// - Precondition: `longest` is positive.
    package init(_ model: DraftModel, longest: Int) {
        precondition(longest > 0, "ModelDrafter: empty drafts")
        self.model = model
        self.longest = longest
    }

    package func length(_ request: DraftRequest) -> Int {
        // The last token of a draft is proposed, but never computed by the small model.
        let room = model.decoder.configuration.maximumLength - request.tokens.count + 1
        return max(0, min(request.count, longest, room))
    }

    package func draft(_ requests: [DraftRequest]) -> [[Int32]] {
        let requests = requests.map {
            DraftRequest(session: $0.session, tokens: $0.tokens, count: length($0))
        }
        var drafts = [[Int32]](repeating: [], count: requests.count)
        do throws(KVCacheError) {
            var rows = Self.mostRows
            var work: [Work] = []
            for (index, request) in requests.enumerated() where request.count > 0 {
                let behind = catchUp(request)
                let next = Array(behind.prefix(rows))
                rows -= next.count
                guard !next.isEmpty else { continue }
                work.append(Work(index: index, tokens: next, isLast: next.count == behind.count))
            }
            while !work.isEmpty {
                let likeliest = try compute(work, requests)
                var more: [Work] = []
                for (work, token) in zip(work, likeliest) {
                    guard let token else { continue }
                    drafts[work.index].append(token)
                    guard drafts[work.index].count < requests[work.index].count else { continue }
                    more.append(Work(index: work.index, tokens: [token], isLast: true))
                }
                work = more
            }
        } catch {
            // There is no memory for the cache: the answers continue without drafts, and the caches are filled again
            // later.
            for request in requests { forget(request.session) }
        }
        return drafts
    }

    // The cache is kept: a continued conversation begins with the same tokens.
    package func finish(_ session: SessionID) {}

    package func move(_ earlier: SessionID, to session: SessionID) {
        guard var state = states.removeValue(forKey: earlier) else { return }
        state.checked = 0
        states[session] = state
    }

    package func forget(_ session: SessionID) { states[session] = nil }

    /// The tokens of one session in a forward pass of the small model.
    private struct Work {
        /// The place of the request in the list.
        let index: Int
        let tokens: [Int32]
        /// Whether to propose the token after the last of them.
        let isLast: Bool
    }

    /// Cuts the cache of a session at the first token that differs from the session's, such as a rejected draft token.
    ///
    /// - Returns: The session's tokens that are not in the cache; always at least its last one.
    private func catchUp(_ request: DraftRequest) -> ArraySlice<Int32> {
        var state = states[request.session] ?? State(cache: model.decoder.makeCache(wipes: true))
        let most = min(state.tokens.count, request.tokens.count - 1)
        var same = min(state.checked, most)
        while same < most, state.tokens[same] == request.tokens[same] { same += 1 }
        state.cache.truncate(to: same)
        state.tokens.removeSubrange(same...)
        state.checked = same
        states[request.session] = state
        return request.tokens[same...]
    }

    /// Computes tokens of several sessions in one forward pass.
    ///
    /// - Returns: For each entry with `isLast` the likeliest next token; nil for the others.
    private func compute(_ work: [Work], _ requests: [DraftRequest]) throws(KVCacheError) -> [Int32?] {
        var segments: [CacheSegment] = []
        for work in work {
            let session = requests[work.index].session
            guard let state = states[session] else { preconditionFailure("ModelDrafter: no such session") }
            segments.append(
                CacheSegment(cache: state.cache, position: state.tokens.count, rows: work.tokens.count))
        }
        var hidden = model.embedding.rows(
            of: zip(work, segments).map { ($0.tokens[...], $1.position, [Int32]()) })
        do {
            var values = hidden.values
            try model.decoder.run(
                blocks: 0..<model.decoder.configuration.blockCount, on: &values, segments: segments,
                workspace: &workspace)
        }
        for work in work { states[requests[work.index].session]?.tokens += work.tokens }
        var wanted: [Int] = []
        var end = 0
        for work in work {
            end += work.tokens.count
            if work.isLast { wanted.append(end - 1) }
        }
        guard !wanted.isEmpty else { return work.map { _ in nil } }
        let logits = model.decoder.logits(hidden.selecting(wanted).span, workspace: &workspace)
        let vocabulary = model.decoder.configuration.vocabularySize
        var row = 0
        return work.map { work in
            guard work.isLast else { return nil }
            defer { row += 1 }
            let own = logits.span.extracting(row * vocabulary..<(row + 1) * vocabulary)
            var best = 0
            for token in 1..<vocabulary where own[token] > own[best] { best = token }
            return Int32(best)
        }
    }
}
