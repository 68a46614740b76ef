import SCXInference
import SCXText

/// Tokens that the model's chat template puts around every conversation: attackers know them.
///
/// Without a template they know the token that begins every text.
struct TemplateMarks: Sendable {
    private let begin: [Int32]
    private let end: [Int32]

    /// Finds the template's tokens; one that cannot be used has none.
    init(_ format: ChatFormat?, _ tokenizer: Tokenizer?, beginOfSequence: Int?) {
        let marks = tokenizer.flatMap { try? format?.marks($0) }
        let common = marks?.begin ?? []
        begin = common.isEmpty ? beginOfSequence.map { [Int32(clamping: $0)] } ?? [] : common
        end = marks?.end ?? []
    }

    /// Those that stand in this conversation, by position.
    ///
    /// An attacker sees how long a prompt is, and can try whether the marks fit: those that do not, as where a system
    /// prompt comes first, are left out.
    func known(in capture: WorkerCapture, carried: Int) -> [Int: Int32] {
        var known: [Int: Int32] = [:]
        let prompt = capture.prompt.prefix(carried)
        for (position, token) in begin.enumerated() {
            guard prompt.indices.contains(position), prompt[position] == token else { break }
            known[position] = token
        }
        for (offset, token) in end.reversed().enumerated() {
            let position = capture.prompt.count - 1 - offset
            guard prompt.indices.contains(position), prompt[position] == token else { break }
            known[position] = token
        }
        return known
    }
}
