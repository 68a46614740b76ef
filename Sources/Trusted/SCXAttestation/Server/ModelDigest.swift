import Crypto
import Foundation

/// An identity of a model's files that nobody can make another model for.
///
/// For a file it is the file's SHA-256. For a directory it is SHA-256 of one line for each file within it that is not
/// hidden, in the order of the paths' bytes: what this prints in it:
///
///     find -L . -type f -not -path '*/.*' -printf '%P\n' | LC_ALL=C sort | xargs sha256sum | sha256sum
package enum ModelDigest {
    /// The most files, and the most folders within folders.
    private static let (mostFiles, deepest) = (100_000, 8)

    /// The digest in base 16.
    ///
    /// - Parameters:
    ///   - path: A file, or a directory.
    ///   - progress: Called now and then with the bytes that were read, and those that there are.
    /// - Returns: 64 digits.
    /// - Throws: ``EvidenceError`` that names the file that cannot be read, or whose name could be taken for a line.
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
        var files: [String] = []
        try find(in: path, below: "", depth: 0, &files)
        files.sort { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        count.all = files.reduce(0) { $0 + size("\(path)/\($1)") }
        var lines = SHA256()
        for name in files {
            let digest = try digest(ofFile: "\(path)/\(name)", &count, progress)
            lines.update(data: Array("\(Hex.text(digest))  \(name)\n".utf8))
        }
        return Hex.text(lines.finalize())
    }

    /// Adds the paths of a folder's files, without the beginning.
    private static func find(
        in root: String, below folder: String, depth: Int, _ files: inout [String]
    ) throws(EvidenceError) {
        guard depth <= deepest else { throw EvidenceError("\(root)/\(folder): its folders are too deep") }
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: "\(root)/\(folder)") else {
            throw EvidenceError("\(root)/\(folder): cannot be read as a directory")
        }
        for name in names where !name.hasPrefix(".") {
            // A name with a line feed could look like several files.
            guard name.utf8.allSatisfy({ (0x21..<0x7f).contains($0) && !"\\\"'".utf8.contains($0) }) else {
                throw EvidenceError(
                    "\(root)/\(folder): a file's name has spaces, quotation marks or unusual characters")
            }
            let path = folder.isEmpty ? name : "\(folder)/\(name)"
            var isDirectory: ObjCBool = false
            guard unsafe FileManager.default.fileExists(atPath: "\(root)/\(path)", isDirectory: &isDirectory)
            else {
                throw EvidenceError("\(root)/\(path): leads nowhere")
            }
            if isDirectory.boolValue {
                try find(in: root, below: path, depth: depth + 1, &files)
            } else {
                files.append(path)
            }
            guard files.count <= mostFiles else {
                throw EvidenceError("\(root): has more than \(mostFiles) files")
            }
        }
    }

    private struct Count {
        var done = 0
        var all = 0
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
