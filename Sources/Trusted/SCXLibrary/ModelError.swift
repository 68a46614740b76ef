public import Foundation
import SCXEncoding
import SCXEngine
import SCXInference
import SCXLink
import SCXText

#if Network
    import SCXLinkTLS
#endif

/// Why something could not be done.
///
/// The message is one line that names the file, the worker or the option at fault. It holds sizes and names, never
/// prompts, answers, tokens or keys.
public struct ModelError: Error, Equatable, Sendable, CustomStringConvertible, LocalizedError {
    /// What is at fault, for programs that act on it.
    public enum Kind: String, Sendable {
        /// The model's directory: a file is missing, damaged, or of a kind that is not supported.
        case model
        /// A worker cannot be reached, is another model's, or gave up; trying again may help.
        case worker
        /// An option is out of its range, or does not go with another.
        case options
        /// The prompt is empty, too long for the model's context, or refused by its chat template.
        case prompt
        /// Too many requests wait already, or the conversation is at another message; try again later.
        case busy
        /// The model or the conversation was closed.
        case closed
        /// The task that asked or read was cancelled; the engine has ended the request.
        case cancelled
    }

    /// What is at fault.
    public let kind: Kind
    /// One line for people, without a full stop.
    public let message: String

    /// The message.
    public var description: String { message }
    /// The message, for `localizedDescription`.
    public var errorDescription: String? { message }

    package init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message.printable(longest: 1000)
    }

    static let closed = ModelError(.closed, "the model was closed")
    static let conversationClosed = ModelError(.closed, "the conversation was closed")
    static let cancelled = ModelError(.cancelled, "the task that asked was cancelled")

    /// Sorts an error of the modules below by who is at fault.
    init(_ error: any Error) {
        switch error {
        case let error as ModelError: self = error
        case let error as LinkError: self.init(.worker, error.description)
        case let error as EngineError: self.init(.prompt, error.description)
        case let error as SamplingError: self.init(.options, error.description)
        case AdmissionError.draining: self = .closed
        case let error as AdmissionError: self.init(.busy, error.description)
        case is CancellationError: self = .cancelled
        case let error as CheckpointError: self.init(.model, error.description)
        default:
            #if Network
                if let error = error as? TLSFileError {
                    self.init(.worker, error.description)
                    return
                }
            #endif
            self.init(.model, "\(error)")
        }
    }
}
