/// Holds an answer to a grammar, token by token.
///
/// Before each draw, `allowed` gives the tokens that lead towards a text of the grammar, and `accept` takes the one that
/// was drawn. There is always a token to draw: where none of the vocabulary fits, the end is allowed and `isStuck` says
/// that the text is not complete.
///
/// Finding the tokens can take long. Whoever must not wait asks `known`, and has ``search()`` done by another thread.
package struct TokenConstraint: Sendable {
    private let grammar: CompiledGrammar
    private var states: GrammarStates
    private var state: ByteAutomaton.State
    private var isEnding: Bool
    private var isLast: Bool
    private var isAtStart: Bool
    private var hasEnded = false

    /// Whether no token fitted, so that the answer ends before its text is complete.
    package private(set) var isStuck = false
    /// Why the answer cannot go on: the grammar is too ambiguous for it.
    package private(set) var failure: ConstraintError?

    /// Begins an answer.
    ///
    /// - Parameters:
    ///   - grammar: What the answer may be.
    ///   - atStart: Whether the text begins with the answer: false when other tokens of the answer came before.
    package init(_ grammar: CompiledGrammar, atStart: Bool = true) {
        self.grammar = grammar
        states = grammar.states
        state = grammar.start
        isAtStart = atStart
        let start = grammar.start
        (isEnding, isLast) = states.look { ($0.automaton.isEnding(start), $0.automaton.isFinal(start)) }
    }

    /// Compiles a grammar for one answer; to make several of the same kind, copy the value.
    ///
    /// - Parameters:
    ///   - grammar: What the answer may be.
    ///   - table: Of the tokenizer whose tokens are drawn.
    ///   - endTokens: Tokens that end an answer; allowed only where the text may end.
    ///   - atStart: Whether the text begins with the answer: false when other tokens of the answer came before.
    /// - Throws: `ConstraintError` when the grammar allows nothing or is too large.
    package init(
        _ grammar: Grammar, table: TokenTable, endTokens: [Int32], atStart: Bool = true
    ) throws(ConstraintError) {
        self.init(try CompiledGrammar(grammar, table: table, endTokens: endTokens), atStart: atStart)
    }

    /// Whether the text so far is complete: the answer may end here, or has ended.
    package var isComplete: Bool { hasEnded || isEnding }

    /// Whether nothing can follow but the end.
    package var isFinal: Bool { hasEnded || isLast }

    /// The tokens that may follow; waits until they are found.
    package mutating func allowed() -> TokenMask {
        if let known = known() { return known }
        var search = search()
        do throws(ConstraintError) {
            while true { if let found = try search.advance() { return allowed(found) } }
        } catch { fail(error) }
        return allowed(TokenMask(capacity: grammar.table.vocabularySize))
    }

    /// The tokens that may follow, if they were found before.
    ///
    /// Never waits: it is nil when ``search()`` has to find them, and while a search holds the states.
    package mutating func known() -> TokenMask? {
        guard !hasEnded, !isLast, failure == nil else {
            return allowed(TokenMask(capacity: grammar.table.vocabularySize))
        }
        let key = MaskSearch.key(state, isAtStart)
        return states.lookIfFree { $0.masks[key] }?.map { allowed($0) }
    }

    /// A search for the tokens that may follow, which any thread can do; give what it finds to ``allowed(_:)``.
    package mutating func search() -> MaskSearch {
        forget()
        return MaskSearch(grammar, states, state, isAtStart: isAtStart)
    }

    /// The tokens that may follow, given the result of a search.
    package mutating func allowed(_ found: TokenMask) -> TokenMask {
        var mask = found
        if hasEnded || isLast { mask = TokenMask(capacity: grammar.table.vocabularySize) }
        if !hasEnded, !isEnding, mask.isEmpty { isStuck = true }
        if hasEnded || isStuck || isEnding {
            for token in grammar.endTokens { mask.insert(token) }
        }
        return mask
    }

    /// Ends the answer because its search failed.
    package mutating func fail(_ error: ConstraintError) {
        failure = error
        isStuck = true
    }

    /// Takes the token that was drawn.
    ///
    /// One that was not allowed leaves the constraint stuck.
    package mutating func accept(_ token: Int32) {
        if grammar.endTokens.contains(token) {
            if !isEnding { isStuck = true }
            hasEnded = true
            return
        }
        let bytes = grammar.table.bytes(of: token, atStart: isAtStart)
        isAtStart = false
        let from = hasEnded || bytes.isEmpty ? ByteAutomaton.dead : state
        do throws(ConstraintError) {
            (state, isEnding, isLast) = try states.look {
                (content: inout GrammarStates.Content) throws(ConstraintError)
                    -> (ByteAutomaton.State, Bool, Bool) in
                var state = from
                for byte in bytes { state = try content.automaton.next(state, byte) }
                return (state, content.automaton.isEnding(state), content.automaton.isFinal(state))
            }
        } catch {
            fail(error)
            (state, isEnding, isLast) = (ByteAutomaton.dead, false, true)
        }
        if state == ByteAutomaton.dead { isStuck = true }
    }

    /// How many tokens of a draft, in speculative decoding, the grammar allows one after the other.
    ///
    /// It counts up to the first token that is not allowed, or after which only the end may follow. The constraint stays as
    /// it is: nothing of the draft is accepted.
    package func usable(_ draft: some Sequence<Int32>) -> Int {
        var ahead = self
        var count = 0
        for token in draft {
            guard !grammar.endTokens.contains(token) else { break }
            ahead.accept(token)
            guard !ahead.isStuck, !ahead.isFinal else { break }
            count += 1
        }
        return count
    }

    /// Goes on with new states where the known ones take too much memory.
    private mutating func forget() {
        let allowance = states.allowance
        let isFull = states.look { $0.size > allowance }
        guard isFull else { return }
        let (old, new) = (states, grammar.states(inPlaceOf: states))
        guard old !== new else { return }
        let before = state
        // Newer states are always locked after older ones.
        do throws(ConstraintError) {
            state = try old.look {
                (older: inout GrammarStates.Content) throws(ConstraintError) -> ByteAutomaton.State in
                let automaton = older.automaton
                return try new.look { (newer: inout GrammarStates.Content) throws(ConstraintError) in
                    try newer.automaton.take(before, from: automaton)
                }
            }
            states = new
        } catch { fail(error) }
    }
}

extension TokenConstraint: CustomStringConvertible {
    /// Says nothing of the schema or the text, which are secrets.
    package var description: String { "constraint, complete: \(isComplete), stuck: \(isStuck)" }
}
