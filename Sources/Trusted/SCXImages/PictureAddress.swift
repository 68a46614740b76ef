/// The address of a picture, as chat requests have it: a data URL (RFC 2397), which is the picture itself.
///
/// Nothing is ever fetched: a server that fetches what a client names can be sent anywhere, and tells others which
/// pictures its clients show it.
package enum PictureAddress {
    /// Reads the file that a data URL holds.
    ///
    /// The media type is not looked at, since the first bytes of a file say better what it is.
    ///
    /// - Parameters:
    ///   - address: The URL.
    ///   - limit: How many bytes the file may have.
    /// - Returns: The file.
    /// - Throws: ``ImageError``.
    package static func bytes(
        of address: String, limit: Int = PictureLimits().bytes
    ) throws(ImageError) -> [UInt8] {
        let text = Array(address.utf8)
        if text.begins("http:") || text.begins("https:") {
            throw .address(
                reason: "is remote, and this server fetches nothing; send the picture itself as a data URL "
                    + "(data:image/png;base64,…)")
        }
        guard text.begins("data:") else {
            throw .address(reason: "is not a data URL (data:image/png;base64,…)")
        }
        // Media types are short; the comma is looked for no further than they may reach.
        guard let comma = text.prefix(256).firstIndex(of: UInt8(ascii: ",")) else {
            throw .address(reason: "is a data URL without a comma after its media type")
        }
        guard Array(text[5..<comma].suffix(7)).begins(";base64") else {
            throw .address(
                reason: "is a data URL that is not in base64, which is not read; write ;base64, before it")
        }
        let encoded = text[(comma + 1)...]
        guard encoded.count / 4 * 3 <= limit + 2 else { throw .bytes(limit: limit) }
        let bytes = try decode(encoded)
        guard bytes.count <= limit else { throw .bytes(limit: limit) }
        return bytes
    }

    /// Decodes base64 (RFC 4648, section 4), with its padding and without white space.
    private static func decode(_ text: ArraySlice<UInt8>) throws(ImageError) -> [UInt8] {
        guard !text.isEmpty, text.count % 4 == 0 else {
            throw .address(reason: "is a data URL whose base64 is incomplete")
        }
        let padding = text.reversed().prefix(2).prefix { $0 == UInt8(ascii: "=") }.count
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count / 4 * 3)
        var (bits, count): (UInt32, Int) = (0, 0)
        for character in text.dropLast(padding) {
            let value = values[Int(character)]
            guard value < 64 else {
                throw .address(reason: "is a data URL with characters that base64 does not have")
            }
            bits = bits << 6 | UInt32(value)
            count += 6
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        guard bits & (1 << UInt32(count) - 1) == 0 else {
            throw .address(reason: "is a data URL whose base64 ends with bits of nothing")
        }
        return bytes
    }

    /// The value of each character; 255 where it is none.
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 255, count: 256)
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        for (value, character) in alphabet.utf8.enumerated() { values[Int(character)] = UInt8(value) }
        return values
    }()
}

extension [UInt8] {
    /// Whether the text begins so, in small or capital letters.
    fileprivate func begins(_ prefix: StaticString) -> Bool {
        String(decoding: self.prefix(prefix.utf8CodeUnitCount), as: UTF8.self).lowercased() == "\(prefix)"
    }
}
