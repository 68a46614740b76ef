import ArgumentParser
import Foundation
import SCX
import SCXEncoding
import SCXInference
import SCXOptions

/// The flags that say where pads come from and where they are kept.
struct PadFlags: ParsableArguments {
    @Option(
        name: .customLong("pads"),
        help: ArgumentHelp(
            "Where products of pads come from: direct (this side multiplies), or peer:ADDRESS, a worker of another owner.",
            discussion: """
                May be repeated; the first that gives them counts. Addresses are as for '--worker'. (default: direct)
                """))
    var given: [Place] = []

    @Option(
        help: ArgumentHelp(
            "Directory of the bank of pads on disk, which 'scx pads fill' makes.",
            discussion: """
                Without it, this user's bank of the model if there is one: $XDG_STATE_HOME/scx/pads/DIGEST or \
                ~/.local/state/scx/pads/DIGEST. Wherever it is, $XDG_STATE_HOME/scx/banks (or \
                ~/.local/state/scx/banks) keeps a small file that says what was used of it; without that file, or \
                when the two do not agree, the bank is refused.
                """))
    var bank: String?

    @Option(
        help: ArgumentHelp(
            "Directory where this side keeps what it needs of models' weights, so that it reads them once.",
            discussion: """
                Without it, each start reads the whole checkpoint. The directory also holds secrets that products are \
                verified with; it is for its owner alone.
                """))
    var siteData: String?

    @Option(help: "Megabytes of prepared products of pads in memory at most.")
    var padMemory = 1024

    enum Place: Equatable, ExpressibleByArgument {
        case direct
        case peer(ModelOptions.WorkerPlace)

        init?(argument: String) {
            if argument == "direct" {
                self = .direct
            } else if argument.hasPrefix("peer:"),
                let place = ModelOptions.WorkerPlace(argument: String(argument.dropFirst(5))),
                place != .inprocess
            {
                self = .peer(place)
            } else {
                return nil
            }
        }
    }

    /// Whether all of these flags have their default values.
    var isDefault: Bool { given.isEmpty && bank == nil && siteData == nil && padMemory == 1024 }

    /// The pad settings that these flags describe.
    ///
    /// - Parameter tls: The TLS flags, used for peers over TCP.
    /// - Returns: The sources of pads, and how to open the pad store and the site data.
    /// - Throws: `ValidationError` when TLS flags are missing, or this build has no TCP.
    func settings(_ tls: TLSFlags) throws -> PadSettings {
        var settings = PadSettings()
        if !given.isEmpty {
            settings.sources = try given.map { place in
                switch place {
                case .direct: .direct
                case .peer(let worker): .peer(try worker.place(tls))
                }
            }
        }
        settings.memory = memory
        settings.store = { try store($0) }
        settings.siteStore = { try siteStore($0) }
        return settings
    }

    /// `--pad-memory` in bytes.
    var memory: Int { padMemory << 20 }

    func validate() throws {
        guard (1...1 << 20).contains(padMemory) else {
            throw ValidationError("'--pad-memory \(padMemory)' is not from 1 to 1048576 megabytes.")
        }
        guard bank?.isEmpty != true else { throw ValidationError("'--bank' names no directory.") }
        guard siteData?.isEmpty != true else { throw ValidationError("'--site-data' names no directory.") }
    }

    /// The directory of the pad bank for the model with this digest; it may not exist.
    func directory(_ digest: String) -> String { bank ?? Self.defaultDirectory(digest) }

    /// The directory of the user's own pads for a model, used without `--bank`.
    private static func defaultDirectory(_ digest: String) -> String { "\(stateFolder)/pads/\(digest)" }

    /// The directory that records which pads of the user's banks were used.
    private static var registry: String { "\(stateFolder)/banks" }

    private static var stateFolder: String {
        let environment = ProcessInfo.processInfo.environment
        let home = environment["HOME"] ?? NSHomeDirectory()
        let state =
            environment["XDG_STATE_HOME"].flatMap { $0.hasPrefix("/") ? $0 : nil } ?? "\(home)/.local/state"
        return "\(state)/scx"
    }

    /// Opens the bank that `--bank` names, or the user's own if it exists.
    ///
    /// - Returns: Nil when pads are kept in memory alone, because there is no bank or another process uses it.
    func store(_ checkpoint: Checkpoint) throws -> PadStore? {
        let digest = checkpoint.digest()
        let path = directory(digest)
        guard bank != nil || PadStore.exists(path) else { return nil }
        let blocks = checkpoint.configuration.blockCount
        let opened = Result { () throws(VaultError) in
            try PadStore(
                directory: path, registry: Self.registry, digest: digest, blocks: blocks, makes: false
            ) { standardError("warning: \($0)") }
        }
        if case .failure(let error) = opened, error.isBusy {
            standardError("warning: \(error); this one keeps pads in memory alone")
            return nil
        }
        return try opened.get()
    }

    /// Opens the directory that `--site-data` names, or makes it.
    ///
    /// - Returns: Nil when the flag is not given, or another process is making the directory.
    func siteStore(_ checkpoint: Checkpoint) throws -> SiteStore? {
        guard let siteData else { return nil }
        let opened = Result { () throws(VaultError) in
            try SiteStore(directory: siteData, digest: checkpoint.digest()) {
                standardError("warning: \($0)")
            }
        }
        if case .failure(let error) = opened, error.isBusy {
            standardError("warning: \(error); this one reads the weights")
            return nil
        }
        return try opened.get()
    }

    /// Opens the bank, or makes it if it does not exist.
    func makeStore(_ checkpoint: Checkpoint) throws -> PadStore {
        let digest = checkpoint.digest()
        let path = directory(digest)
        try FileManager.default.createDirectory(
            at: URL(filePath: path).deletingLastPathComponent(), withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700])
        return try PadStore(
            directory: path, registry: Self.registry, digest: digest,
            blocks: checkpoint.configuration.blockCount + checkpoint.configuration.towerBlocks.count
        ) { standardError("warning: \($0)") }
    }
}
