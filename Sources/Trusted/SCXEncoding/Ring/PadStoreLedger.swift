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
/// batch was not used then. The file begins with the bank's random name, the model's digest and a random epoch.
///
/// Each process that opens the bank writes the ledger anew under a new epoch (``renewed(_:_:)``). The new ledger begins
/// with one record for each site, the site's last one, so that it does not grow from run to run.
struct PadLedger: ~Copyable, Sendable {
    /// The header of a ledger.
    struct Header: Sendable {
        let blocks: Int
        let digest: [UInt8]
        let bank: [UInt8]
        /// A random number for this ledger alone, 16 bytes.
        let epoch: [UInt8]
        /// The epoch of the ledger before this one.
        let previous: [UInt8]
        /// The number of batches that were burnt before this ledger was written.
        let burntBefore: Int
        /// The number of records with which the ledger was written: at most one for each site.
        let carried: Int

        fileprivate var bytes: [UInt8] {
            var bytes = PadLedger.magic + [PadLedger.version]
            for count in [blocks, burntBefore, carried] { bytes += littleEndian(UInt64(count)) }
            return bytes + digest + bank + epoch + previous
        }
    }

    private static let magic: [UInt8] = Array("scxburn".utf8)
    private static let version: UInt8 = 2
    private static let tagSize = 16
    private static let clearHeaderSize = 112
    private static let headerSize = clearHeaderSize + tagSize
    private static let recordSize = 32

    let header: Header
    private let file: VaultFile
    private let key: SymmetricKey
    private var contents: Contents

    /// The information that the records give.
    struct Contents: Sendable {
        /// The number of batches that were burnt since the bank was made.
        fileprivate(set) var count = 0
        /// The number of the batch of each site that was burnt last.
        fileprivate(set) var last: [DecoderSite: UInt64] = [:]
        fileprivate var records = 0
        fileprivate var tag: [UInt8] = []

        func isBurnt(_ number: UInt64, _ site: DecoderSite) -> Bool { number <= last[site] ?? 0 }
    }

    var path: String { file.path }
    var count: Int { contents.count }
    var highest: UInt64 { contents.last.values.max() ?? 0 }
    /// Whether no batch was burnt since this ledger was written.
    var isNew: Bool { contents.count == header.burntBefore }

    func isBurnt(_ number: UInt64, _ site: DecoderSite) -> Bool { contents.isBurnt(number, site) }

    /// Makes a ledger without records; it is on the disk once its directory was synchronized.
    ///
    /// - Parameters:
    ///   - path: The ledger's path.
    ///   - header: The ledger's header.
    ///   - master: The bank's key.
    ///   - observe: Called before each step on the disk.
    /// - Throws: ``VaultError``; then there is no ledger.
    static func make(
        _ path: String, _ header: Header, key master: SymmetricKey,
        _ observe: (PadStore.Step) throws(VaultError) -> Void
    ) throws(VaultError) {
        _ = try create(path, header, [:], key(master, header), observe)
    }

    /// Writes the ledger anew under a new epoch, in place of this one; it is on the disk once its directory was
    /// synchronized.
    ///
    /// - Throws: ``VaultError``; then this ledger stays.
    func renewed(
        _ epoch: [UInt8], _ observe: (PadStore.Step) throws(VaultError) -> Void
    ) throws(VaultError) -> PadLedger {
        let next = Header(
            blocks: header.blocks, digest: header.digest, bank: header.bank, epoch: epoch,
            previous: header.epoch, burntBefore: count, carried: contents.last.count)
        return try Self.create(path, next, contents.last, key, observe)
    }

    private static func create(
        _ path: String, _ header: Header, _ last: [DecoderSite: UInt64], _ key: SymmetricKey,
        _ observe: (PadStore.Step) throws(VaultError) -> Void
    ) throws(VaultError) -> PadLedger {
        let name = "\(path).partial"
        VaultFile.remove(name)
        try observe(.create(name))
        let file = try VaultFile.creatingLocked(name, knownAs: path)
        var contents = Contents()
        contents.tag = tag(header.bytes, key)
        var bytes = header.bytes + contents.tag
        for (site, number) in last.sorted(by: { $0.value < $1.value }) {
            let record = record(number, site)
            contents.tag = tag(contents.tag + record, key)
            bytes += record + contents.tag
        }
        (contents.count, contents.records, contents.last) = (header.burntBefore, header.carried, last)
        try observe(.write(name))
        try file.append(Data(bytes))
        try observe(.synchronize(name))
        try file.synchronize()
        try observe(.name(path))
        try VaultFile.move(name, to: path)
        return PadLedger(header: header, file: file, key: key, contents: contents)
    }

    /// Opens a ledger, locks it for this process, and checks all of it.
    ///
    /// - Returns: Nil when there is no ledger.
    /// - Throws: ``VaultError``, also when another process has it locked, or when it has a second name (hard link).
    static func open(_ path: String, key master: SymmetricKey) throws(VaultError) -> PadLedger? {
        guard let file = try VaultFile.locking(path) else { return nil }
        let bytes = try read(file)
        let header = try header(bytes, path)
        let key = key(master, header)
        let first = tag(header.bytes, key)
        guard bytes[clearHeaderSize..<headerSize].elementsEqual(first) else {
            throw VaultError(path, "was changed, or is not of this key")
        }
        var contents = Contents()
        contents.tag = first
        try check(bytes, path, header, &contents) { tag($0, key) }
        // Bytes after the last whole record are dropped when the ledger is written anew.
        return PadLedger(header: header, file: file, key: key, contents: contents)
    }

    /// The advice for a user when it is not known which pads were used.
    static let remedy = "remove the directory and fill it anew with 'scx pads fill'"

    /// Reads a ledger of a bank that another process may be using; the tags are not checked.
    static func look(_ path: String) throws(VaultError) -> (header: Header, contents: Contents)? {
        guard let file = try VaultFile.reading(path) else { return nil }
        let bytes = try read(file)
        let header = try header(bytes, path)
        var contents = Contents()
        try check(bytes, path, header, &contents, tag: nil)
        return (header, contents)
    }

    /// Records that a batch is burnt; when this returns, the record is on the disk.
    ///
    /// - Throws: ``VaultError``; then no other record may be appended.
    mutating func burn(_ number: UInt64, _ site: DecoderSite) throws(VaultError) {
        precondition(!isBurnt(number, site), "PadLedger: burnt before")
        let record = Self.record(number, site)
        let tag = Self.tag(contents.tag + record, key)
        let size = Self.headerSize + contents.records * Self.recordSize
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
        contents.records += 1
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
            throw VaultError(
                path, "has version \(bytes[7]), and this program reads version \(version); \(remedy)")
        }
        guard bytes.count >= headerSize else {
            throw VaultError(path, "is cut: \(bytes.count) bytes; \(remedy)")
        }
        func count(_ index: Int) -> UInt64 { fromLittleEndian(bytes[(8 + 8 * index)..<(16 + 8 * index)]) }
        guard (1...1 << 20).contains(count(0)), count(1) < 1 << 60, count(2) < 1 << 32 else {
            throw VaultError(path, "was changed; \(remedy)")
        }
        return Header(
            blocks: Int(count(0)), digest: Array(bytes[32..<64]), bank: Array(bytes[64..<80]),
            epoch: Array(bytes[80..<96]), previous: Array(bytes[96..<112]), burntBefore: Int(count(1)),
            carried: Int(count(2)))
    }

    /// Reads and checks the whole records.
    private static func check(
        _ bytes: [UInt8], _ path: String, _ header: Header, _ contents: inout Contents,
        tag: (([UInt8]) -> [UInt8])?
    ) throws(VaultError) {
        let carried = headerSize + header.carried * recordSize
        guard bytes.count >= carried else {
            throw VaultError(path, "is cut: \(bytes.count) bytes; \(remedy)")
        }
        contents.count = header.burntBefore
        var start = headerSize
        while start + recordSize <= bytes.count {
            let record = Array(bytes[start..<start + 16])
            let found = Array(bytes[start + 16..<start + recordSize])
            let isLast = start >= carried && start + 2 * recordSize > bytes.count
            // After a crash the last record may be all zeros, when the file's size was on the disk before its bytes.
            if isLast, bytes[start..<start + recordSize].allSatisfy({ $0 == 0 }) { return }
            let number: UInt64 = fromLittleEndian(record[0..<8])
            let code: (UInt32, UInt32) = (fromLittleEndian(record[8..<12]), fromLittleEndian(record[12..<16]))
            guard let site = DecoderSite(code: code), number > contents.last[site] ?? 0,
                tag.map({ $0(contents.tag + record) == found }) ?? true
            else {
                throw VaultError(
                    path,
                    "was changed at record \(contents.records + 1), so nobody can tell which pads were used; \(remedy)"
                )
            }
            contents.tag = found
            contents.records += 1
            if contents.records > header.carried { contents.count += 1 }
            contents.last[site] = number
            start += recordSize
        }
    }
}
