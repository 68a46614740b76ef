package import Crypto
import Foundation
package import SCXInference
package import SCXText
import Synchronization

/// Compiled grammars by the digests of what they were asked for, as far as their memory allows.
///
/// Answers to the same schema share one grammar, and with it the tokens that were found for its states. Only requests of the
/// same API key do: how long a schema takes would tell others that somebody uses it.
package final class GrammarCache: Sendable {
    private struct Entry {
        let grammar: CompiledGrammar
        var lastUse: Int
    }

    private struct State {
        var entries: [SHA256.Digest: Entry] = [:]
        var uses = 0
    }

    private let state = Mutex(State())
    private let mostBytes: Int
    private static let mostEntries = 256

    /// - Parameter bytes: Memory of all grammars that no answer uses; the one used last stays in any case.
    package init(bytes: Int = 8 << 20) { mostBytes = bytes }

    /// The number of grammars that are kept.
    package var count: Int { state.withLock { $0.entries.count } }

    /// A grammar that was compiled for an earlier request, or else a new one.
    ///
    /// - Parameters:
    ///   - digest: Of all that the grammar depends on.
    ///   - make: Compiles it.
    /// - Returns: The grammar.
    /// - Throws: What `make` throws.
    package func grammar(
        _ digest: SHA256.Digest, make: () throws(APIError) -> CompiledGrammar
    ) throws(APIError) -> CompiledGrammar {
        let known = state.withLock { state -> CompiledGrammar? in
            state.uses += 1
            state.entries[digest]?.lastUse = state.uses
            return state.entries[digest]?.grammar
        }
        if let known { return known }
        let grammar = try make()
        let removed = state.withLock { state -> [Entry] in
            state.uses += 1
            state.entries[digest] = Entry(grammar: grammar, lastUse: state.uses)
            return Self.shrink(&state, to: mostBytes)
        }
        // Freed after the lock is released.
        _ = removed
        return grammar
    }

    private static func shrink(_ state: inout State, to mostBytes: Int) -> [Entry] {
        var removed: [Entry] = []
        var bytes = 0
        let newestFirst = state.entries.sorted { $0.value.lastUse > $1.value.lastUse }
        for (number, entry) in newestFirst.enumerated() {
            bytes += entry.value.grammar.size
            guard number > 0, bytes > mostBytes || number >= mostEntries else { continue }
            if let entry = state.entries.removeValue(forKey: entry.key) { removed.append(entry) }
        }
        return removed
    }
}

extension ChatRequest {
    /// A digest of everything that the grammar of an answer depends on; nil for an answer that no grammar constrains.
    ///
    /// - Parameters:
    ///   - tools: Functions that the model is told of.
    ///   - syntax: How it writes thoughts and calls.
    ///   - start: Where the answer begins.
    /// - Returns: Equal for equal grammars.
    package func grammarDigest(
        tools: [JSON], syntax: AnswerSyntax, start: AnswerStart
    ) -> SHA256.Digest? {
        let mustCall = syntax.calls != nil && (toolChoice != .none && toolChoice != .auto)
        guard mustCall || format != .text else { return nil }
        var hash = SHA256()
        func add(_ text: String) {
            hash.update(data: Data("\(text.utf8.count) ".utf8))
            hash.update(data: Data(text.utf8))
        }
        add(key)
        switch format {
        case .text: add("text")
        case .jsonObject: add("object")
        case .jsonSchema(let schema): add(schema.text)
        case .choice(let texts):
            add("choice")
            for text in texts { add(text) }
        case .expression(let text):
            add("expression")
            add(text)
        }
        switch toolChoice {
        case .none: add("none")
        case .auto: add("auto")
        case .required: add("required")
        case .function(let name): add("function \(name)")
        }
        add(syntax.calls?.rawValue ?? "")
        add(syntax.reasoning.map { "\($0)" } ?? "")
        add("\(start)")
        for tool in tools { add(tool.text) }
        return hash.finalize()
    }
}
