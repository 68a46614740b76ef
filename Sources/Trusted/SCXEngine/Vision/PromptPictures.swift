import SCXEncoding
import SCXImages
import SCXInference
import SCXProfiles

/// The pictures of a prompt: their pixels until they are computed, then the rows that take the place of tokens.
///
/// The rows stay with the session until it ends, so that a prompt can be computed again, on another worker too.
struct PromptPictures: Sendable {
    /// Consecutive tokens of the prompt that stand for pictures.
    let runs: [Range<Int>]
    /// For each picture the digest of its pixels, and the prompt's tokens that stand for it.
    let places: [PicturePlace]
    /// Whether the tokens of a run attend to each other in both directions.
    let isMutual: Bool
    private let pixels: [ImagePixels]
    private let rowsPerPicture: Int
    private let pixelsPerPicture: Int
    private let channels: Int
    /// How many pictures were computed.
    private var computed = 0
    private var values: [Float] = []
    private(set) var rows: PictureRows?

    /// Takes the pictures of a prompt, which were checked.
    init(_ pixels: [ImagePixels], prompt: [Int32], _ model: PictureModel) {
        self.pixels = pixels
        let each = model.tower.tokensPerPicture
        rowsPerPicture = each
        pixelsPerPicture = model.pixelsPerPicture
        channels = model.channels
        isMutual = model.tokens?.isMutual ?? false
        let runs = model.tokens.map { Self.runs(of: Int32($0.token), in: prompt) } ?? []
        self.runs = runs
        let digests = pixels.flatMap { given in
            (0..<given.count).map { PictureDigest(given.values[Self.part($0, given)]) }
        }
        guard each > 0 else {
            places = []
            return
        }
        let tokens = Array(runs.joined())
        places = digests.enumerated().map { index, digest in
            let own = tokens[index * each..<(index + 1) * each]
            return PicturePlace(first: own.first ?? 0, last: own.last ?? 0, digest: digest)
        }
    }

    /// The places of a token in a prompt, those one after the other as one.
    static func runs(of token: Int32, in prompt: [Int32]) -> [Range<Int>] {
        var runs: [Range<Int>] = []
        for (index, other) in prompt.enumerated() where other == token {
            if let last = runs.last, last.upperBound == index {
                runs[runs.count - 1] = last.lowerBound..<index + 1
            } else {
                runs.append(index..<index + 1)
            }
        }
        return runs
    }

    /// How many pictures there are.
    var count: Int { pixels.reduce(0) { $0 + $1.count } }

    /// Whether all pictures were computed.
    var isComputed: Bool { computed == count }

    /// Whether rows of pictures are wanted, when so many tokens of the prompt are computed already.
    func isNeeded(after count: Int) -> Bool { places.isEmpty || places.contains { $0.last >= count } }

    /// The pixels of the next picture that was not computed; nil when there is none.
    var next: ArraySlice<Float>? {
        var left = computed
        for given in pixels {
            if left < given.count { return given.values[Self.part(left, given)] }
            left -= given.count
        }
        return nil
    }

    private static func part(_ index: Int, _ given: ImagePixels) -> Range<Int> {
        let size = given.values.count / given.count
        return index * size..<(index + 1) * size
    }

    /// Takes what was computed of the next picture.
    mutating func take(_ result: [Float]) {
        values += result
        computed += 1
        guard isComputed, rowsPerPicture > 0 else { return }
        var rows = Plaintext(rows: values.count / channels, channels: channels)
        var span = rows.values
        for i in values.indices { span[i] = values[i] }
        self.rows = PictureRows(rows)
        erase(&values)
    }

    /// The vectors of all pictures, one after the other, of a model that takes pictures alone.
    var vectors: [Float] { values }

    /// The rows for some tokens of the prompt and what follows it; nil where none of them stands for a picture.
    func inserted(_ tokens: Range<Int>) -> InsertedRows? {
        guard let rows, runs.contains(where: { $0.overlaps(tokens) }) else { return nil }
        var places = [Int?](repeating: nil, count: tokens.count)
        var first = 0
        for run in runs {
            for index in run.clamped(to: tokens) {
                places[index - tokens.lowerBound] = first + index - run.lowerBound
            }
            first += run.count
        }
        return InsertedRows(rows, places: places)
    }

    /// Where a segment of the prompt that begins at `first` must end: before the next run whose tokens attend to each
    /// other in both directions, or after the run that begins there.
    ///
    /// - Returns: The end, and whether the segment is such a run.
    func end(of segment: Range<Int>) -> (end: Int, isMutual: Bool) {
        guard isMutual, let run = runs.first(where: { $0.upperBound > segment.lowerBound }) else {
            return (segment.upperBound, false)
        }
        // Only what was reused could begin inside of a run, and it is cut back to the beginning of one.
        precondition(
            run.lowerBound >= segment.lowerBound, "PromptPictures: a segment that begins inside of a picture")
        if run.lowerBound == segment.lowerBound { return (run.upperBound, true) }
        return (min(segment.upperBound, run.lowerBound), false)
    }

    /// The number of tokens, at most `count`, after which a prompt can go on.
    func start(atMost count: Int) -> Int {
        guard isMutual, let run = runs.first(where: { $0.contains(count) }) else { return count }
        return run.lowerBound
    }
}

/// The tokens that stand for a picture, and which picture it is.
struct PicturePlace: Equatable, Sendable {
    let first: Int
    let last: Int
    let digest: PictureDigest

    /// How many tokens at the beginning of two lists are the same, when the pictures in their places are too.
    ///
    /// - Parameters:
    ///   - tokens: How many tokens are equal.
    ///   - first: The pictures of one list, in order.
    ///   - second: Those of the other.
    ///   - isMutual: Whether the tokens of adjacent pictures attend to each other in both directions.
    /// - Returns: At most `tokens`; it ends before the first picture that is not the same, or not in the same place.
    static func common(
        _ tokens: Int, _ first: [PicturePlace], _ second: [PicturePlace], isMutual: Bool
    ) -> Int {
        let same = zip(first, second).prefix { $0 == $1 }.count
        let others = [first, second].compactMap { list -> Int? in
            guard same < list.count else { return nil }
            var start = same
            // Pictures directly before the first other one have seen it.
            while isMutual, start > 0, list[start - 1].last + 1 == list[start].first { start -= 1 }
            return list[start].first
        }
        return min(tokens, others.min() ?? tokens)
    }
}
