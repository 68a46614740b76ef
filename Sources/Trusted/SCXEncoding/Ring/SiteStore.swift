import Crypto
import Foundation

/// A model's sites, stored between starts: a directory for its owner alone, with one file for each model.
///
/// | file | what it is |
/// | --- | --- |
/// | `site.key` | a key of 256 bits, made with the directory |
/// | `DIGEST.sites` | scales, biases and norms, which are public, and the secrets S and S̃, all sealed (``SiteFile``) |
///
/// Making a site requires reading all of its weights; what is stored is a few bytes for each input and output. A file
/// is written under another name and forced to the disk, and only then gets its name. Several processes may read it;
/// one writes at a time.
///
/// **The secret S over several starts.** All that workers and peers learn about S is that a product was refused, and
/// each refusal rules out one of 2⁶⁰ possible values. After a refusal the file is removed before anything else is
/// done, and S of that site is drawn anew for this process. Neither this process nor another running one writes the file
/// again, since each knows only the refusals of its own workers. A file is only written with S that were just drawn, by a
/// start that found no file. So no product is verified with an S that a liar has tried, neither in this process nor in
/// those that start later. The start after a refusal reads the weights once more.
package final class SiteStore: Sendable {
    static let fileEnding = ".sites"
    private static let partial = ".partial"
    private static let keyName = "site.key"

    /// The path of the model's file.
    package let path: String
    private let directory: String
    private let digest: [UInt8]
    private let key: SymmetricKey
    private let warn: @Sendable (String) -> Void

    /// Opens a directory, or makes it.
    ///
    /// - Parameters:
    ///   - directory: Its path; the directories above it must exist.
    ///   - digest: The model's digest.
    ///   - warn: Called with a line when a file is made anew, or cannot be written.
    /// - Throws: ``VaultError`` when others can enter the directory, its key is missing or cannot be read, or another
    ///   process is making it.
    package init(
        directory: String, digest: String, warn: @escaping @Sendable (String) -> Void
    ) throws(VaultError) {
        precondition(digest.utf8.count == 32, "SiteStore: no digest of a model")
        self.directory = directory
        self.digest = Array(digest.utf8)
        self.warn = warn
        path = "\(directory)/\(digest)\(Self.fileEnding)"
        _ = try VaultDirectory.opening(directory, isShared: true)
        let file = "\(directory)/\(Self.keyName)"
        if let key = try KeyFile.read(file) {
            self.key = key
            return
        }
        let held = try VaultDirectory.opening(directory)
        if try KeyFile.read(file) == nil {
            let kept = (VaultDirectory.names(in: directory) ?? []).first { $0.hasSuffix(Self.fileEnding) }
            guard kept == nil else {
                throw VaultError(
                    file, "is gone; without it '\(kept ?? "")' is of no use: remove that to begin anew")
            }
            try KeyFile.make(file)
            try held.synchronize()
        }
        guard let key = try KeyFile.read(file) else { throw VaultError(file, "was deleted while in use") }
        self.key = key
    }

    /// Reads the model's sites.
    ///
    /// - Parameter shapes: The shapes of the model's sites, in the order of a forward pass.
    /// - Returns: Nil when there are none that can be used, about which a line was given; they then have to be made
    ///   and saved.
    /// - Throws: ``VaultError`` when the file was written under another key.
    package func load(_ shapes: [SiteShape]) throws(VaultError) -> [RingSite]? {
        let file: VaultFile
        do throws(VaultError) {
            guard let found = try VaultFile.reading(path) else { return nil }
            file = found
        } catch {
            warn("\(error); it is made anew")
            return nil
        }
        do throws(SiteFile.Problem) {
            return try SiteFile.read(shapes, digest: digest, key: key, from: file)
        } catch {
            switch error {
            case .damaged(let problem):
                warn("\(path): \(problem); it is made anew")
                return nil
            case .refused(let problem):
                throw VaultError(
                    path, "\(problem); bring back its '\(Self.keyName)', or remove it to begin anew")
            }
        }
    }

    /// Writes the model's sites in place of the stored ones.
    ///
    /// A process that opens the model meanwhile finds either the old file or the new one.
    ///
    /// - Parameter sites: All sites of the model, in the order of a forward pass.
    package func save(_ sites: [RingSite]) {
        let name = path + Self.partial
        do throws(VaultError) {
            let held = try VaultDirectory.opening(directory)
            VaultFile.remove(name)
            let file = try VaultFile.creating(name)
            try SiteFile.write(sites, digest: digest, key: key, to: file)
            try file.synchronize()
            try VaultFile.move(name, to: path)
            try held.synchronize()
        } catch {
            if !error.isBusy { VaultFile.remove(name) }
            warn("\(error); the sites are not kept")
        }
    }

    /// Removes the model's file; when this returns, nobody can read it any more.
    package func remove() {
        do throws(VaultError) {
            try VaultFile.removeSurely(path)
            try VaultDirectory.opening(directory, isShared: true).synchronize()
        } catch {
            warn("\(error)")
        }
    }
}
