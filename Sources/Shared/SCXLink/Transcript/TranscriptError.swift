/// Why a transcript cannot be read, or written.
public enum TranscriptError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A system call on a file failed.
    case file(path: String, action: String, reason: String)
    /// A line, counted from 1, is not as `docs/transcript.md` says.
    case line(Int, path: String, reason: String)

    public var description: String {
        switch self {
        case .file(let path, let action, let reason): "\(path): cannot \(action): \(reason)"
        case .line(let number, let path, let reason): "\(path): line \(number): \(reason)"
        }
    }
}
