import Foundation

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Where a guest gets evidence of itself.
package protocol EvidenceSource: Sendable {
    /// Has the processor sign 64 bytes together with what was measured.
    ///
    /// It may take seconds.
    ///
    /// - Parameter reportData: 64 bytes.
    /// - Returns: A SEV-SNP report, with the host's table of certificates behind it where there is one, or a TDX quote.
    /// - Throws: ``EvidenceError``
    func evidence(of reportData: [UInt8]) throws(EvidenceError) -> [UInt8]
}

/// Why a guest got no evidence, in one line that names the file.
package struct EvidenceError: Error, Equatable, Sendable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}

/// Reports of the kernel's interface for confidential guests (configfs, `tsm/report`, since Linux 6.7).
///
/// Each report takes a directory of its own, in which the kernel makes the files `inblob`, `outblob`, `auxblob`, `provider` and
/// `generation`. Source: Documentation/ABI/testing/configfs-tsm-report in the kernel.
package struct TSMReports: EvidenceSource {
    /// Where Linux has the interface, if configfs is mounted.
    package static let standardDirectory = "/sys/kernel/config/tsm/report"

    private let directory: String
    /// How often a file is tried, and the pause between, in microseconds: hosts limit how many reports they answer.
    private static let (tries, pause): (Int, UInt32) = (3_000, 10_000)

    /// - Parameter directory: Holds a directory for each report.
    /// - Throws: ``EvidenceError`` where it is not there.
    package init(directory: String = Self.standardDirectory) throws(EvidenceError) {
        self.directory = directory
        var isDirectory: ObjCBool = false
        guard unsafe FileManager.default.fileExists(atPath: directory, isDirectory: &isDirectory),
            isDirectory.boolValue
        else {
            throw EvidenceError(
                "\(directory): is not there; this machine is no confidential guest (SEV-SNP, TDX) with Linux 6.7 or later, or configfs is not mounted"
            )
        }
    }

    package func evidence(of reportData: [UInt8]) throws(EvidenceError) -> [UInt8] {
        precondition(reportData.count == 64, "TSMReports: report data of \(reportData.count) bytes")
        let entry = "\(directory)/scx-\(getpid())-\(UUID().uuidString)"
        guard unsafe mkdir(entry, 0o700) == 0 else { throw error("make the directory", entry) }
        defer { _ = unsafe rmdir(entry) }
        try write(reportData, to: "\(entry)/inblob")
        let report = try read("\(entry)/outblob")
        let provider = String(decoding: try read("\(entry)/provider"), as: UTF8.self)
            .trimmingCharacters(in: .whitespacesAndNewlines)
        // Writes by others would count here; without any, the report is of the data above.
        let generation = String(decoding: try read("\(entry)/generation"), as: UTF8.self)
            .trimmingCharacters(in: .whitespacesAndNewlines)
        guard generation == "1" else {
            throw EvidenceError("\(entry): another program changed what was asked for")
        }
        switch provider {
        case "sev_guest":
            guard report.count >= ReportContents.size else {
                throw EvidenceError("\(entry)/outblob: has \(report.count) bytes, which is no report")
            }
            // The table of certificates, which not every host has.
            let table = (try? read("\(entry)/auxblob", tries: 1)) ?? []
            return Array(report.prefix(ReportContents.size)) + table
        case "tdx_guest": return report
        default:
            throw EvidenceError(
                "\(entry)/provider: is '\(provider.prefix(32))', of which no evidence is known here")
        }
    }

    private func error(_ what: String, _ path: String) -> EvidenceError {
        EvidenceError("\(path): cannot \(what): \(unsafe String(cString: strerror(errno)))")
    }

    /// Whether the kernel may do what it refused when asked again.
    private var isTransient: Bool { [EAGAIN, EBUSY, EINTR, ENOENT].contains(errno) }

    /// Writes all bytes in one call, as the interface wants them.
    private func write(_ bytes: [UInt8], to path: String) throws(EvidenceError) {
        for attempt in 1...Self.tries {
            let file = unsafe open(path, O_WRONLY | O_CLOEXEC)
            if file >= 0 {
                defer { close(file) }
                if put(bytes, into: file) == bytes.count { return }
            }
            guard isTransient, attempt < Self.tries else { break }
            usleep(Self.pause)
        }
        throw error("write", path)
    }

    private func read(_ path: String, tries: Int = Self.tries) throws(EvidenceError) -> [UInt8] {
        for attempt in 1...tries {
            if let bytes = readOnce(path) {
                guard bytes.count <= UnverifiedEvidence.limit else {
                    throw EvidenceError("\(path): has more than \(UnverifiedEvidence.limit) bytes")
                }
                return bytes
            }
            guard isTransient, attempt < tries else { break }
            usleep(Self.pause)
        }
        throw error("read", path)
    }

    /// What a file holds, of which one byte more than the limit at the most; nil where the kernel refuses.
    private func readOnce(_ path: String) -> [UInt8]? {
        let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var all: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 4096)
        while all.count <= UnverifiedEvidence.limit {
            let count = take(&part, from: file)
            if count < 0 { return nil }
            if count == 0 { break }
            all += part[..<count]
        }
        return all
    }
}

// The system's calls, whose names the methods above have too.

private func put(_ bytes: [UInt8], into file: Int32) -> Int {
    unsafe bytes.withUnsafeBytes { unsafe write(file, $0.baseAddress, $0.count) }
}

private func take(_ bytes: inout [UInt8], from file: Int32) -> Int {
    unsafe bytes.withUnsafeMutableBytes { unsafe read(file, $0.baseAddress, $0.count) }
}
