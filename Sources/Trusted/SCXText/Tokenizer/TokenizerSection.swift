import SCXInference

/// One part of a tokenizer's file that has a `type`, with the errors that name it.
struct TokenizerSection {
    let json: JSON
    let file: String
    /// The section that the part belongs to, such as `normalizer`.
    let kind: String

    func type() throws(TokenizerError) -> String { try string("type") }

    func string(_ name: String) throws(TokenizerError) -> String {
        guard let value = json[name]?.string else { throw malformed("has no text '\(name)'") }
        return value
    }

    /// A flag, or its default where it is missing or null.
    func flag(_ name: String, default missing: Bool? = nil) throws(TokenizerError) -> Bool {
        guard let value = json[name], !value.isNull else {
            if let missing { return missing }
            throw malformed("has no '\(name)'")
        }
        guard let flag = value.bool else { throw malformed("has a '\(name)' that is neither true nor false") }
        return flag
    }

    func list(_ name: String) throws(TokenizerError) -> [TokenizerSection] {
        guard let values = json[name]?.array else { throw malformed("has no list '\(name)'") }
        return values.map { TokenizerSection(json: $0, file: file, kind: kind) }
    }

    /// A count of characters, 0 to 1,000.
    func count(_ name: String) throws(TokenizerError) -> Int {
        guard let value = json[name]?.int, (0...1_000).contains(value) else {
            throw malformed("has no '\(name)' between 0 and 1000")
        }
        return value
    }

    /// A text of one character.
    func character(_ name: String) throws(TokenizerError) -> Unicode.Scalar {
        let text = try string(name).unicodeScalars
        guard let first = text.first, text.count == 1 else {
            throw malformed("has a '\(name)' of other than one character")
        }
        return first
    }

    /// The text that a `Replace` looks for.
    func pattern() throws(TokenizerError) -> [UInt8] {
        guard let pattern = json["pattern"] else { throw malformed("has no 'pattern'") }
        if let regex = pattern["Regex"]?.string {
            throw unsupported("Replace", "with the pattern \(regex.quotedForError)")
        }
        guard let text = pattern["String"]?.string, !text.isEmpty else {
            throw malformed("has an empty 'pattern'")
        }
        return Array(text.utf8)
    }

    func malformed(_ reason: String) -> TokenizerError {
        let type = json["type"]?.string.map { " " + $0.quotedForError } ?? ""
        return .malformed(file: file, reason: "the \(kind)\(type) \(reason)")
    }

    func unsupported(_ type: String, _ detail: String = "") -> TokenizerError {
        .unsupported(file: file, what: "\(kind) \(type.quotedForError)\(detail.isEmpty ? "" : " ")\(detail)")
    }
}
