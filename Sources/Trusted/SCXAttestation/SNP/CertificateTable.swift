/// The table of certificates that a host gives with a report (document 56421, "SNP Extended Guest Request").
///
/// Entries of a GUID, an offset and a length, of 24 bytes, end with one of zeros; offsets count from the table's start.
enum CertificateTable {
    private static let limit = 16

    /// - Returns: The certificates, none where no byte is there.
    /// - Throws: ``Check/evidenceForm`` for a table that cannot be read, ``Check/certificateForm`` for its certificates.
    static func certificates(_ bytes: [UInt8]) throws(Failures) -> [Certificate] {
        guard !bytes.isZero else { return [] }
        var encoded: [[UInt8]] = []
        do throws(FormError) {
            var reader = ByteReader(bytes)
            while true {
                let guid = try reader.take(16, "an entry")
                let offset: UInt32 = try reader.integer("an offset")
                let length: UInt32 = try reader.integer("a length")
                if guid.isZero && offset == 0 && length == 0 { break }
                guard encoded.count < limit else {
                    throw FormError("there are more than \(limit) certificates")
                }
                var content = ByteReader(bytes)
                _ = try content.take(Int(offset), "the offset of a certificate")
                encoded.append(try content.take(Int(length), "a certificate"))
            }
        } catch {
            throw Failures(.evidenceForm, "the table of certificates cannot be read: \(error.reason)")
        }
        var certificates: [Certificate] = []
        for bytes in encoded where !bytes.isEmpty { certificates.append(try Certificate(bytes)) }
        return certificates
    }
}
