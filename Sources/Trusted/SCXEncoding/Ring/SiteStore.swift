import Crypto
import Foundation

/// A model's sites as they are kept between starts: a directory for its owner alone, with one file for each model.
///
/// | file | what it is |
/// | --- | --- |
/// | `site.key` | a key of 256 bits, made with the directory |
/// | `DIGEST.sites` | scales, biases and norms, which are public, and the secrets S and S̃, all sealed (``SiteFile``) |
///
/// Making a site takes reading all of its weights; what is kept is some bytes for each input and output. A file is written
/// under another name, brought to the disk, and only then named. Several processes may read it; one writes at a time.
///
/// **The secret S over restarts.** Whoever multiplies learns of S only that a product was refused, and each refusal rules
/// out one of 2⁶⁰ possible S. After a refusal the file is removed before anything else is done, and S of that site is drawn
/// anew for this process. The file is not written again by this process, nor by another one that runs: each knows only
/// the refusals of its own workers. A file is only ever written with S that were just drawn, by a start that found none, so
/// no S that a liar has tried is verified with after that, in this process and in those that start later. The start after a
/// refusal reads the weights once more.
package final class SiteStore: Sendable {
    static let fileEnding = ".sites"
    private static let partial = ".partial"
    private static let keyName = "site.key"

    /// The model's file.
    package let path: String
    private let directory: String
    private let digest: [UInt8]
    private let key: SymmetricKey
    private let warn: @Sendable (String) -> Void

    /// Opens a directory, or makes it.
    ///
    /// - Parameters:
    ///   - directory: Its path; those above it are there.
    ///   - digest: The model's.
    ///   - warn: Told when a file is made anew, or cannot be written.
    /// - Throws: ``VaultError`` when others can enter the directory, its key is gone or cannot be read, or another
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
    /// - Parameter shapes: As the model has them, in the order of a forward pass.
    /// - Returns: Nil when there are none that can be used, of which the owner was told: they are to be made and saved.
    /// - Throws: ``VaultError`` when the file is of another key.
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

    /// Writes the model's sites, in place of what is there; whoever opens the model meanwhile finds the old or the new.
    ///
    /// - Parameter sites: All of the model, in the order of a forward pass.
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

    /// Removes the model's file; when this returns, nobody reads it again.
    package func remove() {
        do throws(VaultError) {
            try VaultFile.removeSurely(path)
            try VaultDirectory.opening(directory, isShared: true).synchronize()
        } catch {
            warn("\(error)")
        }
    }
}
