public import SCXInference
public import SCXLink

/// Why an attack, or the reading of its input, has no result.
///
/// Its texts name messages, shapes and files, in one line each.
public enum AttackError: Error, Sendable, CustomStringConvertible {
    case transcript(TranscriptError)
    /// A message, counted from 1 in the transcript, does not fit the model or the messages around it.
    case message(Int, reason: String)
    case model(LoadError)
    /// The transcript has nothing of the kind that the attack uses.
    case nothingToAttack(String)
    case memory(String)

    public var description: String {
        switch self {
        case .transcript(let error): "\(error)"
        case .message(let number, let reason): "message \(number) of the transcript: \(reason)"
        case .model(let error): "\(error)"
        case .nothingToAttack(let reason): "nothing to attack: \(reason)"
        case .memory(let reason): "out of memory: \(reason)"
        }
    }
}
