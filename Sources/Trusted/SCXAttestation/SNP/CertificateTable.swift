/// The table of certificates that a host gives with a report (document 56421, "SNP Extended Guest Request").
///
/// Entries of a GUID, an offset and a length, of 24 bytes, end with one of zeros; offsets count from the table's start.
/// Entries of other GUIDs than those of certificates are for others, such as revocation lists, and are not read.
enum CertificateTable {
    private static let limit = 16

    /// Of VCEK, VLEK, ASK and ARK (document 56421, "SNP Extended Guest Request").
    ///
    /// Hosts write them with their first three fields in either order of bytes.
    private static let kinds: Set<[UInt8]> = {
        let names = [
            "63da758d-e664-4564-adc5-f4b93be8accd", "a8074bc2-a25a-483e-aae6-39c045a0b8a1",
            "4ab7b379-bbac-4fe4-a02f-05aef327c782", "c0b406a4-a803-4952-9743-3fb6014cd0ae",
        ]
        let bigEndian = names.compactMap { Hex.bytes($0.replacing("-", with: "")) }
        return Set(bigEndian + names.map { Firmware.guid($0) })
    }()

    /// - Returns: The certificates, none where no byte is there.
    /// - Throws: ``Check/evidenceForm`` for a table that cannot be read, ``Check/certificateForm`` for its certificates.
    static func certificates(_ bytes: [UInt8]) throws(Failures) -> [Certificate] {
        guard !bytes.isZero else { return [] }
        var encoded: [[UInt8]] = []
        var ranges: [Range<Int>] = []
        do throws(FormError) {
            var reader = ByteReader(bytes)
            while true {
                let guid = try reader.take(16, "an entry")
                let offset: UInt32 = try reader.integer("an offset")
                let length: UInt32 = try reader.integer("a length")
                if guid.isZero && offset == 0 && length == 0 { break }
                guard ranges.count < limit else { throw FormError("there are more than \(limit) entries") }
                var content = ByteReader(bytes)
                _ = try content.take(Int(offset), "the offset of an entry")
                let part = try content.take(Int(length), "what an entry names")
                let range = Int(offset)..<Int(offset) + Int(length)
                guard !ranges.contains(where: { $0.overlaps(range) }) else {
                    throw FormError("two entries name the same bytes")
                }
                ranges.append(range)
                if kinds.contains(guid) { encoded.append(part) }
            }
        } catch {
            throw Failures(.evidenceForm, "the table of certificates cannot be read: \(error.reason)")
        }
        var certificates: [Certificate] = []
        for bytes in encoded where !bytes.isEmpty { certificates.append(try Certificate(bytes)) }
        return certificates
    }
}
