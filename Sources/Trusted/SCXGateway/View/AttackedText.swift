import SCXAttacks
import SCXInference
import SCXText

/// A text that was attacked, and how much of it an attack recovered.
struct AttackedText {
    private let truth: [Int32]
    private let promptCount: Int
    /// Positions that reached the worker.
    private let carried: Range<Int>
    private let known: [Int: Int32]
    private let texts: ReadableTokens
    /// Positions that reached the worker and that nobody knew before.
    private let secret: [Int]

    init(
        _ truth: [Int32], promptCount: Int, carried: Int, known: [Int: Int32], _ tokenizer: Tokenizer?
    ) {
        (self.truth, self.promptCount, self.known) = (truth, promptCount, known)
        self.carried = 0..<min(truth.count, carried)
        texts = ReadableTokens(tokenizer)
        secret = self.carried.filter { known[$0] == nil }
    }

    /// What an attack found, for the page.
    func json(_ fast: FastAttack, _ findings: Findings) -> JSON {
        let right = Set(secret.filter { findings.positions[$0]?.first == truth[$0] })
        func score(_ positions: [Int]) -> JSON {
            ["right": .int(positions.count { right.contains($0) }), "of": .int(positions.count)]
        }
        var members: [JSON.Member] = [
            .init("name", .string(fast.attack.name)), .init("explanation", .string(fast.explanation)),
            .init("seconds", .double((findings.seconds * 1000).rounded() / 1000)),
            .init("recovered", score(secret)),
            .init("prompt", score(secret.filter { $0 < promptCount })),
            .init("answer", score(secret.filter { $0 >= promptCount })),
        ]
        if !findings.positions.isEmpty {
            members.append(.init("tokens", recovered(findings, right)))
        }
        if !findings.bag.isEmpty { members.append(.init("unplaced", unplaced(findings, right))) }
        if !findings.measures.isEmpty {
            members.append(
                .init(
                    "measures",
                    .array(
                        findings.measures.map { ["name": .string($0.name), "value": .double($0.value)] })))
        }
        return .object(members)
    }

    /// For each position that reached the worker what the attack says, and whether that is right.
    private func recovered(_ findings: Findings, _ right: Set<Int>) -> JSON {
        let guesses = carried.map { known[$0] ?? findings.positions[$0]?.first }
        return .array(
            zip(carried, texts.texts(guesses)).map { position, text in
                let state =
                    known[position] != nil
                    ? "known"
                    : right.contains(position) ? "right" : guesses[position] == nil ? "gap" : "wrong"
                return ["text": .string(text), "state": .string(state)]
            })
    }

    /// Tokens found somewhere, redundant rows' included: as many as the text has at most, or naming all would be a
    /// success.
    private func unplaced(_ findings: Findings, _ right: Set<Int>) -> JSON {
        let found = Array(findings.tokens.prefix(truth.count))
        var left: [Int32: Int] = [:]
        for token in found { left[token, default: 0] += 1 }
        var hits = 0
        for position in secret where !right.contains(position) {
            guard let count = left[truth[position]], count > 0 else { continue }
            left[truth[position]] = count - 1
            hits += 1
        }
        return [
            "rows": .int(findings.bag.count), "right": .int(hits),
            "text": .string(found.map { texts.texts([$0])[0] }.joined(separator: " ")),
        ]
    }
}

/// The text of each token in a row of them.
struct ReadableTokens {
    private let tokenizer: Tokenizer?

    init(_ tokenizer: Tokenizer?) { self.tokenizer = tokenizer }

    /// One text for each token; a gap's is a dot.
    ///
    /// Characters that several tokens make up stand with the last of them.
    func texts(_ tokens: [Int32?]) -> [String] {
        guard let tokenizer else { return tokens.map { $0.map { "\($0) " } ?? "· " } }
        var decoder = Tokenizer.StreamDecoder(tokenizer, skipSpecialTokens: false)
        var texts = tokens.map { token in token.map { decoder.push($0) } ?? "·" }
        if let last = texts.popLast() { texts.append(last + decoder.finish()) }
        return texts
    }
}
