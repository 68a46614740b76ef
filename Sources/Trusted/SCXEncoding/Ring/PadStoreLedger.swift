import Crypto
import Foundation
import SCXInference

/// Which batches of a bank were burnt: one record each, which is appended and forced to the disk before a pad of the
/// batch is used.
///
/// The numbers of a site's batches strictly rise, so every batch whose number is at most the last one of its site is
/// burnt.
///
/// A record is `number | site | tag`. A tag is the HMAC-SHA256 of the record and the tag before it, so that records
/// cannot be changed, left out or moved without being noticed. The last record may be incomplete after a crash; its
/// batch was not used then. The file begins with the bank's random name, the model's digest and the file's own
/// identity on the disk, which a copy does not have.
struct PadLedger: ~Copyable, Sendable {
    /// The beginning of a ledger.
    struct Header: Sendable {
        let blocks: Int
        let digest: [UInt8]
        let bank: [UInt8]
        let identity: UInt64

        fileprivate var bytes: [UInt8] {
            PadLedger.magic + [PadLedger.version] + littleEndian(UInt64(blocks)) + littleEndian(identity)
                + digest
                + bank
        }
    }

    private static let magic: [UInt8] = Array("scxburn".utf8)
    private static let version: UInt8 = 1
    private static let tagSize = 16
    private static let clearHeaderSize = 72
    private static let headerSize = clearHeaderSize + tagSize + 8
    private static let recordSize = 32

    let header: Header
    private let file: VaultFile
    private let key: SymmetricKey
    private var contents: Contents

    /// What the records say.
    struct Contents: Sendable {
        /// How many records there are.
        fileprivate(set) var count = 0
        /// The last number of each site.
        fileprivate(set) var last: [DecoderSite: UInt64] = [:]
        fileprivate var tag: [UInt8] = []

        func isBurnt(_ number: UInt64, _ site: DecoderSite) -> Bool { number <= last[site] ?? 0 }
    }

    var count: Int { contents.count }
    var highest: UInt64 { contents.last.values.max() ?? 0 }

    func isBurnt(_ number: UInt64, _ site: DecoderSite) -> Bool { contents.isBurnt(number, site) }

    /// Makes a ledger without records; it is on the disk once its directory is.
    static func make(_ path: String, blocks: Int, digest: [UInt8], key master: SymmetricKey)
        throws(VaultError)
    {
        let name = "\(path).partial"
        VaultFile.remove(name)
        let file = try VaultFile.creating(name)
        var random = SystemRandomNumberGenerator()
        let bank = (0..<2).flatMap { _ in littleEndian(random.next()) }
        let header = Header(blocks: blocks, digest: digest, bank: bank, identity: try file.identity())
        try file.append(
            Data(header.bytes + tag(header.bytes, key(master, header)) + [UInt8](repeating: 0, count: 8)))
        try file.synchronize()
        try VaultFile.move(name, to: path)
    }

    /// Opens a ledger and checks all of it.
    ///
    /// - Returns: Nil when there is none.
    static func open(_ path: String, key master: SymmetricKey) throws(VaultError) -> PadLedger? {
        guard let file = try VaultFile.appending(path) else { return nil }
        let bytes = try read(file)
        let header = try header(bytes, path)
        let key = key(master, header)
        let first = tag(header.bytes, key)
        guard bytes[clearHeaderSize..<clearHeaderSize + tagSize].elementsEqual(first) else {
            throw VaultError(path, "was changed, or is not of this key")
        }
        guard try header.identity == file.identity() else {
            throw VaultError(
                path,
                "is a copy, or was put back from a backup: its pads may have been used elsewhere; \(remedy)")
        }
        var contents = Contents()
        contents.tag = first
        let end = try check(bytes, path, &contents) { tag($0, key) }
        if end < bytes.count {
            try file.truncate(to: end)
            try file.synchronize()
        }
        return PadLedger(header: header, file: file, key: key, contents: contents)
    }

    private static let remedy = "remove the directory and fill it anew"

    /// Reads a ledger of a bank that another process may be using; the tags are not checked.
    static func look(_ path: String) throws(VaultError) -> (header: Header, contents: Contents)? {
        guard let file = try VaultFile.reading(path) else { return nil }
        let bytes = try read(file)
        var contents = Contents()
        _ = try check(bytes, path, &contents, tag: nil)
        return (try header(bytes, path), contents)
    }

    /// Records that a batch is burnt; when this returns, the record is on the disk.
    ///
    /// - Throws: ``VaultError``; then no other record may be appended.
    mutating func burn(_ number: UInt64, _ site: DecoderSite) throws(VaultError) {
        precondition(!isBurnt(number, site), "PadLedger: burnt before")
        let record = Self.record(number, site)
        let tag = Self.tag(contents.tag + record, key)
        let size = Self.headerSize + contents.count * Self.recordSize
        do throws(VaultError) {
            try file.append(Data(record + tag))
        } catch {
            // Remove a record that was written in part; if that fails, the next start takes it for one that a crash
            // has cut.
            try? file.truncate(to: size)
            throw error
        }
        try file.synchronize()
        contents.tag = tag
        contents.count += 1
        contents.last[site] = number
    }

    // MARK: Bytes

    private static func key(_ master: SymmetricKey, _ header: Header) -> SymmetricKey {
        HKDF<SHA256>.deriveKey(
            inputKeyMaterial: master, salt: header.bank, info: Array("scx pads 1: ledger".utf8),
            outputByteCount: KeyFile.size)
    }

    private static func tag(_ bytes: [UInt8], _ key: SymmetricKey) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: bytes, using: key).prefix(tagSize))
    }

    private static func record(_ number: UInt64, _ site: DecoderSite) -> [UInt8] {
        littleEndian(number) + littleEndian(site.code.kind) + littleEndian(site.code.block)
    }

    private static func read(_ file: borrowing VaultFile) throws(VaultError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: file.size)
        guard unsafe bytes.withUnsafeMutableBytes({ unsafe file.fill($0) }) else {
            throw VaultError(file.path, "cannot be read")
        }
        return bytes
    }

    private static func header(_ bytes: [UInt8], _ path: String) throws(VaultError) -> Header {
        guard bytes.starts(with: magic), bytes.count > magic.count else {
            throw VaultError(path, "is no ledger of a bank of pads; \(remedy)")
        }
        guard bytes[7] == version else {
            throw VaultError(path, "has version \(bytes[7]), and this program reads version \(version)")
        }
        guard bytes.count >= headerSize else {
            throw VaultError(path, "is cut: \(bytes.count) bytes; \(remedy)")
        }
        let blocks: UInt64 = fromLittleEndian(bytes[8..<16])
        guard (1...1 << 20).contains(blocks),
            bytes[clearHeaderSize + tagSize..<headerSize].allSatisfy({ $0 == 0 })
        else { throw VaultError(path, "was changed; \(remedy)") }
        return Header(
            blocks: Int(blocks), digest: Array(bytes[24..<56]), bank: Array(bytes[56..<72]),
            identity: fromLittleEndian(bytes[16..<24]))
    }

    /// Reads and checks the records.
    ///
    /// - Returns: Where the last whole record ends.
    private static func check(
        _ bytes: [UInt8], _ path: String, _ contents: inout Contents, tag: (([UInt8]) -> [UInt8])?
    ) throws(VaultError) -> Int {
        var start = headerSize
        while start + recordSize <= bytes.count {
            let record = Array(bytes[start..<start + 16])
            let found = Array(bytes[start + 16..<start + recordSize])
            let isLast = start + 2 * recordSize > bytes.count
            // After a crash the last record may be all zeros, when the file's size was on the disk before its bytes.
            if isLast, bytes[start..<start + recordSize].allSatisfy({ $0 == 0 }) { return start }
            let number: UInt64 = fromLittleEndian(record[0..<8])
            let code: (UInt32, UInt32) = (fromLittleEndian(record[8..<12]), fromLittleEndian(record[12..<16]))
            guard let site = DecoderSite(code: code), number > contents.last[site] ?? 0,
                tag.map({ $0(contents.tag + record) == found }) ?? true
            else {
                throw VaultError(
                    path,
                    "was changed at record \(contents.count + 1), so nobody can tell which pads were used; \(remedy)"
                )
            }
            contents.tag = found
            contents.count += 1
            contents.last[site] = number
            start += recordSize
        }
        return start
    }
}
