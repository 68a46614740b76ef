import Crypto
import Foundation

/// The state of a bank of pads that is kept outside of its directory: the epoch of its ledger, and how many batches
/// were burnt.
///
/// There is one file for each bank, under the bank's random name, in a folder of this user. When a bank was copied or
/// restored from a backup, its ledger has another epoch or fewer records than the file says, and is refused. The
/// process that uses the bank keeps the file locked, so that a copy of the bank cannot be opened at the same time.
///
/// The file has 64 bytes, which are overwritten in place: `magic | version | bank | epoch | burnt | tag`, where the tag
/// is an HMAC-SHA256 of the rest. After a loss of power, `burnt` may be less than the ledger says, but never more.
struct PadRegistry: ~Copyable, Sendable {
    private static let magic: [UInt8] = Array("scxbank".utf8) + [1]
    private static let size = 64
    private static let tagSize = 16
    /// The number of writes after which the file is forced to the disk (fsync); a loss of power may undo those since
    /// then.
    private static let stride = 16

    private let file: VaultFile
    private let bank: [UInt8]
    private let key: SymmetricKey
    private(set) var epoch: [UInt8]
    /// The number of batches that the ledger must have at least.
    private(set) var burnt: Int
    private var unsynchronized = 0

    /// The path of a bank's file.
    private static func path(_ folder: String, _ bank: [UInt8]) -> String {
        "\(folder)/" + bank.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    /// Makes the file of a bank without burnt batches, and returns when it is on the disk.
    ///
    /// - Parameters:
    ///   - folder: The folder of the file; made if it is missing, together with those above it.
    ///   - bank: The bank's name, 16 bytes.
    ///   - epoch: The epoch of the bank's ledger, 16 bytes.
    ///   - master: The bank's key.
    /// - Throws: ``VaultError`` when the folder cannot be written.
    static func make(
        _ folder: String, bank: [UInt8], epoch: [UInt8], key master: SymmetricKey
    ) throws(VaultError) {
        do throws(VaultError) {
            try VaultDirectory.makeAll(folder)
            let held = try VaultDirectory.opening(folder, isShared: true)
            let path = path(folder, bank)
            let name = "\(path).partial"
            VaultFile.remove(name)
            let file = try VaultFile.creating(name)
            try file.append(contents(bank, epoch, 0, key(master, bank)))
            try file.synchronize()
            try VaultFile.move(name, to: path)
            try held.synchronize()
        } catch {
            throw VaultError(
                error.path,
                "\(error.problem); what is known of banks of pads is kept there, wherever they are, "
                    + "and XDG_STATE_HOME names another place")
        }
    }

    /// Opens the file of a bank, and locks it for this process.
    ///
    /// - Returns: Nil when there is no such file.
    /// - Throws: ``VaultError``, also when another process has the bank or a copy of it (``VaultError/isBusy``).
    static func open(
        _ folder: String, bank: [UInt8], key master: SymmetricKey
    ) throws(VaultError) -> PadRegistry? {
        guard let file = try VaultFile.locking(path(folder, bank)) else { return nil }
        var bytes = [UInt8](repeating: 0, count: size)
        let isRead = unsafe bytes.withUnsafeMutableBytes { unsafe file.fill($0) }
        let key = key(master, bank)
        let epoch = Array(bytes[24..<40])
        let burnt: UInt64 = fromLittleEndian(bytes[40..<48])
        guard isRead, file.size == size, burnt < 1 << 60,
            Data(bytes) == contents(bank, epoch, Int(burnt), key)
        else {
            throw VaultError(
                file.path, "was changed, or is not of the bank's key; remove the bank and fill it anew")
        }
        return PadRegistry(file: file, bank: bank, key: key, epoch: epoch, burnt: Int(burnt))
    }

    /// Refuses a ledger that is not the one that was used last.
    ///
    /// - Throws: ``VaultError`` that names the ledger.
    borrowing func check(_ ledger: borrowing PadLedger) throws(VaultError) {
        // The process that used the bank last may have ended after it wrote the ledger anew and before it wrote the new
        // epoch here. It has then used no pads.
        guard ledger.header.epoch == epoch || (ledger.header.previous == epoch && ledger.isNew) else {
            throw VaultError(
                ledger.path,
                "is not the one that was used last: the bank is a copy, or was put back from a backup, and its pads "
                    + "may have been used; \(PadLedger.remedy)")
        }
        guard ledger.count >= burnt else {
            throw VaultError(
                ledger.path,
                "says that \(ledger.count) batches were burnt, and there were \(burnt): it was put back from a "
                    + "backup; \(PadLedger.remedy)")
        }
    }

    /// Writes a new epoch; when this returns, no ledger of an earlier epoch is accepted any more.
    mutating func begin(_ epoch: [UInt8], burnt: Int) throws(VaultError) {
        self.epoch = epoch
        self.burnt = burnt
        try write()
        try synchronize()
    }

    /// Writes the number of burnt batches; called after the ledger has them on the disk.
    mutating func update(burnt: Int) throws(VaultError) {
        self.burnt = burnt
        try write()
        unsynchronized += 1
        if unsynchronized >= Self.stride { try synchronize() }
    }

    private borrowing func write() throws(VaultError) {
        try file.overwrite(Self.contents(bank, epoch, burnt, key))
    }

    private mutating func synchronize() throws(VaultError) {
        try file.synchronize()
        unsynchronized = 0
    }

    private static func contents(
        _ bank: [UInt8], _ epoch: [UInt8], _ burnt: Int, _ key: SymmetricKey
    ) -> Data {
        let bytes = magic + bank + epoch + littleEndian(UInt64(burnt))
        return Data(bytes + HMAC<SHA256>.authenticationCode(for: bytes, using: key).prefix(tagSize))
    }

    private static func key(_ master: SymmetricKey, _ bank: [UInt8]) -> SymmetricKey {
        HKDF<SHA256>.deriveKey(
            inputKeyMaterial: master, salt: bank, info: Array("scx pads 2: registry".utf8),
            outputByteCount: KeyFile.size)
    }
}
