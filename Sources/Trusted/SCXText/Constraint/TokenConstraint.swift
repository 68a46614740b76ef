/// Holds an answer to a grammar, token by token.
///
/// Before each draw, `allowed` gives the tokens that lead towards a text of the grammar, and `accept` takes the one that
/// was drawn. There is always a token to draw: where none of the vocabulary fits, the end is allowed and `isStuck` says
/// that the text is not complete.
package struct TokenConstraint: Sendable {
    private let table: TokenTable
    private let endTokens: [Int32]
    private var automaton: ByteAutomaton
    private var state: ByteAutomaton.State
    private var isAtStart: Bool
    private var hasEnded = false
    private var masks: [ByteAutomaton.State: TokenMask] = [:]

    /// Masks kept; one takes 16 KiB for a vocabulary of 128,000.
    private static let mostMasks = 48

    /// Whether no token fitted, so that the answer ends before its text is complete.
    package private(set) var isStuck = false

    /// Prepares for an answer; to make several of the same kind, copy the value.
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
        self.table = table
        self.endTokens = endTokens
        automaton = ByteAutomaton(try GrammarProgram(grammar))
        state = automaton.start
        isAtStart = atStart
    }

    /// Whether the text so far is complete: the answer may end here, or has ended.
    package var isComplete: Bool { hasEnded || automaton.isEnding(state) }

    /// Whether nothing can follow but the end.
    package var isFinal: Bool { hasEnded || automaton.isFinal(state) }

    /// The tokens that may follow.
    package mutating func allowed() -> TokenMask {
        var mask = TokenMask(capacity: table.vocabularySize)
        if !hasEnded, !automaton.isFinal(state) {
            mask = inside()
            if mask.isEmpty, !automaton.isEnding(state) { isStuck = true }
        }
        if hasEnded || isStuck || automaton.isEnding(state) {
            for token in endTokens { mask.insert(token) }
        }
        return mask
    }

    /// Takes the token that was drawn.
    ///
    /// One that was not allowed leaves the constraint stuck.
    package mutating func accept(_ token: Int32) {
        if endTokens.contains(token) {
            if !automaton.isEnding(state) { isStuck = true }
            hasEnded = true
            return
        }
        let bytes = table.bytes(of: token, atStart: isAtStart)
        if hasEnded || bytes.isEmpty { state = ByteAutomaton.dead }
        for byte in bytes { state = automaton.next(state, byte) }
        if state == ByteAutomaton.dead { isStuck = true }
        isAtStart = false
    }

    /// How many tokens of a draft may follow one another, each with more to come after it.
    ///
    /// The text stays as it is; only what is known of the grammar grows.
    package mutating func usable(_ draft: some Sequence<Int32>) -> Int {
        let before = (state, isAtStart, hasEnded, isStuck)
        defer { (state, isAtStart, hasEnded, isStuck) = before }
        var count = 0
        for token in draft {
            // A full automaton forgets its states, also the one to come back to.
            guard !automaton.isFull, allowed().contains(token) else { break }
            accept(token)
            guard !isFinal else { break }
            count += 1
        }
        return count
    }

    /// The tokens that continue the text.
    private mutating func inside() -> TokenMask {
        if automaton.isFull {
            state = automaton.forget(except: state)
            masks = [:]
        }
        if !isAtStart, let known = masks[state] { return known }
        var mask = TokenMask(capacity: table.vocabularySize)
        // Inside a string nearly all tokens are allowed, and most of them need no look.
        if automaton.takesPlain(table.longestPlain, from: state) {
            mask = table.plain
        } else {
            automaton.mark(table.plainTree, from: state, in: &mask)
        }
        automaton.mark(table.otherTree, from: state, in: &mask)
        if isAtStart {
            for token in table.startTokens { mask.remove(token) }
            automaton.mark(table.startTree, from: state, in: &mask)
        }
        for token in endTokens { mask.remove(token) }
        if !isAtStart {
            if masks.count >= Self.mostMasks { masks = [:] }
            masks[state] = mask
        }
        return mask
    }
}

extension TokenConstraint: CustomStringConvertible {
    /// Says nothing of the schema or the text, which are secrets.
    package var description: String { "constraint, complete: \(isComplete), stuck: \(isStuck)" }
}
