import Crypto
import Foundation
package import SCXInference
package import SCXLink
import Synchronization

/// Prepared pads on disk: a directory with one file for each batch, for its owner and one process alone.
///
/// | file | what it is |
/// | --- | --- |
/// | `bank.key` | a key of 256 bits, made with the directory, unless the caller brings one |
/// | `burnt` | the ledger: which batches were used (``PadLedger``) |
/// | `NUMBER-SITE.pads` | a seed and the products of its rows, sealed (``PadFile``) |
///
/// A file is written under another name and forced to the disk (fsync), and only then gets its name; so a crash
/// leaves only whole files.
///
/// **One time.** Before ``take(_:by:)`` hands out a batch, it burns the batch: it removes the file, appends the
/// batch's number to the ledger, and forces both to the disk. A crash at any moment can lose pads, but no pad is ever
/// handed out twice. A file whose number is burnt, because it was restored from a backup or copied, is refused and
/// removed. Numbers strictly rise and are never used for a second batch. Each site's batches are burnt in the order
/// of their numbers, so a batch that was skipped because it could not be read is burnt together with the next one.
///
/// **One ledger.** When a bank is opened, the ledger is written anew under a random epoch before any batch is handed
/// out. A file outside of the directory (``PadRegistry``) has the epoch and the number of burnt batches. So a ledger
/// that was copied or restored is recognised, also when it is the same file on the disk.
///
/// **What is refused.** A file that is cut or changed, has another file's name or a second name (hard link), or is of
/// another model, bank, key or version is refused with one line that names it; everything else stays in use. A ledger
/// that is changed, is not the one that was used last, or has fewer records than batches were burnt is refused
/// together with the whole directory.
///
/// **What cannot be detected** is that the directory and the file outside of it are both back as they were earlier.
/// That happens when a snapshot of a virtual machine, a container or a disk that holds both is restored, and when one
/// snapshot is started twice. Pads that were used in between would be used again, and whoever sees both requests
/// would learn the difference of two rows. After restoring a snapshot, remove the directory before anything uses it.
/// If snapshots are taken regularly, keep the directory on a disk that they leave out, or use no bank.
package final class PadStore: Sendable {
    static let fileEnding = ".pads"
    private static let partial = ".partial"

    /// The steps that change something on the disk; an observer is called before each.
    package enum Step: Hashable, Sendable {
        /// Steps on a file that has only a temporary name yet; the last one gives it its name.
        case create(String), write(String), synchronize(String), name(String)
        case remove(String)
        case record, synchronizeDirectory
        /// A write to the file outside of the directory (``PadRegistry``).
        case register
    }

    /// A function that is called before each step, and that can make the step fail by returning an error code of the
    /// system.
    ///
    /// With 0 the step is done; an observer cannot skip a step without an error.
    package typealias Observer = @Sendable (Step) -> Int32

    private struct Entry {
        let number: UInt64
        let rows: Int
        let bytes: Int
        let path: String
    }

    private struct Index {
        /// The files of each site, the one with the lowest number first.
        var entries: [DecoderSite: [Entry]] = [:]
        /// The number of the next batch.
        var next: UInt64
        /// How many records the ledger has.
        var burnt: Int
    }

    /// The bank's record of which batches were burnt.
    struct State: ~Copyable, Sendable {
        var ledger: PadLedger
        var registry: PadRegistry
        /// Set when a batch could not be burnt.
        ///
        /// Nothing is handed out any more then, because it is not known what is on the disk.
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
    ///   - path: The directory; those above it must exist.
    ///   - registry: The folder, outside of the bank, that has a file for each of this user's banks; made if it is
    ///     missing.
    ///   - digest: The model's digest.
    ///   - blocks: How many blocks the model has.
    ///   - makes: Whether to make a bank if there is none.
    ///   - observer: Called before each step on the disk.
    ///   - warn: Called with a line for each file that is refused, and when nothing can be handed out any more.
    /// - Throws: ``VaultError``, also when another process uses the bank (``VaultError/isBusy``).
    package convenience init(
        directory path: String, registry: String, digest: String, blocks: Int, makes: Bool = true,
        observer: @escaping Observer = { _ in 0 },
        warn: @escaping @Sendable (String) -> Void
    ) throws(VaultError) {
        try self.init(path, registry, digest, blocks, makes, nil, observer, warn)
    }

    /// Opens or makes a bank whose key the caller brings, so that the key is not stored on the disk.
    ///
    /// - Precondition: The key has 32 bytes.
    package convenience init(
        directory path: String, registry: String, digest: String, blocks: Int,
        key: borrowing SecretBuffer<UInt8>,
        makes: Bool = true,
        observer: @escaping Observer = { _ in 0 }, warn: @escaping @Sendable (String) -> Void
    ) throws(VaultError) {
        precondition(key.count == KeyFile.size, "PadStore: a key of 32 bytes")
        let key = unsafe key.span.withUnsafeBytes { unsafe SymmetricKey(data: $0) }
        try self.init(path, registry, digest, blocks, makes, key, observer, warn)
    }

    private init(
        _ path: String, _ registry: String, _ digest: String, _ blocks: Int, _ makes: Bool,
        _ given: SymmetricKey?, _ observer: @escaping Observer, _ warn: @escaping @Sendable (String) -> Void
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
        let place = Place(path: path, registry: registry, digest: self.digest, blocks: blocks)
        let state = try place.open(names, directory, key) { step throws(VaultError) in
            try Self.observe(step, path, observer)
        }
        bank = state.ledger.header.bank
        var index = Index(next: state.ledger.highest + 1, burnt: state.ledger.count)
        for name in names.sorted() where name.hasSuffix(Self.fileEnding) {
            let file = "\(path)/\(name)"
            // A new batch must not get the name of a file that is refused.
            if let number = UInt64(name.prefix { $0.isNumber }), number < 1 << 60 {
                index.next = max(index.next, number + 1)
            }
            switch Self.look(file, name, self.digest, bank) {
            case .failure(let problem): warn("\(file): \(problem)")
            case .success(nil): break
            case .success(let header?):
                guard !state.ledger.isBurnt(header.number, header.site) else {
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
        self.state = Mutex(state)
    }

    /// Whether there is a bank at a path.
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

    /// Reads a file's header, which is not encrypted; nil when the file no longer exists.
    static func look(
        _ path: String, _ name: String, _ digest: [UInt8], _ bank: [UInt8]
    ) -> Result<PadFileHeader?, PadFileProblem> {
        do throws(VaultError) {
            guard let file = try VaultFile.reading(path) else { return .success(nil) }
            try file.checkOnlyName()
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

    /// The number of rows left for a site.
    package func rows(of site: DecoderSite) -> Int {
        index.withLock { $0.entries[site]?.reduce(0) { $0 + $1.rows } ?? 0 }
    }

    /// How many rows the next batch of a site has, and how many bytes of memory it takes; nil when there is none.
    func nextBatch(of site: RingSite) -> (rows: Int, bytes: Int)? {
        index.withLock { $0.entries[site.site]?.first }.map { ($0.rows, 4 * $0.rows * site.outputs) }
    }

    /// The size of all files of pads together.
    package var byteCount: Int {
        index.withLock { $0.entries.values.reduce(0) { $0 + $1.reduce(0) { $0 + $1.bytes } } }
    }

    /// How many batches were burnt since the bank was made.
    package var burntCount: Int { index.withLock { $0.burnt } }

    // MARK: Adding pads

    /// Seals pads into a file of their own; when this returns, the file is on the disk.
    ///
    /// - Parameters:
    ///   - products: `[rows, outputs]`, of consecutive rows of the seed.
    ///   - seed: A seed that was drawn for this site and never used.
    ///   - first: The number, among the seed's rows, of the first row.
    ///   - site: The site for which the pads are.
    ///   - maker: The source that multiplied them.
    /// - Throws: ``VaultError``; files that were there before stay.
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
            // Another thread may have added a later batch first.
            var entries = index.entries[site.site] ?? []
            entries.insert(entry, at: entries.firstIndex { $0.number > number } ?? entries.count)
            index.entries[site.site] = entries
        }
    }

    private func observe(_ step: Step) throws(VaultError) { try Self.observe(step, path, observer) }

    private static func observe(
        _ step: Step, _ path: String, _ observer: Observer
    ) throws(VaultError) {
        let code = observer(step)
        guard code == 0 else { throw VaultError(path, "cannot write it: \(VaultError.reason(code))") }
    }

    // MARK: Taking pads

    /// Reads the oldest batch of a site and burns it; after that its rows may be used, once.
    ///
    /// - Parameters:
    ///   - site: The site for which the pads are.
    ///   - isWanted: Called with the maker of each batch; if it returns false, the batch is skipped.
    /// - Returns: Nil when there is no batch that can be used; a line was given for each that was refused.
    package func take(_ site: RingSite, by isWanted: (PadMaker) -> Bool = { _ in true }) -> StoredPads? {
        // Only one call at a time, so that the numbers in the ledger rise.
        state.withLock { state -> StoredPads? in
            while !state.isBroken, let entry = removeFirst(of: site.site) {
                do throws(PadFileProblem) {
                    guard let pads = try read(entry, site, isWanted, &state) else { continue }
                    do throws(VaultError) { try burn(entry, site.site, &state) } catch {
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

    /// Marks the bank as broken, so that it hands out nothing any more.
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
            try found.checkOnlyName()
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

    /// Burns a batch: when this returns, nobody can read it again, and the ledger says that it was used.
    private func burn(_ entry: Entry, _ site: DecoderSite, _ state: inout State) throws(VaultError) {
        // The file is removed first, since on a full disk that makes room for the record.
        try observe(.remove(entry.path))
        try VaultFile.removeSurely(entry.path)
        try observe(.record)
        try state.ledger.burn(entry.number, site)
        try observe(.synchronizeDirectory)
        try directory.synchronize()
        try observe(.register)
        let count = state.ledger.count
        try state.registry.update(burnt: count)
        index.withLock { $0.burnt = count }
    }
}
