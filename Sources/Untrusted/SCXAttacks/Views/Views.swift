public import SCXInference
public import SCXLink

/// The contents of a transcript, sorted by session, step, layer and kind; a tensor is read when it is asked for.
///
/// A transcript may come from a stranger, and may be cut short. So each message is checked against the model before
/// any attack sees it, and a request without an answer is an exchange without one. Sessions of one connection that
/// alternate between steps, or that share exchanges, are distinguished; exchanges of two steps that alternate within
/// a step are not.
public struct Views: Sendable {
    public let transcript: Transcript
    public let configuration: DecoderConfiguration
    /// The sessions that were found.
    public private(set) var sessions: [Session] = []
    /// Requests that are not exchanges of a forward pass in float32, but integers of another profile.
    public private(set) var words: [TranscriptEntry] = []

    /// Reads and sorts the transcript in a directory.
    public init(directory: String, configuration: DecoderConfiguration) throws(AttackError) {
        do throws(TranscriptError) {
            transcript = try Transcript(directory: directory)
        } catch {
            throw .transcript(error)
        }
        self.configuration = configuration
        var sorter = SessionSorter(configuration: configuration)
        var answers: [MessageKey: TranscriptEntry] = [:]
        for entry in transcript.entries where entry.direction == .sent && entry.kind != .failure {
            answers[MessageKey(entry)] = entry
        }
        for (index, entry) in transcript.entries.enumerated() where entry.direction == .received {
            if entry.isPaddedRows { words.append(entry) }
            guard case .request(let operation) = entry.detail else { continue }
            let answer = answers[MessageKey(entry)].flatMap { $0.kind == entry.kind ? $0 : nil }
            try sorter.take(entry, operation, answer: answer, message: index + 1)
        }
        sessions = sorter.finish()
    }

    /// The format of the worker's weights, if the worker said it in a hello.
    public var weights: String? {
        for entry in transcript.entries {
            if case .hello(let hello) = entry.detail, !hello.weights.isEmpty { return hello.weights }
        }
        return nil
    }

    /// The rows of a request.
    public func rows(of exchange: Exchange) throws(AttackError) -> Matrix {
        if exchange.request.elements == .uint32, exchange.isReading { return try read(exchange.request) }
        let values = try floats(exchange.request, exchange.message)
        let all = Matrix(columns: values.count / exchange.request.rows, values: values)
        let rows = exchange.rows == 0..<all.rows ? all : all.selecting(exchange.rows)
        return exchange.channels.map { rows.columns($0) } ?? rows
    }

    /// The rows of the answer; nil when the transcript has no answer.
    public func answer(of exchange: Exchange) throws(AttackError) -> Matrix? {
        if let answer = exchange.answer, answer.elements == .uint32, exchange.isReading {
            return try read(answer)
        }
        guard let answer = exchange.answer, answer.elements == .float32 || exchange.isExact else {
            return nil
        }
        let values = try exchange.isExact ? exact(answer, exchange.message) : floats(answer, exchange.message)
        let all = Matrix(columns: values.count / answer.rows, values: values)
        if let channels = exchange.answered {
            guard all.rows == 1, channels.upperBound <= all.columns else {
                throw .message(
                    exchange.message, reason: "answered by \(all.rows) x \(all.columns) numbers, too few")
            }
            return all.columns(channels)
        }
        return exchange.rows.upperBound <= all.rows && all.rows == exchange.request.rows
            ? all.selecting(exchange.rows) : all
    }

    /// The permutation of an `unlock`: for each position the number of its row.
    public func permutation(of exchange: Exchange) throws(AttackError) -> [Int] {
        if exchange.isReading { return Array(0..<exchange.request.rows) }
        do throws(TranscriptError) {
            return try transcript.words(of: exchange.request).map { Int($0) }
        } catch {
            throw .transcript(error)
        }
    }

    /// The values of an answer to an exact product, rounded to float32.
    private func exact(_ entry: TranscriptEntry, _ message: Int) throws(AttackError) -> [Float] {
        let words: [UInt32]
        do throws(TranscriptError) {
            words = try transcript.words(of: entry)
        } catch {
            throw .transcript(error)
        }
        let values = Float64Tensor(words: words, rows: entry.rows)?.values.map { Float($0) } ?? []
        guard !values.isEmpty, values.allSatisfy(\.isFinite) else {
            throw .message(message, reason: "its tensor holds values that are no numbers")
        }
        return values
    }

    private func floats(_ entry: TranscriptEntry, _ message: Int) throws(AttackError) -> [Float] {
        let values: [Float]
        do throws(TranscriptError) {
            values = try transcript.floats(of: entry)
        } catch {
            throw .transcript(error)
        }
        guard values.allSatisfy(\.isFinite) else {
            throw .message(message, reason: "its tensor holds values that are no numbers")
        }
        return values
    }
}

/// The values by which an answer is matched with its request.
private struct MessageKey: Hashable {
    let run: Int
    let connection: UInt64
    let number: UInt64

    init(_ entry: TranscriptEntry) { (run, connection, number) = (entry.run, entry.connection, entry.number) }
}

extension Session {
    /// The same conversation, of which only these steps are used.
    public init(_ session: Session, steps: [Step]) {
        self = session
        self.steps = steps
    }
}
