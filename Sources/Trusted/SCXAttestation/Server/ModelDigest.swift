import Crypto
import Foundation

/// An identity of a model's files that nobody can make another model for.
///
/// For a file it is the file's SHA-256. For a directory it is what `LC_ALL=C sha256sum * | sha256sum` prints in it: SHA-256
/// of one line for each file that is not hidden, in the order of the names' bytes. Directories within it are left out.
package enum ModelDigest {
    /// The digest in base 16.
    ///
    /// - Parameters:
    ///   - path: A file, or a directory.
    ///   - progress: Called now and then with the bytes that were read, and those that there are.
    /// - Returns: 64 digits.
    /// - Throws: ``EvidenceError`` that names the file that cannot be read.
    package static func digest(
        of path: String, progress: (_ done: Int, _ all: Int) -> Void = { _, _ in }
    ) throws(EvidenceError) -> String {
        var isDirectory: ObjCBool = false
        guard unsafe FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
            throw EvidenceError("\(path): is not there")
        }
        var count = Count()
        guard isDirectory.boolValue else {
            count.all = size(path)
            return Hex.text(try digest(ofFile: path, &count, progress))
        }
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: path) else {
            throw EvidenceError("\(path): cannot be read as a directory")
        }
        let files = names.filter { !$0.hasPrefix(".") && isFile("\(path)/\($0)") }
            .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        count.all = files.reduce(0) { $0 + size("\(path)/\($1)") }
        var lines = SHA256()
        for name in files {
            let digest = try digest(ofFile: "\(path)/\(name)", &count, progress)
            lines.update(data: Array("\(Hex.text(digest))  \(name)\n".utf8))
        }
        return Hex.text(lines.finalize())
    }

    private struct Count {
        var done = 0
        var all = 0
    }

    private static func isFile(_ path: String) -> Bool {
        var isDirectory: ObjCBool = false
        return unsafe FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory)
            && !isDirectory.boolValue
    }

    private static func size(_ path: String) -> Int {
        // Of what a link leads to.
        let resolved = URL(filePath: path).resolvingSymlinksInPath().path
        return (try? FileManager.default.attributesOfItem(atPath: resolved)[.size] as? Int) ?? 0
    }

    private static func digest(
        ofFile path: String, _ count: inout Count, _ progress: (Int, Int) -> Void
    ) throws(EvidenceError) -> [UInt8] {
        guard let file = FileHandle(forReadingAtPath: path) else {
            throw EvidenceError("\(path): cannot be opened")
        }
        defer { try? file.close() }
        var hash = SHA256()
        do {
            while let part = try file.read(upToCount: 1 << 22), !part.isEmpty {
                hash.update(data: part)
                count.done += part.count
                progress(count.done, count.all)
            }
        } catch { throw EvidenceError("\(path): cannot be read") }
        return hash.finalize().bytes
    }
}
