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

    /// What a `Replace` or `Split` looks for.
    enum Pattern {
        /// Bytes, which are not empty.
        case text([UInt8])
        case expression(TextPattern)
    }

    func pattern() throws(TokenizerError) -> Pattern {
        guard let pattern = json["pattern"] else { throw malformed("has no 'pattern'") }
        if let expression = pattern["Regex"]?.string { return .expression(try compiled(expression)) }
        guard let text = pattern["String"]?.string else {
            throw malformed("has a 'pattern' that is neither a 'Regex' nor a 'String'")
        }
        // The empty text is found between all characters.
        return text.isEmpty ? .expression(try compiled(text)) : .text(Array(text.utf8))
    }

    func compiled(_ expression: String) throws(TokenizerError) -> TextPattern {
        do {
            return try TextPattern(expression)
        } catch {
            switch error {
            case .malformed(let reason):
                throw malformed("has a pattern \(expression.quotedForError) that \(reason)")
            case .unsupported(let what):
                throw unsupported(
                    json["type"]?.string ?? "",
                    "with the pattern \(expression.quotedForError), which has \(what)")
            }
        }
    }

    /// Greatest number of steps that a section may come to.
    static let maximumSteps = 64

    /// The section itself, or what it comes to if it is a `Sequence`, also of others.
    func flattened(_ list: String) throws(TokenizerError) -> [TokenizerSection] {
        var steps: [TokenizerSection] = []
        var open = [self]
        while let section = open.popLast() {
            guard try section.type() == "Sequence" else {
                steps.append(section)
                guard steps.count <= Self.maximumSteps else {
                    throw malformed("has more than \(Self.maximumSteps) steps")
                }
                continue
            }
            open += try section.list(list).reversed()
        }
        return steps
    }

    func malformed(_ reason: String) -> TokenizerError {
        let type = json["type"]?.string.map { " " + $0.quotedForError } ?? ""
        return .malformed(file: file, reason: "the \(kind)\(type) \(reason)")
    }

    func unsupported(_ type: String, _ detail: String = "") -> TokenizerError {
        .unsupported(file: file, what: "\(kind) \(type.quotedForError)\(detail.isEmpty ? "" : " ")\(detail)")
    }
}
