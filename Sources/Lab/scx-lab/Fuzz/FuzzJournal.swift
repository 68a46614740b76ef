#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A file with the current input, which still exists after the process that reads the input has crashed.
///
/// It has two little-endian numbers of 64 bits, the number of inputs begun and the length of the current one, and then
/// the current input's bytes.
package final class FuzzJournal {
    /// The exit status of a process that stopped because an input took too much memory.
    static let memoryStatus: Int32 = 99

    private let file: Int32
    private var count: UInt64 = 0

    /// Says why the journal cannot be used.
    package struct Failure: Error, CustomStringConvertible {
        package let description: String
    }

    /// Opens a journal for writing, and empties it.
    ///
    /// - Throws: ``Failure`` when the file cannot be written.
    package init(_ path: String) throws(Failure) {
        file = unsafe open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw Failure(description: "'\(path)' cannot be written") }
    }

    deinit { close(file) }

    /// Writes an input to the journal; call this before the reader gets the input.
    ///
    /// - Throws: ``Failure`` when the disk is full.
    package func begin(_ input: [UInt8]) throws(Failure) {
        count += 1
        var bytes: [UInt8] = []
        bytes.reserveCapacity(16 + input.count)
        for number in [count, UInt64(input.count)] {
            for i in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: number >> (8 * UInt64(i)))) }
        }
        bytes += input
        let written = unsafe bytes.withUnsafeBytes { unsafe pwrite(file, $0.baseAddress, $0.count, 0) }
        guard written == bytes.count else { throw Failure(description: "the journal cannot be written") }
    }

    /// Reads a journal; it may be missing, or still be written by another process.
    ///
    /// - Parameter path: The journal's path.
    /// - Returns: How many inputs were begun, and the current input; 0 and nothing without a journal.
    package static func read(_ path: String) -> (count: Int, input: [UInt8]) {
        let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return (0, []) }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 21)
        let size = unsafe bytes.withUnsafeMutableBytes { unsafe pread(file, $0.baseAddress, $0.count, 0) }
        guard size >= 16 else { return (0, []) }
        let numbers = [0, 8].map { at in
            (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[at + $1]) << (8 * UInt64($1)) }
        }
        let length = min(Int(clamping: numbers[1]), size - 16)
        return (Int(clamping: numbers[0]), Array(bytes[16..<(16 + length)]))
    }

    /// Prints a line without buffering, so that it is not lost in a crash.
    static func print(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        _ = unsafe bytes.withUnsafeBytes { unsafe write(1, $0.baseAddress, $0.count) }
    }
}
