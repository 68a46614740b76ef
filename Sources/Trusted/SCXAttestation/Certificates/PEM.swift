import Foundation

/// Objects between `-----BEGIN` and `-----END` lines (RFC 7468), read strictly.
///
/// Lines hold 64 characters of base64, the last may hold fewer, and nothing stands between objects but line ends and, in
/// files, comments after `#`. So no bit of an object can change without an error or another object.
enum PEM {
    /// An object's label, such as `CERTIFICATE`, and its bytes.
    struct Block: Equatable {
        let label: String
        let bytes: [UInt8]
    }

    /// The most objects that one file may hold.
    static let limit = 64

    /// Reads the objects of a text.
    ///
    /// - Parameters:
    ///   - bytes: The text.
    ///   - comments: Whether lines that begin with `#` may stand between objects.
    /// - Returns: The objects in their order, at least one.
    /// - Throws: ``FormError`` for anything else.
    static func blocks(_ bytes: [UInt8], comments: Bool = true) throws(FormError) -> [Block] {
        guard bytes.allSatisfy({ $0 < 0x80 && $0 != 0 }) else { throw FormError("it is not ASCII text") }
        var lines = String(decoding: bytes, as: UTF8.self).replacing("\r\n", with: "\n")
            .split(separator: "\n", omittingEmptySubsequences: false)[...]
        while lines.last == "" { lines.removeLast() }
        var blocks: [Block] = []
        while let first = lines.popFirst() {
            if first == "" || comments && first.hasPrefix("#") { continue }
            guard first.hasPrefix("-----BEGIN "), first.hasSuffix("-----"), first.count > 16 else {
                throw FormError("a line stands outside of its objects")
            }
            guard blocks.count < limit else { throw FormError("it holds more than \(limit) objects") }
            let label = String(first.dropFirst(11).dropLast(5))
            guard let end = lines.firstIndex(of: "-----END \(label)-----") else {
                throw FormError("an object does not end")
            }
            blocks.append(Block(label: label, bytes: try content(lines[..<end])))
            lines = lines[(end + 1)...]
        }
        guard !blocks.isEmpty else { throw FormError("it holds no object") }
        return blocks
    }

    private static func content(_ lines: ArraySlice<Substring>) throws(FormError) -> [UInt8] {
        guard let last = lines.last, (1...64).contains(last.utf8.count),
            lines.dropLast().allSatisfy({ $0.utf8.count == 64 })
        else { throw FormError("its lines do not hold 64 characters") }
        let text = lines.joined()
        // Encoding it again finds bits that base64 leaves unused.
        guard let data = Data(base64Encoded: text), data.base64EncodedString() == text else {
            throw FormError("it is not base64")
        }
        return Array(data)
    }
}
