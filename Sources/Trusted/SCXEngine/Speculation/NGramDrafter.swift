/// Proposes what followed the same tokens before, in the prompt or the answer.
///
/// Prompt look-up, after <https://github.com/apoorvumang/prompt-lookup-decoding>: of the session's last four tokens down
/// to its last one, the longest run that occurred before counts, at its latest occurrence. It costs no computation of a
/// model, and pays where answers repeat: summaries, corrections, code, tables.
package final class NGramDrafter: Drafter {
    package let longest: Int
    private var indices: [SessionID: NGramIndex] = [:]

    /// - Parameter longest: Most tokens of a draft.
    /// - Precondition: `longest` is positive.
    package init(longest: Int) {
        precondition(longest > 0, "NGramDrafter: empty drafts")
        self.longest = longest
    }

    package func length(_ request: DraftRequest) -> Int {
        indices[request.session, default: NGramIndex()].add(request.tokens)
        return indices[request.session]?.place(after: request.tokens) == nil ? 0 : request.count
    }

    package func draft(_ requests: [DraftRequest]) -> [[Int32]] {
        requests.map { request in
            indices[request.session, default: NGramIndex()].add(request.tokens)
            guard let place = indices[request.session]?.place(after: request.tokens) else { return [] }
            // Where the occurrence is so near that the tokens after it end, the draft itself goes on.
            var draft: [Int32] = []
            for next in place..<place + request.count {
                let isDrafted = next >= request.tokens.count
                draft.append(isDrafted ? draft[next - request.tokens.count] : request.tokens[next])
            }
            return draft
        }
    }

    // An index tells the tokens, and is made again in no time.
    package func finish(_ session: SessionID) { indices[session] = nil }
    package func move(_ earlier: SessionID, to session: SessionID) { indices[earlier] = nil }
    package func forget(_ session: SessionID) { indices[session] = nil }
}

/// Where runs of up to four tokens occurred last in a list that grows at its end.
struct NGramIndex: Sendable {
    private static let longestRun = 4
    /// Bounds what a long prompt costs one step: the rest of it is added in the steps that follow.
    private static let mostAdded = 4096

    /// The place after each run's latest occurrence; a run shorter than four is filled up with -1.
    private var places: [SIMD4<Int32>: Int32] = [:]
    /// Tokens whose runs are here: all that end at or before this place.
    private var added = 0

    /// Takes up tokens that were appended since the last call, without the run that ends the list: nothing follows it yet.
    mutating func add(_ tokens: [Int32]) {
        let end = min(tokens.count - 1, added + Self.mostAdded)
        guard end > added else { return }
        for place in added + 1...end {
            for length in 1...min(Self.longestRun, place) {
                places[Self.run(tokens, endingAt: place, length)] = Int32(place)
            }
        }
        added = end
    }

    /// The place after the latest earlier occurrence of the longest run that the list ends with; nil when there is none.
    func place(after tokens: [Int32]) -> Int? {
        guard !tokens.isEmpty else { return nil }
        for length in (1...min(Self.longestRun, tokens.count)).reversed() {
            if let place = places[Self.run(tokens, endingAt: tokens.count, length)] { return Int(place) }
        }
        return nil
    }

    private static func run(_ tokens: [Int32], endingAt end: Int, _ length: Int) -> SIMD4<Int32> {
        var run = SIMD4<Int32>(repeating: -1)
        for i in 0..<length { run[i] = tokens[end - length + i] }
        return run
    }
}
