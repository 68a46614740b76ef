/// Reads a call that is a header with the function's name, and its arguments as a JSON object.
struct NamedCallReader: Sendable {
    private static let longestHeader = 512

    private let syntax: ToolCallSyntax.Header
    private var header: [UInt8] = []
    private var scanner = JSONScanner()
    private var hasBegun = false

    init(_ syntax: ToolCallSyntax.Header) { self.syntax = syntax }

    mutating func push(_ byte: UInt8, into arguments: inout [UInt8]) -> CallOutcome {
        guard hasBegun else { return readHeader(byte, into: &arguments) }
        let step = scanner.push(byte)
        if step == .fault { return .fault }
        arguments.append(byte)
        return step == .valueEnded(0) ? .ended : .onward
    }

    private mutating func readHeader(_ byte: UInt8, into arguments: inout [UInt8]) -> CallOutcome {
        guard byte == UInt8(ascii: "{") else {
            header.append(byte)
            let isLine = byte == 0x0A || byte == 0x0D
            return header.count > Self.longestHeader || (isLine && !syntax.allowsLines) ? .fault : .held
        }
        guard let (name, id) = syntax.read(String(decoding: header, as: UTF8.self)) else { return .fault }
        _ = scanner.push(byte)
        hasBegun = true
        arguments.append(byte)
        return .began(name: name, id: id)
    }
}
