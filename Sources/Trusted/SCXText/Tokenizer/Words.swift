import SCXInference

/// Words as ranges of one text.
struct Words {
    private(set) var text: NormalizedText
    private(set) var ranges: [Range<Int>]

    init(_ text: NormalizedText) {
        self.text = text
        ranges = text.bytes.isEmpty ? [] : [0..<text.bytes.count]
    }

    /// Cuts every word further: `cut` gives the parts of one in order.
    mutating func cut(_ cut: (Span<UInt8>, (Range<Int>) -> Void) -> Void) {
        var parts: [Range<Int>] = []
        parts.reserveCapacity(max(ranges.count, text.bytes.count / 4))
        let bytes = text.bytes
        for range in ranges {
            cut(bytes.span.extracting(range)) { part in
                if !part.isEmpty {
                    parts.append(part.lowerBound + range.lowerBound..<part.upperBound + range.lowerBound)
                }
            }
        }
        ranges = parts
    }

    /// Splits every word at matches: `find` gives those of one in order, which may be empty.
    ///
    /// - Parameters:
    ///   - behavior: What becomes of the matches.
    ///   - isInverted: Whether what lies between counts as matches and they do not.
    ///   - find: Calls its second argument with each match.
    mutating func split(
        _ behavior: SplitBehavior, isInverted: Bool = false,
        _ find: (Span<UInt8>, (Range<Int>) -> Void) -> Void
    ) {
        var parts: [Range<Int>] = []
        parts.reserveCapacity(max(ranges.count, text.bytes.count / 4))
        let bytes = text.bytes
        for range in ranges {
            var split = SplitParts(behavior, base: range.lowerBound)
            var done = 0
            find(bytes.span.extracting(range)) { match in
                if done < match.lowerBound {
                    split.add(done..<match.lowerBound, isMatch: isInverted, to: &parts)
                }
                split.add(match, isMatch: !isInverted, to: &parts)
                done = match.upperBound
            }
            if done < range.count { split.add(done..<range.count, isMatch: isInverted, to: &parts) }
            split.finish(to: &parts)
        }
        ranges = parts
    }

    /// Rewrites every word.
    ///
    /// - Parameter rewrite: Appends the new word; gets how many bytes at the start of the old one came from the text's
    ///   first character, and gives how many of the new one did.
    mutating func rewrite(_ rewrite: (Span<UInt8>, _ first: Int, inout [UInt8]) -> Int) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.bytes.count + ranges.count)
        var rewritten: [Range<Int>] = []
        rewritten.reserveCapacity(ranges.count)
        var first = 0
        let old = text.bytes
        for range in ranges {
            let start = bytes.count
            let count = rewrite(
                old.span.extracting(range),
                max(0, min(text.firstCount, range.upperBound) - range.lowerBound), &bytes)
            if first == start { first = start + count }
            rewritten.append(start..<bytes.count)
        }
        ranges = rewritten.filter { !$0.isEmpty }
        text = NormalizedText(bytes: bytes, firstCount: first)
    }
}
