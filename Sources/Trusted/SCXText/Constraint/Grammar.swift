/// The texts that an answer may be.
///
/// A forced tool call, for example, is a sequence of the family's opening text, the schema of the arguments, and the
/// closing text.
package indirect enum Grammar: Sendable {
    case literal(String)
    case sequence([Grammar])
    case choice([Grammar])
    /// JSON that fits the schema, its members in the schema's order.
    case schema(JSONSchema)
    /// Any JSON object.
    case anyObject
    /// Any JSON value.
    case anyValue
}

/// Why answers cannot be held to a schema or grammar.
package enum ConstraintError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A keyword that is malformed, or that answers could not be held to.
    case schema(pointer: String, keyword: String, reason: String)
    /// No text is allowed at all.
    case impossible
    /// The compiled grammar has more states than are allowed.
    case tooLarge

    package var description: String {
        switch self {
        case .schema(let pointer, let keyword, let reason):
            keyword.isEmpty
                ? "the schema at \(pointer.quotedForError) \(reason)"
                : "the schema's \(keyword.quotedForError) at \(pointer.quotedForError) \(reason)"
        case .impossible: "no text can satisfy the schema"
        case .tooLarge: "the schema is too large to hold an answer to"
        }
    }
}
