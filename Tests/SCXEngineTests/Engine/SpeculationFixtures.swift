import Foundation
import SCXEngine
import SCXLink
import SCXProfiles
import SCXText

/// A model whose next token depends on the last two, so that what it says repeats, with a chance for others.
final class PatternForwardPass: ForwardPass {
    let vocabulary: Int
    /// Tokens that are likelier than others everywhere, so that texts of a vocabulary make some sense.
    private let favoured: [Int]
    private var histories: [Slot: [Int32]] = [:]
    /// The rows of each step.
    private(set) var steps: [Int] = []
    /// What steps end with, by their numbers.
    var failures: [Int: LinkError] = [:]
    var traffic = Traffic()

    init(vocabulary: Int = 50, favoured: [Int] = []) {
        self.vocabulary = vocabulary
        self.favoured = favoured
    }

    func compute(_ segments: [BatchSegment]) throws(LinkError) -> [[Float]] {
        steps.append(segments.reduce(0) { $0 + $1.tokens.count })
        if let failure = failures[steps.count] {
            if failure.losesWorker { histories = [:] }
            throw failure
        }
        var results: [[Float]] = []
        for segment in segments {
            var history = histories[segment.slot] ?? []
            guard segment.position <= history.count else { throw .invalidRequest("a gap") }
            history = Array(history.prefix(segment.position))
            var result: [Float] = []
            for token in segment.tokens {
                history.append(token)
                if segment.output == .allLogits { result += logits(after: history) }
            }
            if segment.output == .lastLogits { result = logits(after: history) }
            histories[segment.slot] = history
            results.append(result)
        }
        return results
    }

    func end(_ slot: Slot) { histories[slot] = nil }

    private func logits(after history: [Int32]) -> [Float] {
        let two = history.suffix(2).reduce(UInt64(0)) { $0 &* 8_191 &+ UInt64($1) &+ 3 }
        var random = RandomBits(seed: two)
        var logits = (0..<vocabulary).map { _ in Float(random.unit()) }
        let pool = favoured.isEmpty ? Array(0..<vocabulary) : favoured
        for bonus in 3...6 { logits[pool[Int(random.next() % UInt64(pool.count))]] += Float(bonus) }
        return logits
    }
}

/// Proposes the tokens of answers that are known, some of them wrong.
final class ScriptedDrafter: Drafter {
    let longest: Int
    private let texts: [[Int32]]
    /// Chance of a wrong token.
    private let errors: Double
    private let vocabulary: Int32
    private var random = RandomBits(seed: 5)
    private(set) var ended: Set<SessionID> = []

    /// Proposes what follows in `texts`, prompts with their answers.
    init(longest: Int, texts: [[Int32]], errors: Double, vocabulary: Int) {
        (self.longest, self.texts, self.errors) = (longest, texts, errors)
        self.vocabulary = Int32(vocabulary)
    }

    func length(_ request: DraftRequest) -> Int { request.count }

    func draft(_ requests: [DraftRequest]) -> [[Int32]] {
        requests.map { request in
            let text = texts.first { $0.starts(with: request.tokens) } ?? []
            return (0..<request.count).map { place in
                let right = text.dropFirst(request.tokens.count + place).first ?? 0
                return random.unit() < errors ? (right + 1) % vocabulary : right
            }
        }
    }

    func finish(_ session: SessionID) { ended.insert(session) }
    func move(_ earlier: SessionID, to session: SessionID) {}
    func forget(_ session: SessionID) {}
}

/// What a session said, all of it.
struct Transcript: Equatable {
    var tokens: [SampledToken] = []
    var pieces: [String] = []
    var finished: FinishReason?
    var stopText: String?
    /// Counts of its last event.
    var speculation = SpeculationUse()

    var ids: [Int32] { tokens.map(\.id) }

    mutating func add(_ event: SessionEvent) {
        if let token = event.token { tokens.append(token) }
        pieces.append(event.text)
        finished = event.finished
        stopText = event.stopText
        speculation = event.usage.speculation
    }

    static func == (a: Transcript, b: Transcript) -> Bool { a.agrees(with: b, within: 0) }

    /// Whether both say the same, with log-probabilities that differ by no more than `tolerance`.
    func agrees(with other: Transcript, within tolerance: Float) -> Bool {
        guard ids == other.ids, pieces == other.pieces, finished == other.finished, stopText == other.stopText
        else { return false }
        if tolerance == 0 { return tokens == other.tokens }
        return zip(tokens, other.tokens).allSatisfy { abs($0.logprob - $1.logprob) <= tolerance }
    }
}

extension Engine {
    /// The transcripts of requests that run together, in their order; each begins so many steps after the one before.
    func transcripts(_ requests: [GenerationRequest], apart: Int = 0) throws -> [Transcript] {
        var transcripts: [SessionID: Transcript] = [:]
        func steps(_ count: Int) throws {
            var left = count
            while left > 0, !isIdle {
                left -= 1
                for event in try step() { transcripts[event.session, default: .init()].add(event) }
            }
        }
        var ids: [SessionID] = []
        for request in requests {
            ids.append(try submit(request))
            try steps(apart)
        }
        try steps(.max)
        return ids.map { transcripts[$0] ?? .init() }
    }
}

/// The model that comes with the package, for its tokenizer.
enum BundledTokenizer {
    static let shared = Result {
        var folder = URL(fileURLWithPath: #filePath)
        while !FileManager.default.fileExists(atPath: folder.appending(path: "Models/ward-3m").path),
            folder.path != "/"
        {
            folder.deleteLastPathComponent()
        }
        return try Tokenizer(directory: folder.appending(path: "Models/ward-3m").path)
    }
}
