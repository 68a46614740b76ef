import Crypto
import Foundation

extension PadStore {
    /// The paths of a bank, and the model whose pads it holds.
    struct Place {
        let path: String
        /// The folder of ``PadRegistry``.
        let registry: String
        let digest: [UInt8]
        let blocks: Int

        private var file: String { "\(path)/\(PadStore.ledgerName)" }

        /// Opens the ledger and begins a new epoch, so that no earlier copy of the ledger is accepted any more.
        ///
        /// - Parameters:
        ///   - names: The names of the files in the directory; if there is neither a ledger nor a file of pads, a
        ///     ledger is made.
        ///   - directory: The bank's directory, which this process has locked.
        ///   - key: The bank's key.
        ///   - observe: Called before each step on the disk.
        /// - Returns: The ledger and the registry's file.
        /// - Throws: ``VaultError`` when the bank must not be used, or the disk takes no more.
        func open(
            _ names: [String], _ directory: borrowing VaultDirectory, _ key: SymmetricKey,
            _ observe: (PadStore.Step) throws(VaultError) -> Void
        ) throws(VaultError) -> State {
            if !names.contains(PadStore.ledgerName) { try make(names, key, observe) }
            guard let last = try PadLedger.open(file, key: key) else {
                throw VaultError(file, "was deleted while in use")
            }
            try check(last.header)
            let found: PadRegistry?
            do throws(VaultError) {
                found = try PadRegistry.open(registry, bank: last.header.bank, key: key)
            } catch {
                // The process that has the registry's file locked uses a copy of this directory.
                throw error.isBusy ? .busy(path) : error
            }
            guard var registry = found else {
                throw VaultError(
                    path,
                    "nothing is known of this bank in \(registry): it is a copy, or another user made it, or with "
                        + "another XDG_STATE_HOME, and its pads may have been used; \(PadLedger.remedy)")
            }
            try registry.check(last)
            let ledger = try last.renewed(Self.random(), observe)
            try observe(.synchronizeDirectory)
            try directory.synchronize()
            try observe(.register)
            try registry.begin(ledger.header.epoch, burnt: ledger.count)
            return State(ledger: ledger, registry: registry)
        }

        /// Makes a ledger; throws when there are files of pads without one.
        private func make(
            _ names: [String], _ key: SymmetricKey, _ observe: (PadStore.Step) throws(VaultError) -> Void
        ) throws(VaultError) {
            guard !names.contains(where: { $0.hasSuffix(PadStore.fileEnding) }) else {
                throw VaultError(
                    file, "is gone, so nobody can tell which pads were used; \(PadLedger.remedy)")
            }
            let (bank, epoch) = (Self.random(), Self.random())
            try observe(.register)
            try PadRegistry.make(registry, bank: bank, epoch: epoch, key: key)
            try PadLedger.make(
                file,
                PadLedger.Header(
                    blocks: blocks, digest: digest, bank: bank, epoch: epoch, previous: epoch, burntBefore: 0,
                    carried: 0),
                key: key, observe)
        }

        private func check(_ header: PadLedger.Header) throws(VaultError) {
            guard header.digest == digest else {
                let names = [header.digest, digest].map { String(decoding: $0, as: UTF8.self) }
                throw VaultError(
                    path, "holds pads of another model (digest \(names[0]), this one has \(names[1]))")
            }
            guard header.blocks == blocks else {
                throw VaultError(
                    path, "holds pads of a model of \(header.blocks) blocks, this one has \(blocks)")
            }
        }

        /// Draws 16 random bytes.
        private static func random() -> [UInt8] {
            var random = SystemRandomNumberGenerator()
            return (0..<2).flatMap { _ in littleEndian(random.next()) }
        }
    }
}
