/// The parts of the protocol, in the order in which they are checked.
enum ConformanceGroup: String, CaseIterable, Sendable {
    case hello, frames, fields, ring, floats, sessions, refusals, limits, together, transport, restart

    /// What the checks of the group are about, on one line.
    var summary: String {
        switch self {
        case .hello: "the first message: its fields, other versions, other models"
        case .frames: "heads and frames that are malformed, and messages that may not come"
        case .fields: "fields and tensors of requests that are malformed"
        case .ring: "products of integers and pads, identical to the last bit"
        case .floats: "float32 products, attention and blocks, within a tolerance"
        case .sessions: "what the worker keeps in slots"
        case .refusals: "requests that do not fit the model or the slot, which change nothing"
        case .limits: "sizes and counts, at their limit and one above"
        case .together: "several sessions at once, on several connections"
        case .transport: "cut frames, shared memory, clients that go away, stop or are slow"
        case .restart: "a worker that is killed and started again (with --start)"
        }
    }
}

/// One thing that a worker must do.
struct ConformanceCheck: Sendable {
    /// Names the check for ever; hundreds are its group's.
    let number: Int
    let group: ConformanceGroup
    /// What the worker must do, on one line.
    let name: String
    /// Asks the worker, and says in a few words what was seen.
    ///
    /// It throws ``ConformanceFailure`` or a link's error when the worker does something else, and ``ConformanceSkip`` when
    /// the worker or its model has nothing to check.
    let body: @Sendable (ConformanceSubject) throws -> String

    init(
        _ number: Int, _ group: ConformanceGroup, _ name: String,
        _ body: @escaping @Sendable (ConformanceSubject) throws -> String
    ) {
        (self.number, self.group, self.name, self.body) = (number, group, name, body)
    }

    /// All checks, by their numbers.
    static let all: [ConformanceCheck] =
        hello + frames + fields + ring + floats + sessions + refusals + limits + together + transport
        + restart
}

/// What became of a check.
enum ConformanceOutcome: Equatable, Sendable {
    case passed(String)
    case failed(String)
    case skipped(String)

    /// The outcome in one word.
    var word: String {
        switch self {
        case .passed: "passed"
        case .failed: "failed"
        case .skipped: "skipped"
        }
    }

    /// What was seen, what is wrong, or why the check was not made.
    var detail: String {
        switch self {
        case .passed(let text), .failed(let text), .skipped(let text): text
        }
    }
}

/// What a worker did that the protocol does not allow.
struct ConformanceFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// Why a check was not made.
struct ConformanceSkip: Error {
    let reason: String

    init(_ reason: String) { self.reason = reason }
}

/// Throws ``ConformanceFailure`` unless a condition holds.
func demand(_ holds: Bool, _ otherwise: @autoclosure () -> String) throws {
    guard holds else { throw ConformanceFailure(otherwise()) }
}
