import SCXInference

/// Reads a call that is an object with one member: `{"NAME": {…}}`.
struct KeyedCallReader: Sendable {
    private var scanner = JSONScanner()
    /// Bytes of the name.
    private var token: [UInt8] = []
    private var isInName = false
    private var hasBegun = false
    private var isInsideArguments = false

    mutating func push(_ byte: UInt8, into arguments: inout [UInt8]) -> CallOutcome {
        let step = scanner.push(byte)
        if step == .fault { return .fault }
        if isInsideArguments {
            if step == .valueEnded(1) { isInsideArguments = false }
            arguments.append(byte)
            return .onward
        }
        switch step {
        case .nameBegan(1):
            guard !hasBegun else { return .fault }
            (token, isInName) = ([], true)
        case .valueBegan(1):
            let name = (try? JSON(parsing: token.span))?.string ?? ""
            guard byte == UInt8(ascii: "{"), !name.isEmpty else { return .fault }
            (hasBegun, isInsideArguments) = (true, true)
            arguments.append(byte)
            return .began(name: name, id: nil)
        case .valueEnded(0): return hasBegun ? .ended : .fault
        case .nameEnded(1):
            token.append(byte)
            isInName = false
        default: break
        }
        if isInName { token.append(byte) }
        return hasBegun ? .onward : .held
    }
}
