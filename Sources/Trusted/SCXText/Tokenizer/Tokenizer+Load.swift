import Foundation
package import SCXInference

extension Tokenizer {
    /// Reads `tokenizer.json` in a model's directory, and `tokenizer_config.json` if there is one; or the tokenizer of a
    /// GGUF file.
    ///
    /// - Parameter directory: The path of a directory, or of a GGUF file.
    /// - Throws: `TokenizerError` for a file that is missing, damaged or asks for something unknown.
    package convenience init(directory: String) throws(TokenizerError) {
        try self.init(directory: directory, file: "tokenizer.json")
    }

    private convenience init(directory: String, file: String) throws(TokenizerError) {
        guard !GGUFFile.isOne(directory) else {
            let tokenizer = try GGUFTokenizer(path: directory)
            try self.init(tokenizer.contents())
            return
        }
        let json = try Self.readJSON(file, in: directory)
        let configuration = "tokenizer_config.json"
        let hasConfiguration = FileManager.default.fileExists(atPath: directory + "/" + configuration)
        try self.init(
            TokenizerFile(
                json: json, name: file,
                configuration: hasConfiguration ? try Self.readJSON(configuration, in: directory) : .null))
    }

    /// Reads a model's tokenizer, nil where its directory has no `tokenizer.json`, or its GGUF file no tokens.
    package convenience init?(ifPresentIn directory: String) throws(TokenizerError) {
        if GGUFFile.isOne(directory) {
            guard GGUFTokenizer.isIn(directory) else { return nil }
            try self.init(directory: directory)
            return
        }
        guard FileManager.default.fileExists(atPath: directory + "/tokenizer.json") else { return nil }
        try self.init(directory: directory)
    }

    /// Reads a tokenizer and nothing else: a `tokenizer.json` by its own path, or the one of a directory or GGUF file.
    ///
    /// The `tokenizer_config.json` beside the file counts in both cases, if there is one.
    ///
    /// - Parameter path: A path.
    /// - Throws: `TokenizerError` for a file that is missing, damaged or asks for something unknown.
    package convenience init(path: String) throws(TokenizerError) {
        let url = URL(fileURLWithPath: path)
        let isFile = (try? url.resourceValues(forKeys: [.isRegularFileKey]).isRegularFile) ?? false
        if isFile, !GGUFFile.isOne(path) {
            try self.init(directory: url.deletingLastPathComponent().path, file: url.lastPathComponent)
        } else {
            try self.init(directory: path)
        }
    }

    /// Takes the contents of a `tokenizer.json`.
    ///
    /// - Parameters:
    ///   - json: The file.
    ///   - name: What errors call it.
    ///   - configuration: The `tokenizer_config.json` that goes with it.
    /// - Throws: `TokenizerError` for contents that are damaged or ask for something unknown.
    package convenience init(json: JSON, name: String, configuration: JSON = .null) throws(TokenizerError) {
        try self.init(TokenizerFile(json: json, name: name, configuration: configuration))
    }

    /// Greatest file read: ten times the largest published one.
    private static let maximumSize = 1 << 28

    private static func readJSON(_ file: String, in directory: String) throws(TokenizerError) -> JSON {
        let path = directory + "/" + file
        let bytes: [UInt8]
        do {
            let attributes = try FileManager.default.attributesOfItem(atPath: path)
            guard let size = attributes[.size] as? NSNumber, size.intValue <= maximumSize else {
                throw TokenizerError.unreadable(file: file, reason: "larger than \(maximumSize) bytes")
            }
            bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        } catch let error as TokenizerError {
            throw error
        } catch {
            throw .unreadable(file: file, reason: "cannot be read")
        }
        do {
            return try JSON(parsing: bytes.span)
        } catch {
            throw .malformed(file: file, reason: error.description)
        }
    }
}
