/// A set of texts, one of which an answer has to be; constrained decoding holds the answer to it.
///
/// A forced tool call, for example, is a sequence of the family's opening text, the schema of the arguments, and the
/// closing text. Grammars are written by this program and nest as deep as its code makes them, never as deep as a request
/// wants: what a client sent is inside of ``JSONSchema``, which is flat.
package indirect enum Grammar: Sendable {
    case literal(String)
    case sequence([Grammar])
    case choice([Grammar])
    /// Parts in this order, with the separator between those that are there.
    case list([Part], separator: String = ", ")
    /// The same so many times, with the separator between two.
    case repeated(Grammar, separator: String, atLeast: Int, atMost: Int?)
    /// JSON that fits the schema, its members in the schema's order.
    case schema(JSONSchema)
    /// Any text up to the first place where this one stands, which is not empty, and this one.
    case textUntil(String)
    /// Any JSON object.
    case anyObject
    /// Any JSON value.
    case anyValue

    /// A part of a list.
    package struct Part: Sendable {
        let grammar: Grammar
        /// Whether it has to be there.
        let isRequired: Bool
    }
}

/// Why answers cannot be held to a schema or grammar.
package enum ConstraintError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A keyword that is malformed, or that answers could not be held to.
    case schema(pointer: String, keyword: String, reason: String)
    /// A regular expression that is no part of a schema, and that answers could not be held to.
    case expression(reason: String)
    /// No text is allowed at all.
    case impossible
    /// The schema needs more than this of something that is limited.
    case overLimit(Limit, Int)
    /// Nobody wants the result any more.
    case cancelled

    /// What is limited.
    package enum Limit: Equatable, Sendable {
        /// Of the schema's text, of its JSON values.
        case bytes, values
        /// Of work to compile it, and processor time for that.
        case steps, seconds
        /// Of the compiled grammar.
        case nodes
        /// Of the automata of regular expressions.
        case states
        /// Ways to go on at one place of the grammar.
        case alternatives
        /// Ways to read the same text.
        case readings
        /// Of work to find the tokens that may follow a text, and bytes of memory for that.
        case maskSteps, maskBytes
    }

    package var description: String {
        switch self {
        case .schema(let pointer, let keyword, let reason):
            keyword.isEmpty
                ? "the schema at \(pointer.quotedForError) \(reason)"
                : "the schema's \(keyword.quotedForError) at \(pointer.quotedForError) \(reason)"
        case .expression(let reason): "the regular expression \(reason)"
        case .impossible: "no text can satisfy the schema"
        case .cancelled: "the request was cancelled"
        case .overLimit(let limit, let most): limit.description(most)
        }
    }
}

extension ConstraintError.Limit {
    fileprivate func description(_ most: Int) -> String {
        switch self {
        case .bytes: "the schema has more than \(most) bytes"
        case .values: "the schema has more than \(most) values"
        case .steps: "the schema takes more than \(most) steps of work to compile"
        case .seconds: "the schema takes more than \(most) seconds to compile"
        case .nodes: "the schema becomes a grammar of more than \(most) nodes"
        case .states:
            "a 'pattern' of the schema is too ambiguous or its repetitions multiply: more than \(most) states"
        case .alternatives: "the schema has more than \(most) alternatives at one place"
        case .readings: "the schema is too ambiguous: a text can be read in more than \(most) ways"
        case .maskSteps: "the schema is too ambiguous: more than \(most) steps of work for one token"
        case .maskBytes: "the schema is too ambiguous: more than \(most) bytes of memory for one token"
        }
    }
}
