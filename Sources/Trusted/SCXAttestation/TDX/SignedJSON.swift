import Foundation

/// A document of Intel's service: an object in JSON, and Intel's signature of the bytes of that object as they stand.
///
/// The object is found by counting braces, so that nothing is written anew before its signature is verified.
struct SignedJSON: Equatable {
    /// The inner object's name.
    let name: String
    /// The inner object, from brace to brace.
    let signed: [UInt8]
    /// r and s, big-endian, of 32 bytes each.
    let signature: [UInt8]

    private static let depthLimit = 32

    init(_ bytes: [UInt8]) throws(FormError) {
        var scanner = Scanner(bytes)
        var object: (name: String, bytes: [UInt8])?
        var signature: [UInt8]?
        try scanner.expect(UInt8(ascii: "{"))
        repeat {
            let name = try scanner.string()
            try scanner.expect(UInt8(ascii: ":"))
            if name == "signature", signature == nil {
                guard let raw = Hex.bytes(try scanner.string()), raw.count == 64 else {
                    throw FormError("its signature has not 64 bytes")
                }
                signature = raw
            } else if name != "signature", object == nil {
                object = (name, try scanner.object())
            } else {
                throw FormError("it has more than an object and a signature")
            }
        } while try scanner.takes(UInt8(ascii: ","))
        try scanner.expect(UInt8(ascii: "}"))
        guard scanner.isAtEnd, let object, let signature else {
            throw FormError("it is not an object and a signature")
        }
        name = object.name
        signed = object.bytes
        self.signature = signature
    }

    /// Reads tokens of JSON between white space.
    private struct Scanner {
        private let bytes: [UInt8]
        private var position = 0

        init(_ bytes: [UInt8]) { self.bytes = bytes }

        private mutating func skipSpace() {
            while position < bytes.count, [0x20, 0x09, 0x0a, 0x0d].contains(bytes[position]) { position += 1 }
        }

        var isAtEnd: Bool {
            mutating get {
                skipSpace()
                return position == bytes.count
            }
        }

        mutating func takes(_ byte: UInt8) throws(FormError) -> Bool {
            skipSpace()
            guard position < bytes.count else { throw FormError("it is cut off") }
            guard bytes[position] == byte else { return false }
            position += 1
            return true
        }

        mutating func expect(_ byte: UInt8) throws(FormError) {
            guard try takes(byte) else { throw FormError("it is not an object and a signature") }
        }

        /// A string without escapes.
        mutating func string() throws(FormError) -> String {
            try expect(UInt8(ascii: "\""))
            let start = position
            while position < bytes.count, bytes[position] != UInt8(ascii: "\"") {
                guard (0x20..<0x7f).contains(bytes[position]), bytes[position] != UInt8(ascii: "\\") else {
                    throw FormError("a name has unusual characters")
                }
                position += 1
            }
            defer { position += 1 }
            guard position < bytes.count else { throw FormError("it is cut off") }
            return String(decoding: bytes[start..<position], as: UTF8.self)
        }

        mutating func object() throws(FormError) -> [UInt8] {
            try expect(UInt8(ascii: "{"))
            let start = position - 1
            var depth = 1
            var isInString = false
            while depth > 0 {
                guard position < bytes.count else { throw FormError("it is cut off") }
                let byte = bytes[position]
                position += 1
                if isInString {
                    if byte == UInt8(ascii: "\\") { position += 1 }
                    if byte == UInt8(ascii: "\"") { isInString = false }
                    continue
                }
                switch byte {
                case UInt8(ascii: "\""): isInString = true
                case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
                case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
                default: break
                }
                guard depth <= SignedJSON.depthLimit else { throw FormError("it is too deep") }
            }
            return Array(bytes[start..<position])
        }
    }
}

/// A document with the bytes and the signature that vouch for it.
struct SignedDocument<Content: Decodable & Sendable>: Sendable {
    let content: Content
    let signed: [UInt8]
    let signature: [UInt8]

    init(_ json: SignedJSON) throws(FormError) {
        do { content = try JSONDecoder().decode(Content.self, from: Data(json.signed)) } catch {
            throw FormError(line(of: error))
        }
        signed = json.signed
        signature = json.signature
    }
}

extension DecodingError {
    /// An error in words of this module; ``line(of:)`` shows no others, because decoders quote what they read.
    static func form(_ reason: String, at path: [any CodingKey]) -> DecodingError {
        .dataCorrupted(.init(codingPath: path, debugDescription: reason, underlyingError: FormError(reason)))
    }
}

extension KeyedDecodingContainer {
    func error(_ key: Key, _ reason: String) -> DecodingError { .form(reason, at: codingPath + [key]) }
}

/// What a decoder found wrong, in one line that names the field and holds nothing else of what was read.
func line(of error: any Error) -> String {
    func path(_ context: DecodingError.Context) -> String {
        let keys = context.codingPath.map { key in
            String(
                key.stringValue.unicodeScalars.filter { (0x21..<0x7f).contains($0.value) }.prefix(40).map(
                    Character.init))
        }
        return keys.isEmpty ? "" : "'\(keys.joined(separator: "."))' "
    }
    guard let error = error as? DecodingError else { return "it is not JSON" }
    switch error {
    case .keyNotFound(let key, let context):
        let place = path(context)
        return "\(place.isEmpty ? "" : "in \(place)")'\(key.stringValue)' is missing"
    case .typeMismatch(_, let context), .valueNotFound(_, let context):
        return "\(path(context))is of another type"
    case .dataCorrupted(let context):
        if let form = context.underlyingError as? FormError { return path(context) + form.reason }
        let place = path(context)
        return place.isEmpty
            ? "it is not JSON, or a number in it is out of range"
            : "\(place)has a value that is unknown or out of range"
    @unknown default: return "it is not JSON"
    }
}
