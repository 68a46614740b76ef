import Crypto
import Foundation
package import SCXInference
package import SCXLink
import Synchronization

/// Prepared pads that wait on disk: a directory with one file for each batch, for its owner and one process alone.
///
/// | file | what it is |
/// | --- | --- |
/// | `bank.key` | a key of 256 bits, made with the directory, unless the caller brings one |
/// | `burnt` | the ledger: which batches were used (``PadLedger``) |
/// | `NUMBER-SITE.pads` | a seed and the products of its rows, sealed (``PadFile``) |
///
/// A file is written under another name, brought to the disk, and only then named; a crash leaves whole files.
///
/// **One time.** Before ``take(_:by:)`` gives out a batch, the batch is burnt: its file is removed, its number is
/// appended to the ledger, and both are on the disk. A crash at any moment can lose pads, and none is ever given out
/// twice. A file whose number is burnt, since it was put back from a backup or copied, is refused and removed.
/// Numbers strictly rise and are never given again; each site's are burnt in their order, so a batch that was passed over
/// since it could not be read is burnt with the next one.
///
/// **What is refused**, with one line that names the file, and leaves all else as it was: a file that is cut or changed
/// or has another's name, of another model, bank, key or version. A ledger that is changed, older than a file, or
/// itself a copy is refused together with the whole directory.
///
/// **What cannot be detected**: the directory put back as a whole as it was, with its ledger, on the same disk. A snapshot
/// of a virtual machine or of a disk does that when it is restored, and so does starting one snapshot twice. Pads that were
/// used in between would be used again, and whoever sees both requests learns the difference of two rows. Whoever
/// restores a snapshot removes the directory before anything uses it; one who takes snapshots as a habit keeps
/// the directory on a disk that they do not cover, or does without a bank.
package final class PadStore: Sendable {
    static let fileEnding = ".pads"
    private static let partial = ".partial"

    /// What is done to the disk, each before it is done.
    package enum Step: Hashable, Sendable {
        /// Of a file that is not yet named, or of its name.
        case create(String), write(String), synchronize(String), name(String)
        case remove(String)
        case record, synchronizeDirectory
    }

    /// Is told each step, and can make it fail with an error code of the system; 0 lets it be.
    ///
    /// It cannot leave one out.
    package typealias Observer = @Sendable (Step) -> Int32

    private struct Entry {
        let number: UInt64
        let rows: Int
        let bytes: Int
        let path: String
    }

    private struct Index {
        /// Of each site, the lowest number first.
        var entries: [DecoderSite: [Entry]] = [:]
        /// The number of the next batch.
        var next: UInt64
        /// Records of the ledger.
        var burnt: Int
    }

    private struct State: ~Copyable {
        var ledger: PadLedger
        /// Nothing is given out when a batch could not be burnt: what the disk holds is not known any more.
        var isBroken = false
    }

    package let path: String
    private let directory: VaultDirectory
    private let key: SymmetricKey
    private let digest: [UInt8]
    private let bank: [UInt8]
    private let index: Mutex<Index>
    private let state: Mutex<State>
    private let warn: @Sendable (String) -> Void
    private let observer: Observer

    /// Opens a bank, or makes one.
    ///
    /// - Parameters:
    ///   - path: The directory; those above it are there.
    ///   - digest: The model's.
    ///   - blocks: Blocks of the model.
    ///   - makes: Whether to make a bank where there is none.
    ///   - observer: Sees what is done to the disk.
    ///   - warn: Told of each file that is refused, and when nothing can be given out any more.
    /// - Throws: ``VaultError``, also when another process has the directory (``VaultError/isBusy``).
    package convenience init(
        directory path: String, digest: String, blocks: Int, makes: Bool = true,
        observer: @escaping Observer = { _ in 0 },
        warn: @escaping @Sendable (String) -> Void
    ) throws(VaultError) {
        try self.init(path, digest, blocks, makes, nil, observer, warn)
    }

    /// The same with a key of the caller's, of which nothing is kept on the disk.
    ///
    /// - Precondition: The key has 32 bytes.
    package convenience init(
        directory path: String, digest: String, blocks: Int, key: borrowing SecretBuffer<UInt8>,
        makes: Bool = true,
        observer: @escaping Observer = { _ in 0 }, warn: @escaping @Sendable (String) -> Void
    ) throws(VaultError) {
        precondition(key.count == KeyFile.size, "PadStore: a key of 32 bytes")
        let key = unsafe key.span.withUnsafeBytes { unsafe SymmetricKey(data: $0) }
        try self.init(path, digest, blocks, makes, key, observer, warn)
    }

    private init(
        _ path: String, _ digest: String, _ blocks: Int, _ makes: Bool, _ given: SymmetricKey?,
        _ observer: @escaping Observer, _ warn: @escaping @Sendable (String) -> Void
    ) throws(VaultError) {
        precondition(digest.utf8.count == 32 && blocks > 0, "PadStore: no digest of a model")
        self.path = path
        self.digest = Array(digest.utf8)
        self.warn = warn
        self.observer = observer
        guard makes || Self.exists(path) else {
            throw VaultError(path, "there is no bank of pads here; 'scx pads fill' makes one")
        }
        directory = try VaultDirectory.opening(path)
        let names = VaultDirectory.names(in: path) ?? []
        directory.removeFiles(endingIn: [Self.partial])
        key = try Self.openKey(path, names, given)
        try directory.synchronize()
        let ledger = try Self.openLedger(path, names, self.digest, blocks, key)
        bank = ledger.header.bank
        guard ledger.header.digest == self.digest else {
            let other = String(decoding: ledger.header.digest, as: UTF8.self)
            throw VaultError(path, "holds pads of another model (digest \(other), this one has \(digest))")
        }
        guard ledger.header.blocks == blocks else {
            throw VaultError(
                path, "holds pads of a model of \(ledger.header.blocks) blocks, this one has \(blocks)")
        }
        var index = Index(next: ledger.highest + 1, burnt: ledger.count)
        for name in names.sorted() where name.hasSuffix(Self.fileEnding) {
            let file = "\(path)/\(name)"
            // No new batch gets the name of one that is refused.
            if let number = UInt64(name.prefix { $0.isNumber }), number < 1 << 60 {
                index.next = max(index.next, number + 1)
            }
            switch Self.look(file, name, self.digest, bank) {
            case .failure(let problem): warn("\(file): \(problem)")
            case .success(nil): break
            case .success(let header?):
                guard !ledger.isBurnt(header.number, header.site) else {
                    VaultFile.remove(file)
                    warn("\(file): its pads were used or passed over before; it is removed")
                    continue
                }
                index.entries[header.site, default: []].append(
                    Entry(number: header.number, rows: header.rows, bytes: header.fileSize, path: file))
            }
        }
        try directory.synchronize()
        self.index = Mutex(index)
        state = Mutex(State(ledger: ledger))
    }

    /// Whether somebody made a bank at a path.
    package static func exists(_ path: String) -> Bool {
        VaultDirectory.names(in: path)?.contains(ledgerName) ?? false
    }

    static let ledgerName = "burnt"
    private static let keyName = "bank.key"

    private static func openKey(
        _ path: String, _ names: [String], _ given: SymmetricKey?
    ) throws(VaultError) -> SymmetricKey {
        if let given { return given }
        let file = "\(path)/\(keyName)"
        if let key = try KeyFile.read(file) { return key }
        guard !names.contains(ledgerName) else {
            throw VaultError(file, "is gone; without it the pads here are of no use")
        }
        try KeyFile.make(file)
        guard let key = try KeyFile.read(file) else { throw VaultError(file, "was deleted while in use") }
        return key
    }

    /// Opens the ledger, or makes one where there is no pad.
    private static func openLedger(
        _ path: String, _ names: [String], _ digest: [UInt8], _ blocks: Int, _ key: SymmetricKey
    ) throws(VaultError) -> PadLedger {
        let file = "\(path)/\(ledgerName)"
        if !names.contains(ledgerName) {
            guard !names.contains(where: { $0.hasSuffix(fileEnding) }) else {
                throw VaultError(
                    file,
                    "is gone, so nobody can tell which pads were used; remove the directory and fill it anew")
            }
            try PadLedger.make(file, blocks: blocks, digest: digest, key: key)
        }
        guard let ledger = try PadLedger.open(file, key: key) else {
            throw VaultError(file, "was deleted while in use")
        }
        return ledger
    }

    /// Reads what a file says of itself in clear; nothing when the file is gone.
    static func look(
        _ path: String, _ name: String, _ digest: [UInt8], _ bank: [UInt8]
    ) -> Result<PadFileHeader?, PadFileProblem> {
        do throws(VaultError) {
            guard let file = try VaultFile.reading(path) else { return .success(nil) }
            return PadFile.header(file).flatMap { header in
                if header.digest != digest { return .failure("is of another model") }
                if header.bank != bank { return .failure("is of another bank") }
                if header.name != name { return .failure("has the name of another batch") }
                return .success(header)
            }
        } catch {
            return .failure(PadFileProblem(stringLiteral: error.problem))
        }
    }

    /// Rows of a site that are left.
    package func rows(of site: DecoderSite) -> Int {
        index.withLock { $0.entries[site]?.reduce(0) { $0 + $1.rows } ?? 0 }
    }

    /// Rows and bytes of memory of the next batch of a site; nil when there is none.
    func nextBatch(of site: RingSite) -> (rows: Int, bytes: Int)? {
        index.withLock { $0.entries[site.site]?.first }.map { ($0.rows, 4 * $0.rows * site.outputs) }
    }

    /// Size of all files of pads.
    package var byteCount: Int {
        index.withLock { $0.entries.values.reduce(0) { $0 + $1.reduce(0) { $0 + $1.bytes } } }
    }

    /// Batches that were burnt since the bank was made.
    package var burntCount: Int { index.withLock { $0.burnt } }

    // MARK: In

    /// Seals pads into a file of their own; when this returns, it is on the disk.
    ///
    /// - Parameters:
    ///   - products: `[rows, outputs]`, of consecutive rows of the seed.
    ///   - seed: Drawn for this site and never used.
    ///   - first: The number among the seed's rows of the first.
    ///   - site: Which site they are for.
    ///   - maker: Who multiplied them.
    /// - Throws: ``VaultError``; what was there before stays.
    package func add(
        _ products: Span<UInt32>, seed: PadSeed, first: Int, site: RingSite, maker: PadMaker
    ) throws(VaultError) {
        precondition(
            !products.isEmpty && products.count % site.outputs == 0, "PadStore: products are not whole rows")
        var random = SecureRandom(bufferBytes: 32)
        let salt = (0..<8).flatMap { _ in littleEndian(random.word()) }
        let (number, burnt) = index.withLock { index in
            defer { index.next += 1 }
            return (index.next, index.burnt)
        }
        let header = PadFileHeader(
            site: site.site, rows: products.count / site.outputs, inputs: site.inputs, outputs: site.outputs,
            prefaceSize: PadFile.prefaceSize(maker), number: number, first: UInt64(first),
            burntBefore: UInt64(burnt),
            digest: digest, bank: bank, salt: salt)
        let target = "\(path)/\(header.name)"
        let partial = target + Self.partial
        do throws(VaultError) {
            try observe(.create(partial))
            let file = try VaultFile.creating(partial)
            try observe(.write(partial))
            try PadFile.write(header, seed: seed, maker: maker, products: products, key: key, to: file)
            try observe(.synchronize(partial))
            try file.synchronize()
            try observe(.name(target))
            try VaultFile.move(partial, to: target)
            try observe(.synchronizeDirectory)
            try directory.synchronize()
        } catch {
            VaultFile.remove(partial)
            VaultFile.remove(target)
            throw error
        }
        let entry = Entry(number: number, rows: header.rows, bytes: header.fileSize, path: target)
        index.withLock { index in
            // Another thread may have been faster with a later one.
            var entries = index.entries[site.site] ?? []
            entries.insert(entry, at: entries.firstIndex { $0.number > number } ?? entries.count)
            index.entries[site.site] = entries
        }
    }

    private func observe(_ step: Step) throws(VaultError) {
        let code = observer(step)
        guard code == 0 else { throw VaultError(path, "cannot write it: \(VaultError.reason(code))") }
    }

    // MARK: Out

    /// Reads the oldest batch of a site and burns it; then its rows may be used, once.
    ///
    /// - Parameters:
    ///   - site: Whose pads.
    ///   - isWanted: Asked for the maker of each batch; one that it declines is passed over.
    /// - Returns: Nil when there is none that can be used; of what is refused the bank's owner was told.
    package func take(_ site: RingSite, by isWanted: (PadMaker) -> Bool = { _ in true }) -> StoredPads? {
        // One at a time, so that numbers rise in the ledger.
        state.withLock { state -> StoredPads? in
            while !state.isBroken, let entry = removeFirst(of: site.site) {
                do throws(PadFileProblem) {
                    guard let pads = try read(entry, site, isWanted, &state) else { continue }
                    do throws(VaultError) { try burn(entry, site.site, &state.ledger) } catch {
                        fail(&state)
                        warn(
                            "\(error); pads of the bank \(path) are used no more, since they cannot be burnt")
                        return nil
                    }
                    return pads
                } catch {
                    warn("\(entry.path): \(error)")
                }
            }
            return nil
        }
    }

    /// Gives out nothing any more.
    private func fail(_ state: inout State) {
        state.isBroken = true
        index.withLock { $0.entries = [:] }
    }

    private func removeFirst(of site: DecoderSite) -> Entry? {
        index.withLock { index in
            guard index.entries[site]?.isEmpty == false else { return nil }
            return index.entries[site]?.removeFirst()
        }
    }

    private func read(
        _ entry: Entry, _ site: RingSite, _ isWanted: (PadMaker) -> Bool, _ state: inout State
    ) throws(PadFileProblem) -> StoredPads? {
        guard !state.ledger.isBurnt(entry.number, site.site) else {
            VaultFile.remove(entry.path)
            throw "its pads were used or passed over before; it is removed"
        }
        let file: VaultFile
        do throws(VaultError) {
            guard let found = try VaultFile.reading(entry.path) else {
                throw VaultError(entry.path, "is gone")
            }
            file = found
        } catch {
            throw PadFileProblem(stringLiteral: error.problem)
        }
        let header = try PadFile.header(file).get()
        guard header.site == site.site, header.number == entry.number, header.digest == digest,
            header.bank == bank
        else { throw "was exchanged for another file" }
        guard header.inputs == site.inputs, header.outputs == site.outputs else {
            throw
                "is for rows of \(header.inputs) and \(header.outputs) channels, not \(site.inputs) and \(site.outputs)"
        }
        guard let pads = try PadFile.read(header, key: key, from: file, isWanted: isWanted) else {
            return nil
        }
        guard header.burntBefore <= state.ledger.count else {
            fail(&state)
            throw """
            was written when \(header.burntBefore) batches were burnt, and the ledger has \(state.ledger.count): \
            it is an older one, and no pads are taken from \(path); remove the directory and fill it anew
            """
        }
        return pads
    }

    /// When this returns, nobody can read the batch again, and everybody can tell that it was used.
    private func burn(_ entry: Entry, _ site: DecoderSite, _ ledger: inout PadLedger) throws(VaultError) {
        // The file goes first: on a full disk that makes room for the record.
        try observe(.remove(entry.path))
        try VaultFile.removeSurely(entry.path)
        try observe(.record)
        try ledger.burn(entry.number, site)
        try observe(.synchronizeDirectory)
        try directory.synchronize()
        let count = ledger.count
        index.withLock { $0.burnt = count }
    }
}
