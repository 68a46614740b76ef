/// Why a file of a ``TLSIdentity`` cannot be used, in one line that names it.
public struct TLSFileError: Error, Equatable, Sendable, CustomStringConvertible {
    public let path: String
    public let reason: String

    public var description: String { "\(path): \(reason)" }
}
