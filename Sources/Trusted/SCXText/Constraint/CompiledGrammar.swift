import Synchronization

/// Memory that the states of all grammars share.
///
/// A grammar's states, and the tokens that each allows, are found while answers are written. Each grammar in use gets an
/// equal part of the memory, and forgets its states when they take more.
package final class GrammarMemory: Sendable {
    private let bytes: Int
    private let least: Int
    private let most: Int
    private let users = Atomic<Int>(0)

    /// Shares memory.
    ///
    /// - Parameters:
    ///   - bytes: All of it.
    ///   - least: What a grammar gets however many there are.
    ///   - most: What a grammar gets when there are few.
    package init(bytes: Int = 256 << 20, least: Int = 1 << 20, most: Int = 16 << 20) {
        (self.bytes, self.least, self.most) = (bytes, least, most)
    }

    /// For all grammars of the program.
    package static let shared = GrammarMemory()

    /// Bytes that the states of one grammar may take.
    var allowance: Int {
        min(max(bytes / max(1, users.load(ordering: .relaxed)), least), most)
    }

    func join() { users.add(1, ordering: .relaxed) }
    func leave() { users.subtract(1, ordering: .relaxed) }
}

/// What is known of a grammar's states, and of the tokens that may follow them.
///
/// Answers of the same grammar share it. Whoever looks for tokens holds the lock for short times only, and lets those first
/// who want to look something up.
final class GrammarStates: Sendable {
    struct Content: Sendable {
        var automaton: ByteAutomaton
        /// Of states, those before an answer's first token apart: by `state << 1 | isAtStart`.
        var masks: [Int64: TokenMask] = [:]
        private(set) var maskBytes = 0

        mutating func keep(_ mask: TokenMask, _ key: Int64, most: Int) {
            let bytes = 8 * mask.words.count + 64
            if maskBytes + bytes > most { (masks, maskBytes) = ([:], 0) }
            if masks.updateValue(mask, forKey: key) == nil { maskBytes += bytes }
        }

        var size: Int { automaton.size + maskBytes }
    }

    private let content: Mutex<Content>
    private let waiting = Atomic<Int>(0)
    private let memory: GrammarMemory

    init(_ automaton: ByteAutomaton, _ memory: GrammarMemory) {
        content = Mutex(Content(automaton: automaton))
        self.memory = memory
        memory.join()
    }

    deinit { memory.leave() }

    var allowance: Int { memory.allowance }

    /// Does what takes no time.
    func look<Result: Sendable, Failure: Error>(
        _ body: (inout Content) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        waiting.add(1, ordering: .relaxed)
        defer { waiting.subtract(1, ordering: .relaxed) }
        return try content.withLock { (content) throws(Failure) in try body(&content) }
    }

    /// Does what takes no time, unless somebody else has the states just now.
    ///
    /// - Returns: Nil when somebody else has them.
    func lookIfFree<Result: Sendable>(_ body: (inout Content) -> Result) -> Result? {
        content.withLockIfAvailable { content in body(&content) }
    }

    /// Does a part of something long, when nobody looks.
    func work<Result: Sendable, Failure: Error>(
        _ body: (inout Content) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        return try content.withLock { (content) throws(Failure) in try body(&content) }
    }

    /// Whether somebody waits to look.
    var isWanted: Bool { waiting.load(ordering: .relaxed) > 0 }
}

/// A grammar compiled for one tokenizer, which tells which tokens may follow a text.
///
/// Compiling one takes time; all answers of the same grammar share it, and with it what is found out about its states.
package final class CompiledGrammar: Sendable {
    let program: GrammarProgram
    let table: TokenTable
    let endTokens: [Int32]
    let mostSteps: Int
    private let fresh: ByteAutomaton
    private let memory: GrammarMemory
    private let current: Mutex<GrammarStates>

    /// Compiles a grammar.
    ///
    /// - Parameters:
    ///   - grammar: What an answer may be.
    ///   - table: Of the tokenizer whose tokens are drawn.
    ///   - endTokens: Tokens that end an answer; allowed only where the text may end.
    ///   - budget: Pays for the work.
    ///   - memory: Has room for the grammar's states.
    ///   - mostSteps: Work for one token of an answer, after which the grammar counts as too ambiguous.
    /// - Throws: `ConstraintError` when the grammar allows nothing, costs too much or is too ambiguous.
    package init(
        _ grammar: Grammar, table: TokenTable, endTokens: [Int32], budget: CompilationBudget = .init(),
        memory: GrammarMemory = .shared, mostSteps: Int = MaskSearch.mostSteps
    ) throws(ConstraintError) {
        self.table = table
        self.endTokens = endTokens
        self.memory = memory
        self.mostSteps = mostSteps
        program = try GrammarProgram(grammar, budget)
        try program.checkReadings(budget)
        fresh = try ByteAutomaton(program)
        current = Mutex(GrammarStates(fresh, memory))
    }

    /// Bytes of memory that it takes now, about.
    package var size: Int {
        program.size + states.look { $0.size }
    }

    /// What is known of the states.
    var states: GrammarStates { current.withLock { $0 } }

    /// New states in the place of others that take too much memory.
    func states(inPlaceOf full: GrammarStates) -> GrammarStates {
        current.withLock { current in
            if current === full { current = GrammarStates(fresh, memory) }
            return current
        }
    }

    /// The state of the empty text.
    var start: ByteAutomaton.State { fresh.start }
}
