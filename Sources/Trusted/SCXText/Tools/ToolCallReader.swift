import SCXInference

/// Reads the object of one call, `{"name": …, "arguments": {…}}`, byte by byte.
///
/// Arguments pass through while they arrive once the name is known; otherwise the object is read to its end first.
struct ToolCallReader: Sendable {
    private static let argumentNames = ["arguments", "parameters"]
    private static let nameNames = ["name", "tool_name"]
    private static let knownNames = argumentNames + nameNames + ["type", "id", "tool_call_id"]

    private var scanner = JSONScanner()
    /// The call stands in the text without a marker: an object with other members is an answer in JSON.
    private let isBare: Bool
    /// Bytes of the last name or value of the object.
    private var token: [UInt8] = []
    private var member = ""
    private var name: String?
    private var arguments: String?
    private var hasBegun = false
    private var isInsideArguments = false

    init(isBare: Bool) { self.isBare = isBare }

    mutating func push(_ byte: UInt8, into arguments: inout [UInt8]) -> CallOutcome {
        let step = scanner.push(byte)
        if step == .fault { return .fault }
        if isInsideArguments {
            if step == .valueEnded(1) { isInsideArguments = false }
            arguments.append(byte)
            return .onward
        }
        switch step {
        case .nameBegan(1): token = []
        case .valueBegan(1):
            token = []
            guard isExpected(byte) else { return .fault }
            if Self.argumentNames.contains(member), byte == UInt8(ascii: "{"), let name {
                (hasBegun, isInsideArguments) = (true, true)
                arguments.append(byte)
                return .began(name: name, id: nil)
            }
        case .valueEnded(0): return end(into: &arguments)
        default: break
        }
        token.append(byte)
        switch step {
        case .nameEnded(1):
            member = (try? JSON(parsing: token.span))?.string ?? ""
            if isBare, !Self.knownNames.contains(member) { return .fault }
        case .valueEnded(1):
            guard take() else { return .fault }
        default: break
        }
        return hasBegun ? .onward : .held
    }

    /// Whether the member's value may begin so.
    private func isExpected(_ byte: UInt8) -> Bool {
        if Self.nameNames.contains(member) { return byte == UInt8(ascii: "\"") && name == nil }
        guard Self.argumentNames.contains(member) else { return true }
        // An object, an object as a text, or null.
        return "{\"n".utf8.contains(byte) && !hasBegun && self.arguments == nil
    }

    /// Takes the value that has ended.
    private mutating func take() -> Bool {
        if Self.nameNames.contains(member) {
            name = (try? JSON(parsing: token.span))?.string
            return name?.isEmpty == false
        }
        guard Self.argumentNames.contains(member) else { return true }
        if token.first == UInt8(ascii: "{") {
            arguments = String(decoding: token, as: UTF8.self)
            return true
        }
        guard let text = (try? JSON(parsing: token.span))?.string,
            (try? JSON(parsing: text))?.object != nil
        else { return false }
        arguments = text
        return true
    }

    private func end(into result: inout [UInt8]) -> CallOutcome {
        if hasBegun { return .ended }
        guard let name, arguments != nil || !isBare else { return .fault }
        result += (arguments ?? "{}").utf8
        return .whole(name: name, id: nil)
    }
}
