/// Refuses JSON of which a decoder would silently leave something out: keys that stand twice in an object, keys that are
/// written with escapes, and `null` where a condition is expected.
///
/// Decoders take one of two equal keys, and read `null` as if the key were not there. Here either would drop a condition of a
/// policy without a word.
struct PolicySyntax {
    private let bytes: [UInt8]
    private var position = 0

    private static let depthLimit = 8

    /// Checks a whole file.
    ///
    /// - Throws: ``PolicyError`` that names the key, also for what is not JSON.
    static func check(_ bytes: [UInt8]) throws(PolicyError) {
        var syntax = PolicySyntax(bytes: bytes)
        try syntax.value(at: [])
        syntax.skipSpace()
        guard syntax.position == bytes.count else { throw syntax.notJSON }
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private var notJSON: PolicyError { PolicyError("it is not JSON") }

    private mutating func skipSpace() {
        while position < bytes.count, [0x20, 0x09, 0x0a, 0x0d].contains(bytes[position]) { position += 1 }
    }

    private mutating func takes(_ byte: Unicode.Scalar) -> Bool {
        skipSpace()
        guard position < bytes.count, bytes[position] == UInt8(ascii: byte) else { return false }
        position += 1
        return true
    }

    private mutating func value(at path: [String]) throws(PolicyError) {
        guard path.count <= Self.depthLimit else { throw PolicyError("it is too deep") }
        if takes("{") {
            try object(at: path)
        } else if takes("[") {
            guard !takes("]") else { return }
            repeat { try value(at: path + ["[]"]) } while takes(",")
            guard takes("]") else { throw notJSON }
        } else if takes("\"") {
            _ = try string()
        } else {
            let start = position
            while position < bytes.count, Self.isWord(bytes[position]) { position += 1 }
            guard position > start else { throw notJSON }
            let isNull = bytes[start..<position].elementsEqual("null".utf8)
            // A register of any value is the one thing that null says.
            guard !isNull || path == ["tdx", "rtmrs", "[]"] else {
                let key = path.filter { $0 != "[]" }.joined(separator: ".")
                throw PolicyError("'\(key)' is null; leave the key out where any value is allowed")
            }
        }
    }

    private mutating func object(at path: [String]) throws(PolicyError) {
        var keys: Set<String> = []
        guard !takes("}") else { return }
        repeat {
            guard takes("\"") else { throw notJSON }
            let name = try string()
            guard name.allSatisfy({ (0x21..<0x7f).contains($0) && $0 != UInt8(ascii: "\\") }),
                name.count <= 64
            else { throw PolicyError("a key is long, or has escapes or unusual characters") }
            let key = String(decoding: name, as: UTF8.self)
            guard keys.insert(key).inserted else {
                let place = (path + [key]).filter { $0 != "[]" }.joined(separator: ".")
                throw PolicyError("'\(place)' stands there twice")
            }
            guard takes(":") else { throw notJSON }
            try value(at: path + [key])
        } while takes(",")
        guard takes("}") else { throw notJSON }
    }

    /// The bytes of a string up to its closing quotation mark, with escapes as they stand.
    private mutating func string() throws(PolicyError) -> ArraySlice<UInt8> {
        let start = position
        while position < bytes.count, bytes[position] != UInt8(ascii: "\"") {
            position += bytes[position] == UInt8(ascii: "\\") ? 2 : 1
        }
        guard position < bytes.count else { throw notJSON }
        defer { position += 1 }
        return bytes[start..<position]
    }

    /// Whether a byte may stand in a number or in `true`, `false` and `null`.
    private static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "E"),
            UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."):
            true
        default: false
        }
    }
}
