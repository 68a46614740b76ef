/// Why a model directory cannot be used, in one line that names the file and says what in it is wrong.
public enum CheckpointError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The system refused an operation on a file or directory; `reason` is the system's text for it.
    case file(path: String, action: String, reason: String)
    /// The directory lacks a file; `hint` says what to do.
    case missingFile(directory: String, name: String, hint: String)
    case notJSON(path: String, error: JSONError)
    /// A field of a JSON file is absent, of the wrong type or not a sensible value.
    case field(path: String, field: String, reason: String)
    /// The model, or an option of it, is one that this program cannot compute.
    case unsupported(path: String, what: String, supported: String)
    /// The file is not safetensors, or is incomplete.
    case malformed(path: String, reason: String)
    /// The file is not GGUF, or is incomplete.
    case malformedGGUF(path: String, reason: String)
    case malformedTensor(path: String, tensor: String, reason: String)
    case missingTensor(path: String, tensor: String)
    case wrongShape(path: String, tensor: String, expected: [Int], found: [Int])
    case unsupportedType(path: String, tensor: String, found: String)

    public var description: String {
        switch self {
        case .file(let path, let action, let reason):
            "\(path.printable(longest: 300)): cannot \(action): \(reason)"
        case .missingFile(let directory, let name, let hint):
            "\(directory.printable(longest: 300)): no \(name) in this directory: \(hint)"
        case .notJSON(let path, let error):
            "\(path.printable(longest: 300)): \(error)"
        case .field(let path, let field, let reason):
            "\(path.printable(longest: 300)): '\(field.printable(longest: 300))' \(reason.printable(longest: 300))"
        case .unsupported(let path, let what, let supported):
            "\(path.printable(longest: 300)): \(what.printable(longest: 300)) is not supported (supported: \(supported))"
        case .malformed(let path, let reason):
            "\(path.printable(longest: 300)): not a complete safetensors file: \(reason.printable(longest: 300)); download it again"
        case .malformedGGUF(let path, let reason):
            "\(path.printable(longest: 300)): not a complete GGUF file: \(reason.printable(longest: 300)); download it again"
        case .malformedTensor(let path, let tensor, let reason):
            "\(path.printable(longest: 300)): tensor '\(tensor.printable(longest: 300))': \(reason.printable(longest: 300)); download the file again"
        case .missingTensor(let path, let tensor):
            "\(path.printable(longest: 300)): tensor '\(tensor.printable(longest: 300))' is missing; the weights do not belong to this "
                + "\(Self.configuration(of: path)), or are incomplete"
        case .wrongShape(let path, let tensor, let expected, let found):
            "\(path.printable(longest: 300)): tensor '\(tensor.printable(longest: 300))' has shape \(found), but \(Self.configuration(of: path)) asks for "
                + "\(expected)"
        case .unsupportedType(let path, let tensor, let found):
            "\(path.printable(longest: 300)): tensor '\(tensor.printable(longest: 300))' has elements of type \(found.printable(longest: 300)) "
                + "(supported: F32, F16, BF16)"
        }
    }
    /// What says which tensors a model has.
    private static func configuration(of path: String) -> String {
        path.hasSuffix(".gguf") ? "metadata" : "config.json"
    }
}
