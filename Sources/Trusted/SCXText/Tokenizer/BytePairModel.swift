import SCXInference

/// Byte-pair encoding: joins the characters of a word, the earliest learnt merge first.
final class BytePairModel: Sendable {
    /// What stands for a character that is no token.
    struct Unknown: Sendable {
        var id: Int32?
        /// Whether neighbours become one unknown token.
        var fuse: Bool
    }

    /// What is written before every character but a word's first, and after its last.
    struct Affixes: Sendable {
        var prefix: [UInt8] = []
        var suffix: [UInt8] = []

        var isEmpty: Bool { prefix.isEmpty && suffix.isEmpty }
    }

    let vocabulary: Vocabulary
    let merges: MergeTable
    let unknown: Unknown
    /// What marks characters inside of a word and at its end, both empty in most vocabularies.
    let affixes: Affixes
    /// Whether a word that is a token as it stands is taken whole.
    let ignoreMerges: Bool
    /// Used for unknown characters, where the file asks for it.
    let byteTokens: ByteTokens?
    /// Whether words are bytes (written in the byte alphabet) instead of characters.
    let bytewise: Bool
    /// Whether no merge crosses from another character into "▁", so that long text may be cut there.
    let cutsBeforeMeta: Bool
    /// The tokens of single ASCII characters, or of single bytes where `bytewise`; -1 for none.
    private let single: [Int32]

    static let meta: [UInt8] = Array("\u{2581}".utf8)

    init(
        vocabulary: Vocabulary, merges: MergeTable, unknown: Unknown, affixes: Affixes, ignoreMerges: Bool,
        byteFallback: Bool, bytewise: Bool, cutsBeforeMeta: Bool
    ) {
        self.vocabulary = vocabulary
        self.merges = merges
        self.unknown = unknown
        self.affixes = affixes
        self.ignoreMerges = ignoreMerges
        self.bytewise = bytewise
        self.cutsBeforeMeta =
            cutsBeforeMeta && affixes.isEmpty && vocabulary.id(of: Self.meta.span) != nil
        single = (0..<256).map { byte in
            let text = bytewise ? ByteAlphabet.texts[byte] : byte < 0x80 ? [UInt8(byte)] : []
            return vocabulary.id(of: text.span) ?? -1
        }
        byteTokens = byteFallback ? ByteTokens(vocabulary) : nil
    }

    /// Whether no character of a word can be unknown: words are bytes, and each byte is a token.
    var knowsAllCharacters: Bool { bytewise && affixes.isEmpty && single.allSatisfy { $0 >= 0 } }

    /// Room for one word, used again for the next.
    struct Workspace {
        var symbols: [Int32] = []
        var joins: [UInt64] = []
        var text: [UInt8] = []
        var long = LongWord()
    }

    /// Appends the tokens of one word.
    func encode(
        _ word: Span<UInt8>, _ cache: inout WordCache, _ work: inout Workspace, into ids: inout [Int32]
    ) {
        var start = 0
        while cutsBeforeMeta, !ignoreMerges, let cut = nextCut(in: word, after: start) {
            let part = word.extracting(start..<cut)
            cache.tokens(of: part, into: &ids) { ids in join(part, &work, into: &ids) }
            start = cut
        }
        let part = word.extracting(start..<word.count)
        cache.tokens(of: part, into: &ids) { ids in
            if ignoreMerges, let id = wholeToken(part, &work) {
                ids.append(id)
            } else {
                join(part, &work, into: &ids)
            }
        }
    }

    /// Where the next "▁" stands that does not follow another.
    private func nextCut(in word: Span<UInt8>, after start: Int) -> Int? {
        var at = start
        var afterMeta = true
        while at + 2 < word.count {
            let isMeta = word[at] == 0xE2 && word[at + 1] == 0x96 && word[at + 2] == 0x81
            if isMeta, !afterMeta { return at }
            afterMeta = isMeta
            at += isMeta ? 3 : 1
        }
        return nil
    }

    private func join(_ part: Span<UInt8>, _ work: inout Workspace, into ids: inout [Int32]) {
        symbols(of: part, &work)
        if work.symbols.count <= 64 { joinShort(&work) } else { work.long.join(&work.symbols, merges) }
        ids.append(contentsOf: work.symbols)
    }

    private func wholeToken(_ word: Span<UInt8>, _ work: inout Workspace) -> Int32? {
        guard bytewise else { return vocabulary.id(of: word) }
        work.text.removeAll(keepingCapacity: true)
        for i in word.indices { work.text.append(contentsOf: ByteAlphabet.texts[Int(word[i])]) }
        return vocabulary.id(of: work.text.span)
    }

    /// Turns the characters of a word into tokens, before any merge.
    private func symbols(of word: Span<UInt8>, _ work: inout Workspace) {
        work.symbols.removeAll(keepingCapacity: true)
        // As in `tokenizers`, a pending unknown token waits for the next known character, and bytes overtake it.
        var pending = false
        var at = 0
        while at < word.count {
            let byte = word[at]
            let start = at
            at = bytewise || byte < 0x80 ? at + 1 : word.scalar(at: at).end
            let id: Int32
            if affixes.isEmpty, at == start + 1 {
                id = single[Int(byte)]
            } else if affixes.isEmpty {
                id = vocabulary.id(of: word.extracting(start..<at)) ?? -1
            } else {
                write(start..<at, of: word, &work)
                id = vocabulary.id(of: work.text.span) ?? -1
            }
            if id >= 0 {
                if pending, let unknown = unknown.id { work.symbols.append(unknown) }
                pending = false
                work.symbols.append(id)
                continue
            }
            if let byteTokens {
                write(start..<at, of: word, &work)
                let text = work.text
                if byteTokens.append(text.span, into: &work.symbols) { continue }
            }
            if let id = unknown.id {
                if pending, !unknown.fuse { work.symbols.append(id) }
                pending = true
            }
        }
        if pending, let id = unknown.id { work.symbols.append(id) }
    }

    /// Writes a character as the vocabulary does, into `work.text`.
    private func write(_ range: Range<Int>, of word: Span<UInt8>, _ work: inout Workspace) {
        work.text.removeAll(keepingCapacity: true)
        if range.lowerBound > 0 { work.text += affixes.prefix }
        for i in range {
            if bytewise {
                work.text += ByteAlphabet.texts[Int(word[i])]
            } else {
                work.text.append(word[i])
            }
        }
        if range.upperBound == word.count { work.text += affixes.suffix }
    }

    /// Joins symbols by looking for the first merge again and again: best for words of usual length.
    private func joinShort(_ work: inout Workspace) {
        var count = work.symbols.count
        guard count > 1 else { return }
        work.joins.removeAll(keepingCapacity: true)
        for i in 0..<count - 1 { work.joins.append(merges.value(work.symbols[i], work.symbols[i + 1])) }
        while true {
            var best = MergeTable.none
            var at = 0
            for i in 0..<count - 1 where work.joins[i] < best {
                best = work.joins[i]
                at = i
            }
            guard best != MergeTable.none else { break }
            work.symbols[at] = Int32(truncatingIfNeeded: best)
            count -= 1
            for i in at + 1..<max(count, at + 1) { work.symbols[i] = work.symbols[i + 1] }
            for i in at..<max(count - 1, at) { work.joins[i] = work.joins[i + 1] }
            if at > 0 { work.joins[at - 1] = merges.value(work.symbols[at - 1], work.symbols[at]) }
            if at < count - 1 { work.joins[at] = merges.value(work.symbols[at], work.symbols[at + 1]) }
        }
        work.symbols.removeLast(work.symbols.count - count)
    }
}

/// Joins the symbols of a long word with a heap of possible merges, in time n log n.
struct LongWord {
    /// `rank << 32 | position` of the left symbol, the least on top.
    private var heap: [UInt64] = []
    private var next: [Int32] = []
    private var previous: [Int32] = []

    mutating func join(_ symbols: inout [Int32], _ merges: MergeTable) {
        precondition(symbols.count < Int32.max, "a word of \(symbols.count) symbols")
        let count = symbols.count
        next = (0..<count).map { $0 + 1 < count ? Int32($0 + 1) : -1 }
        previous = (0..<count).map { Int32($0 - 1) }
        heap.removeAll(keepingCapacity: true)
        for i in 0..<count - 1 { push(merges.value(symbols[i], symbols[i + 1]), at: i) }
        let isInterrupted = Interruption.check
        var joins = 0
        while let top = pop() {
            joins += 1
            if joins % 65_536 == 0, isInterrupted?() == true { break }
            let left = Int(top & 0xFFFF_FFFF)
            // An entry is out of date if its left symbol is gone or the pair there is another by now.
            guard symbols[left] >= 0, next[left] >= 0 else { continue }
            let right = Int(next[left])
            let join = merges.value(symbols[left], symbols[right])
            guard join >> 32 == top >> 32, join != MergeTable.none else { continue }
            symbols[left] = Int32(truncatingIfNeeded: join)
            symbols[right] = -1
            next[left] = next[right]
            if next[left] >= 0 {
                previous[Int(next[left])] = Int32(left)
                push(merges.value(symbols[left], symbols[Int(next[left])]), at: left)
            }
            if previous[left] >= 0 {
                let before = Int(previous[left])
                push(merges.value(symbols[before], symbols[left]), at: before)
            }
        }
        symbols.removeAll { $0 < 0 }
    }

    private mutating func push(_ join: UInt64, at position: Int) {
        guard join != MergeTable.none else { return }
        let entry = join & 0xFFFF_FFFF_0000_0000 | UInt64(position)
        var child = heap.count
        heap.append(entry)
        while child > 0 {
            let parent = (child - 1) / 2
            guard entry < heap[parent] else { break }
            heap[child] = heap[parent]
            child = parent
        }
        heap[child] = entry
    }

    private mutating func pop() -> UInt64? {
        guard let top = heap.first, let last = heap.popLast() else { return nil }
        let count = heap.count
        guard count > 0 else { return top }
        var parent = 0
        while true {
            var child = 2 * parent + 1
            guard child < count else { break }
            if child + 1 < count, heap[child + 1] < heap[child] { child += 1 }
            guard heap[child] < last else { break }
            heap[parent] = heap[child]
            parent = child
        }
        heap[parent] = last
        return top
    }
}
