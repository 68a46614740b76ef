import SCXInference

/// A way to recover prompts and answers from what a worker saw.
///
/// An attack gets the transcript, the public model and what everybody knows of the text, and nothing else: this
/// module cannot name a key.
public protocol Attack: Sendable {
    /// The name by which it is chosen on the command line.
    var name: String { get }

    /// Attacks one session.
    ///
    /// - Throws: ``AttackError/nothingToAttack(_:)`` when the session has nothing of the kind that the attack uses.
    func run(on target: Target) throws(AttackError) -> Findings
}

/// What an attack is given.
public struct Target: Sendable {
    public let model: PublicModel
    public let views: Views
    /// The session under attack.
    public var session: Session
    /// Tokens that everybody knows, by position: the beginning of the text, and the marks of the chat template.
    public var known: [Int: Int32]
    /// Sessions of the attacker's own, all of whose tokens it knows.
    public var own: [(session: Session, tokens: [Int32])] = []

    public init(model: PublicModel, views: Views, session: Session, known: [Int: Int32] = [:]) {
        self.model = model
        self.views = views
        self.session = session
        self.known = known.filter { $0.key >= 0 && (0..<model.vocabularySize).contains(Int($0.value)) }
        if let begin = model.configuration.beginOfSequence, self.known.isEmpty {
            self.known[0] = Int32(clamping: begin)
        }
    }

    var configuration: DecoderConfiguration { model.configuration }
}

/// What an attack found.
public struct Findings: Sendable {
    /// For a position the tokens that may be there, the most likely first.
    public var positions: [Int: [Int32]] = [:]
    /// For each row whose position is unknown the tokens that it may be, the most likely first; redundant rows are
    /// included.
    public var bag: [[Int32]] = []
    /// Results that are not tokens: test statistics, counts, advantages.
    public var measures: [Measure] = []
    /// Guesses of numbers that only the trusted side knows for certain, such as lengths.
    public var guesses: [NumberGuess] = []
    /// How many candidates the attack tried.
    public var candidatesTried = 0
    public var seconds = 0.0

    public init() {}

    /// The most likely token of each position, in order; nil where none was found.
    public func text(length: Int) -> [Int32?] { (0..<max(0, length)).map { positions[$0]?.first } }

    /// The most likely tokens whose position is unknown.
    public var tokens: [Int32] { bag.compactMap(\.first) }
}

/// An attack's guess of a number that only the trusted side knows.
public struct NumberGuess: Equatable, Sendable {
    /// What the number is.
    public enum Name: String, CaseIterable, Sendable {
        case sessions
        case promptTokens = "prompt tokens"
        case promptTokensByTime = "prompt tokens, by time"
        case answerTokens = "answer tokens"
        case answerTokensByDrafts = "answer tokens, by drafts"
        case acceptedTokens = "accepted tokens"
    }

    public let name: Name
    /// The guess.
    public let best: Double
    /// The range in which the number must be, according to the transcript; nil when that is not known.
    public let range: ClosedRange<Int>?

    public init(_ name: Name, _ best: Double, in range: ClosedRange<Int>? = nil) {
        (self.name, self.best, self.range) = (name, best, range)
    }
}

/// A number that an attack measured.
public struct Measure: Equatable, Sendable {
    public let name: String
    public let value: Double
    /// The range in which the number is by chance in 95 % of cases; nil when there is no such range.
    public let chance: ClosedRange<Double>?

    public init(_ name: String, _ value: Double, chance: ClosedRange<Double>? = nil) {
        (self.name, self.value, self.chance) = (name, value, chance)
    }

    /// Whether the number is in the range of chance.
    public var isChance: Bool { chance?.contains(value) ?? false }
}

extension Attack {
    /// Runs the attack and measures its time.
    public func execute(on target: Target) throws(AttackError) -> Findings {
        let start = ContinuousClock.now
        var findings = try run(on: target)
        let elapsed = (ContinuousClock.now - start).components
        findings.seconds = Double(elapsed.seconds) + Double(elapsed.attoseconds) * 1e-18
        return findings
    }
}

extension Findings {
    /// Adds the tokens that were found for rows whose positions are known.
    mutating func add(_ matches: [[RowIndex.Match]], positions: some Collection<Int>) {
        for (position, row) in zip(positions, matches) {
            self.positions[position] = row.map { Int32($0.row) }
        }
    }
}
