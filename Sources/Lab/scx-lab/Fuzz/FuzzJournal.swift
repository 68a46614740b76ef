#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A file with the input that is tried now, which outlives the process that tries it.
///
/// Two little-endian numbers of 64 bits, how many inputs were begun and the length of the last, and its bytes.
package final class FuzzJournal {
    /// The exit status of a process whose input took too much memory.
    static let memoryStatus: Int32 = 99

    private let file: Int32
    private var count: UInt64 = 0

    /// Why the file cannot be used.
    package struct Failure: Error, CustomStringConvertible {
        package let description: String
    }

    /// Opens it for writing.
    ///
    /// - Throws: ``Failure``.
    package init(_ path: String) throws(Failure) {
        file = unsafe open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw Failure(description: "'\(path)' cannot be written") }
    }

    deinit { close(file) }

    /// Writes down an input that is about to be tried.
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

    /// Reads such a file.
    ///
    /// - Parameter path: Where it is.
    /// - Returns: How many inputs were begun, and the last.
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

    /// Prints a line at once.
    static func print(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        _ = unsafe bytes.withUnsafeBytes { unsafe write(1, $0.baseAddress, $0.count) }
    }
}
