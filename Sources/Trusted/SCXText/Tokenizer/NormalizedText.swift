import SCXInference

/// Text that normalizers work on.
struct NormalizedText {
    var bytes: [UInt8]
    /// How many bytes at the start came from the first character of the user's text, 0 if that is not here.
    ///
    /// One kind of prefix asks for it: the package keeps where each byte came from.
    var firstCount: Int

    init(bytes: [UInt8], isFirst: Bool) {
        self.bytes = bytes
        firstCount = isFirst && !bytes.isEmpty ? bytes.span.scalar(at: 0).end : 0
    }

    init(bytes: [UInt8], firstCount: Int) {
        self.bytes = bytes
        self.firstCount = min(firstCount, bytes.count)
    }

    /// Rewrites every character; what each becomes stands where it stood.
    mutating func rewrite(_ rewrite: (Unicode.Scalar, Span<UInt8>, inout [UInt8]) -> Void) {
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count + bytes.count / 8)
        var newFirst = 0
        let old = bytes
        let span = old.span
        var at = 0
        while at < span.count {
            let (scalar, end) = span.scalar(at: at)
            rewrite(scalar, span.extracting(at..<end), &result)
            if at < firstCount { newFirst = result.count }
            at = end
        }
        self = NormalizedText(bytes: result, firstCount: newFirst)
    }
}

extension TextPattern {
    /// How many times longer a text can become in which a content takes the place of every match.
    func growth(replacedBy content: [UInt8]) -> Double {
        minimumLength == 0 ? 1 + Double(content.count) : max(1, Double(content.count) / Double(minimumLength))
    }
}

/// Puts one text in the place of parts of another, from left to right.
struct Replacing {
    private let text: NormalizedText
    private let content: [UInt8]
    private var result: [UInt8] = []
    private var done = 0
    private var newFirst: Int?

    init(_ text: NormalizedText, _ content: [UInt8]) {
        self.text = text
        self.content = content
        result.reserveCapacity(text.bytes.count)
    }

    mutating func replace(_ range: Range<Int>) {
        copy(upTo: range.lowerBound)
        // The replacement counts as standing where the last replaced character stood.
        if newFirst == nil, range.upperBound > 0, range.upperBound - 1 >= text.firstCount {
            newFirst = result.count
        }
        result += content
        done = range.upperBound
    }

    private mutating func copy(upTo end: Int) {
        if newFirst == nil, end > text.firstCount {
            newFirst = result.count + max(0, text.firstCount - done)
        }
        result += text.bytes[done..<end]
    }

    mutating func finish() -> NormalizedText {
        copy(upTo: text.bytes.count)
        return NormalizedText(bytes: result, firstCount: newFirst ?? result.count)
    }
}

extension Span<UInt8> {
    /// Calls `found` with every occurrence of a pattern (not empty), from left to right, none within another.
    func forEachOccurrence(of pattern: [UInt8], _ found: (Range<Int>) -> Void) {
        guard let first = pattern.first else { return }
        var at = 0
        while at < count {
            if self[at] == first, hasPrefix(pattern, at: at) {
                found(at..<at + pattern.count)
                at += pattern.count
            } else {
                at += 1
            }
        }
    }

    /// The bytes with every occurrence of a pattern (not empty) replaced, from left to right.
    func replacing(_ pattern: [UInt8], with content: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(count)
        var done = 0
        func copy(upTo end: Int) { for i in done..<end { result.append(self[i]) } }
        forEachOccurrence(of: pattern) { range in
            copy(upTo: range.lowerBound)
            result += content
            done = range.upperBound
        }
        copy(upTo: count)
        return result
    }
}
