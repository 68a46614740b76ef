/// Proposes the tokens that followed the session's last tokens where these occurred before, in the prompt or the
/// answer.
///
/// This is prompt look-up, after <https://github.com/apoorvumang/prompt-lookup-decoding>. It searches for the session's
/// last four tokens, then its last three, two and one, and uses the latest earlier occurrence of the longest run found.
/// It needs no model, and pays where answers repeat text: summaries, corrections, code, tables.
package final class NGramDrafter: Drafter {
    package let longest: Int
    private var indices: [SessionID: NGramIndex] = [:]

    /// - Parameter longest: The most tokens of a draft.
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
            // If the occurrence is so near the end that fewer tokens follow it than requested, the draft continues with
            // its own tokens.
            var draft: [Int32] = []
            for next in place..<place + request.count {
                let isDrafted = next >= request.tokens.count
                draft.append(isDrafted ? draft[next - request.tokens.count] : request.tokens[next])
            }
            return draft
        }
    }

    // The index tells the session's tokens and is quickly made again, so it is not kept after the answer.
    package func finish(_ session: SessionID) { indices[session] = nil }
    package func move(_ earlier: SessionID, to session: SessionID) { indices[earlier] = nil }
    package func forget(_ session: SessionID) { indices[session] = nil }
}

/// The latest occurrence of each run of one to four tokens in a list that grows at its end.
struct NGramIndex: Sendable {
    private static let longestRun = 4
    /// The most tokens added in one call, so that a long prompt does not delay a step; the next calls add the rest.
    private static let mostAdded = 4096

    /// For each run, the place after its latest occurrence; runs of fewer than four tokens are filled up with -1.
    private var places: [SIMD4<Int32>: Int32] = [:]
    /// How many tokens were added: the index has all runs that end at or before this place.
    private var added = 0

    /// Adds the runs of tokens that were appended since the last call, except the run at the list's end, which nothing
    /// follows yet.
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

    /// The place after the latest earlier occurrence of the longest run that the list ends with; nil if there is none.
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
