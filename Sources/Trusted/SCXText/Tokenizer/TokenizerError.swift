/// Why the files of a tokenizer were refused.
package enum TokenizerError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The file is missing, too large or not readable.
    case unreadable(file: String, reason: String)
    /// The file is no JSON, lacks a part, or contradicts itself.
    case malformed(file: String, reason: String)
    /// The file asks for something that exists elsewhere but not here.
    case unsupported(file: String, what: String)

    package var description: String {
        switch self {
        case .unreadable(let file, let reason), .malformed(let file, let reason): "\(file): \(reason)"
        case .unsupported(let file, let what): "\(file): unsupported \(what)"
        }
    }
}

extension StringProtocol {
    /// The text as an error shows it: quoted, on one line, not endless.
    var quotedForError: String {
        var quoted = "'"
        for scalar in unicodeScalars.prefix(80) { quoted += scalar.escaped(asASCII: false) }
        return quoted + (unicodeScalars.dropFirst(80).isEmpty ? "'" : "…'")
    }
}
