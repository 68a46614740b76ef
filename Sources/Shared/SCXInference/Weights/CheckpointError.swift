/// Why a model directory cannot be used, in one line that names the file and what in it is wrong.
public enum CheckpointError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The system refused an operation on a file or directory; `reason` is the system's word for it.
    case file(path: String, action: String, reason: String)
    /// The directory lacks a file; `hint` says what to do.
    case missingFile(directory: String, name: String, hint: String)
    case notJSON(path: String, error: JSONError)
    /// A field of a JSON file is absent, of the wrong type or not a sensible value.
    case field(path: String, field: String, reason: String)
    /// The model, or an option of it, is not one that this program computes.
    case unsupported(path: String, what: String, supported: String)
    /// The file is not safetensors, or not all of it.
    case malformed(path: String, reason: String)
    case malformedTensor(path: String, tensor: String, reason: String)
    case missingTensor(path: String, tensor: String)
    case wrongShape(path: String, tensor: String, expected: [Int], found: [Int])
    case unsupportedType(path: String, tensor: String, found: String)

    public var description: String {
        switch self {
        case .file(let path, let action, let reason):
            "\(printable(path)): cannot \(action): \(reason)"
        case .missingFile(let directory, let name, let hint):
            "\(printable(directory)): no \(name) in this directory: \(hint)"
        case .notJSON(let path, let error):
            "\(printable(path)): \(error)"
        case .field(let path, let field, let reason):
            "\(printable(path)): '\(printable(field))' \(printable(reason))"
        case .unsupported(let path, let what, let supported):
            "\(printable(path)): \(printable(what)) is not supported (supported: \(supported))"
        case .malformed(let path, let reason):
            "\(printable(path)): not a complete safetensors file: \(printable(reason)); download it again"
        case .malformedTensor(let path, let tensor, let reason):
            "\(printable(path)): tensor '\(printable(tensor))': \(printable(reason)); download the file again"
        case .missingTensor(let path, let tensor):
            "\(printable(path)): tensor '\(printable(tensor))' is missing; the weights do not belong to this "
                + "config.json, or are incomplete"
        case .wrongShape(let path, let tensor, let expected, let found):
            "\(printable(path)): tensor '\(printable(tensor))' has shape \(found), but config.json asks for "
                + "\(expected)"
        case .unsupportedType(let path, let tensor, let found):
            "\(printable(path)): tensor '\(printable(tensor))' has elements of type \(printable(found)) "
                + "(supported: F32, F16, BF16)"
        }
    }
}

/// The text on one line and of moderate length, since names in files may be anything.
private func printable(_ text: String) -> String {
    var line = ""
    for scalar in text.unicodeScalars.prefix(300) {
        if scalar.properties.generalCategory == .control || scalar.properties.isBidiControl {
            line += scalar.escaped(asASCII: true)
        } else {
            line.unicodeScalars.append(scalar)
        }
    }
    return text.unicodeScalars.count > 300 ? line + "…" : line
}
