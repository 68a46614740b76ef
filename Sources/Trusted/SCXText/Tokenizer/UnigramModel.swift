/// The most probable way to cut a word into tokens (Kudo 2018, "Subword Regularization", by Viterbi's algorithm).
final class UnigramModel: Sendable {
    let vocabulary: Vocabulary
    let unknown: Int32
    private let trie: ByteTrie
    /// The logarithm of each token's probability.
    private let scores: [Double]
    private let unknownScore: Double
    private let byteTokens: ByteTokens?

    /// - Parameters:
    ///   - vocabulary: The tokens, numbered as `scores` are.
    ///   - scores: Logarithms of probabilities.
    ///   - unknown: The token of characters that are none, -1 for no such token.
    ///   - byteFallback: Whether unknown text becomes byte tokens, if all of them exist.
    init(vocabulary: Vocabulary, scores: [Double], unknown: Int32, byteFallback: Bool) {
        self.vocabulary = vocabulary
        self.scores = scores
        self.unknown = unknown
        trie = ByteTrie(vocabulary)
        unknownScore = (scores.min() ?? 0) - 10
        byteTokens = byteFallback ? ByteTokens(vocabulary) : nil
    }

    struct Workspace {
        /// The best way to each place: its score, where its last token begins (-1: no way yet), and the token.
        fileprivate var best: [(score: Double, start: Int32, id: Int32)] = []
        fileprivate var pieces: [(range: Range<Int>, id: Int32)] = []
    }

    func encode(
        _ word: Span<UInt8>, _ cache: inout WordCache, _ work: inout Workspace, into ids: inout [Int32]
    ) {
        cache.tokens(of: word, into: &ids) { ids in encode(word, &work, into: &ids) }
    }

    private func encode(_ word: Span<UInt8>, _ work: inout Workspace, into ids: inout [Int32]) {
        work.best.removeAll(keepingCapacity: true)
        work.best += [(score: Double, start: Int32, id: Int32)](
            repeating: (0, -1, 0), count: word.count + 1)
        let isInterrupted = Interruption.check
        var start = 0
        var characters = 0
        while start < word.count {
            characters += 1
            if characters % 65_536 == 0, isInterrupted?() == true { return }
            let before = work.best[start].score
            let next = word.scalar(at: start).end
            var isCharacter = false
            var node = ByteTrie.root
            var at = start
            while at < word.count, let below = trie.node(below: node, word[at]) {
                node = below
                at += 1
                let id = trie.value(at: node)
                guard id >= 0 else { continue }
                if at == next { isCharacter = true }
                let score = scores[Int(id)] + before
                if work.best[at].start < 0 || score > work.best[at].score {
                    work.best[at] = (score, Int32(start), id)
                }
            }
            if !isCharacter {
                let score = unknownScore + before
                if work.best[next].start < 0 || score > work.best[next].score {
                    work.best[next] = (score, Int32(start), unknown)
                }
            }
            start = next
        }
        // From the end to the start; unknown neighbours are one piece.
        work.pieces.removeAll(keepingCapacity: true)
        var end = word.count
        while end > 0 {
            let (_, start, id) = work.best[end]
            if id == unknown, let last = work.pieces.last, last.id == unknown {
                work.pieces[work.pieces.count - 1].range = Int(start)..<last.range.upperBound
            } else {
                work.pieces.append((Int(start)..<end, id))
            }
            end = Int(start)
        }
        for (range, id) in work.pieces.reversed() {
            guard id == unknown else {
                ids.append(id)
                continue
            }
            let text = word.extracting(range)
            if let known = vocabulary.id(of: text) {
                ids.append(known)
            } else if byteTokens?.append(text, into: &ids) != true {
                ids.append(unknown)
            }
        }
    }
}
