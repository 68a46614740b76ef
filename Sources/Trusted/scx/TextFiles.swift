#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Why a file could not be read or written.
struct FileError: Error, CustomStringConvertible {
    let description: String
}

/// Reads a UTF-8 file, or standard input for `-`.
func readText(_ path: String) throws(FileError) -> String {
    guard let text = String(validating: try readBytes(path), as: UTF8.self) else {
        throw FileError(description: "'\(path)' is not UTF-8 text")
    }
    return text
}

/// Reads a file, '-' for standard input.
///
/// - Throws: ``FileError`` that names the file, also when it has more than `limit` bytes.
func readBytes(_ path: String, limit: Int = .max) throws(FileError) -> [UInt8] {
    let file = path == "-" ? STDIN_FILENO : unsafe open(path, O_RDONLY)
    guard file >= 0 else { throw FileError(description: "cannot read '\(path)': \(systemError())") }
    defer { if file != STDIN_FILENO { close(file) } }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = unsafe read(file, &chunk, chunk.count)
        guard count >= 0 else { throw FileError(description: "cannot read '\(path)': \(systemError())") }
        if count == 0 { break }
        bytes += chunk[..<count]
        guard bytes.count <= limit else {
            throw FileError(description: "'\(path)' has more than \(limit) bytes")
        }
    }
    return bytes
}

/// Writes a file that only its owner can read.
func writeText(_ text: String, to path: String) throws(FileError) {
    let file = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    guard file >= 0 else { throw FileError(description: "cannot write '\(path)': \(systemError())") }
    defer { close(file) }
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
        let count = unsafe rest.withUnsafeBytes { unsafe write(file, $0.baseAddress, $0.count) }
        guard count >= 0 else {
            throw FileError(description: "cannot write '\(path)': \(systemError())")
        }
        rest = rest.dropFirst(count)
    }
}

private func systemError() -> String { unsafe String(cString: strerror(errno)) }
