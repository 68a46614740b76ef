import SCXInference

/// Runs tokens through the steps of a decoder, and gives text as soon as no later token can change it.
struct TokenDecoding: Sendable {
    /// What a step remembers between tokens.
    private struct Memory: Sendable {
        var tokens = 0
        /// Bytes that wait for the rest of a character, text that might still be changed, or the last token.
        var held: [UInt8] = []
    }

    private let steps: [TokenDecoder]
    private var memories: [Memory]

    init(_ steps: [TokenDecoder]) {
        self.steps = steps
        memories = Array(repeating: Memory(), count: steps.count)
    }

    /// Takes the next token's text and appends the text that is certain now.
    mutating func push(_ token: [UInt8], into text: inout [UInt8]) { run(token, from: 0, into: &text) }

    /// Appends what the steps still hold.
    mutating func finish(into text: inout [UInt8]) {
        for step in steps.indices {
            let held = memories[step].held
            memories[step].held = []
            switch steps[step] {
            case .bytes where !held.isEmpty:
                run(Array(String(decoding: held, as: UTF8.self).utf8), from: step + 1, into: &text)
            case .byteFallback: flush(held, from: step + 1, into: &text)
            case .stripText(let content, _, let end):
                run(Array(held.dropLast(content.count * end)), from: step + 1, into: &text)
            case .suffix(let suffix):
                if !held.isEmpty { run(held.span.replacing(suffix, with: []), from: step + 1, into: &text) }
            case .joined: run(held, from: step + 1, into: &text)
            default: break
            }
        }
    }

    private mutating func run(_ token: [UInt8], from step: Int, into text: inout [UInt8]) {
        guard step < steps.count else {
            text += token
            return
        }
        defer { memories[step].tokens += 1 }
        switch steps[step] {
        case .spaced: run(memories[step].tokens > 0 ? [0x20] + token : token, from: step + 1, into: &text)
        case .bytes:
            memories[step].held += Self.alphabetBytes(token)
            let complete = memories[step].held.count - memories[step].held.openCharacter
            guard complete > 0 else { return }
            let part = String(decoding: memories[step].held[..<complete], as: UTF8.self)
            memories[step].held.removeFirst(complete)
            run(Array(part.utf8), from: step + 1, into: &text)
        case .byteFallback:
            if let byte = Self.fallbackByte(token) {
                memories[step].held.append(byte)
            } else {
                let held = memories[step].held
                memories[step].held = []
                flush(held, from: step + 1, into: &text)
                run(token, from: step + 1, into: &text)
            }
        case .metaspace(let character, let dropsFirst):
            let space: [UInt8] = memories[step].tokens == 0 && dropsFirst ? [] : [0x20]
            let plain = token.span.replacing(Array(String(character).utf8), with: space)
            run(plain, from: step + 1, into: &text)
        case .wordPiece(let prefix, let cleansUp):
            let isFirst = memories[step].tokens == 0
            run(
                TokenDecoder.piece(token, isFirst: isFirst, prefix, cleansUp: cleansUp), from: step + 1,
                into: &text)
        case .suffix(let suffix):
            let held = memories[step].held
            memories[step].held = token
            if !held.isEmpty { run(held.span.replacing(suffix, with: [0x20]), from: step + 1, into: &text) }
            if step == steps.count - 1 {
                // Only what begins with a suffix depends on whether another token comes.
                var open = token.count
                token.span.forEachOccurrence(of: suffix) { open = min(open, $0.lowerBound) }
                text += token[..<open]
                memories[step].held.removeFirst(open)
            }
        case .ctc(let padding, let delimiter, let cleansUp):
            guard memories[step].tokens == 0 || memories[step].held != token else { return }
            memories[step].held = token
            let sound = TokenDecoder.sound(token, padding, delimiter, cleansUp: cleansUp)
            if !sound.isEmpty { run(sound, from: step + 1, into: &text) }
        case .replace(let pattern, let content):
            run(token.span.replacing(pattern, with: content), from: step + 1, into: &text)
        case .replaceMatches(let pattern, let content):
            run(
                TokenDecoder.replaceMatches(pattern, with: content, in: token), from: step + 1, into: &text)
        case .joined: memories[step].held += token
        case .stripTokens(let content, let start, let end):
            run(Self.strip(token, Array(String(content).utf8), start, end), from: step + 1, into: &text)
        case .stripText(let content, let start, let end):
            stripText(token, content, start, end, at: step, into: &text)
        }
    }

    /// Gives a run of byte tokens: as text if all of it is UTF-8, else a replacement character for each byte.
    private mutating func flush(_ bytes: [UInt8], from step: Int, into text: inout [UInt8]) {
        guard !bytes.isEmpty else { return }
        if (try? UTF8Span(validating: bytes.span)) != nil {
            run(bytes, from: step, into: &text)
        } else {
            for _ in bytes { run(Array("\u{FFFD}".utf8), from: step, into: &text) }
        }
    }

    /// Strips the start of the whole text, and holds back what might be its end.
    private mutating func stripText(
        _ token: [UInt8], _ content: [UInt8], _ start: Int, _ end: Int, at step: Int, into text: inout [UInt8]
    ) {
        // `tokens` counts the characters already stripped; past `start`, the start is over.
        var rest = token[...]
        var stripped = memories[step].tokens
        while stripped < start, !rest.isEmpty {
            if rest.starts(with: content) {
                rest.removeFirst(content.count)
                stripped += 1
            } else {
                stripped = start
            }
        }
        memories[step].tokens = stripped - 1  // the caller counts one more
        memories[step].held += rest
        let kept = Self.strip(memories[step].held, content, 0, end).count
        let ready = Array(memories[step].held[..<kept])
        memories[step].held.removeFirst(kept)
        run(ready, from: step + 1, into: &text)
    }

    static func strip(_ token: [UInt8], _ content: [UInt8], _ start: Int, _ end: Int) -> [UInt8] {
        var rest = token[...]
        for _ in 0..<start where rest.starts(with: content) { rest.removeFirst(content.count) }
        for _ in 0..<end where rest.suffix(content.count).elementsEqual(content) {
            rest.removeLast(content.count)
        }
        return Array(rest)
    }

    /// The bytes that a token spells in the byte alphabet, or its own where it is written otherwise.
    static func alphabetBytes(_ token: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(token.count)
        let span = token.span
        var at = 0
        while at < span.count {
            let (scalar, end) = span.scalar(at: at)
            guard let byte = ByteAlphabet.byte(of: scalar) else { return token }
            bytes.append(byte)
            at = end
        }
        return bytes
    }

    /// The byte of a token such as `<0x0A>`.
    static func fallbackByte(_ token: [UInt8]) -> UInt8? {
        guard token.count == 6, token.starts(with: Array("<0x".utf8)), token[5] == UInt8(ascii: ">") else {
            return nil
        }
        return UInt8(String(decoding: token[3..<5], as: UTF8.self), radix: 16)
    }
}

extension [UInt8] {
    /// How many bytes at the end begin a UTF-8 character that later bytes could complete: 0 to 3.
    fileprivate var openCharacter: Int {
        for length in 1...3 where length <= count {
            let lead = self[count - length]
            guard lead & 0xC0 != 0x80 else { continue }
            let needed =
                (0xC2...0xDF).contains(lead)
                ? 2 : (0xE0...0xEF).contains(lead) ? 3 : (0xF0...0xF4).contains(lead) ? 4 : 1
            guard needed > length else { return 0 }
            guard length > 1 else { return 1 }
            // The second byte decides whether the character could exist; later ones are any continuation.
            let second = self[count - length + 1]
            let first: UInt8 = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80
            let last: UInt8 = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF
            return (first...last).contains(second) ? length : 0
        }
        return 0
    }
}
