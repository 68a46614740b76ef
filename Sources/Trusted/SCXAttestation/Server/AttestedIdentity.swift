import Dispatch
import Foundation
import Synchronization

/// A server's proof of itself: answers each question with evidence for its key.
package final class AttestedIdentity: Sendable {
    private let purpose: ReportData.Purpose
    /// The public key, in the form that the purpose says.
    private let key: [UInt8]
    private let statement: [UInt8]
    private let source: any EvidenceSource
    private let collateral: [[UInt8]]
    private let eventLog: [UInt8]?
    /// Reports are made one after the other: hosts limit them, and every guest shares the processor that signs.
    private let queue = DispatchQueue(label: "scx evidence")
    private let waiting = Mutex(0)

    /// The most questions that wait at a time.
    ///
    /// Anybody may ask, and each report takes some milliseconds.
    package static let mostWaiting = 32

    /// - Parameters:
    ///   - purpose: What the key is for.
    ///   - key: The public key.
    ///   - statement: What the server says of itself.
    ///   - source: Makes evidence.
    ///   - collateral: Certificates, revocation lists and Intel's documents that verifiers may lack.
    ///   - eventLog: What the firmware measured, where there is a log.
    package init(
        _ purpose: ReportData.Purpose = .channel, key: [UInt8], statement: ServerStatement,
        source: any EvidenceSource, collateral: [[UInt8]] = [], eventLog: [UInt8]? = nil
    ) {
        self.purpose = purpose
        self.key = key
        self.statement = statement.json
        self.source = source
        self.collateral = collateral
        self.eventLog = eventLog
    }

    /// Evidence in answer to a question.
    ///
    /// - Parameter nonce: 32 bytes of the verifier's.
    /// - Returns: The document.
    /// - Throws: ``EvidenceError``
    package func document(nonce: [UInt8]) throws(EvidenceError) -> AttestationDocument {
        let data = ReportData.bytes(purpose, key: key, nonce: nonce, statement: statement)
        return AttestationDocument(
            evidence: try source.evidence(of: data), collateral: collateral, statement: statement,
            nonce: nonce,
            key: key, eventLog: eventLog)
    }

    /// The same without blocking a thread of the caller's.
    ///
    /// - Throws: ``EvidenceError``, ``TooManyQuestions``
    package func document(answering nonce: [UInt8]) async throws -> AttestationDocument {
        let hasRoom = waiting.withLock { count in
            guard count < Self.mostWaiting else { return false }
            count += 1
            return true
        }
        guard hasRoom else { throw TooManyQuestions() }
        defer { waiting.withLock { $0 -= 1 } }
        let isGone = Atomic(false)
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                queue.async {
                    continuation.resume(
                        with: Result {
                            // Who went away costs no report.
                            guard !isGone.load(ordering: .relaxed) else { throw CancellationError() }
                            return try self.document(nonce: nonce)
                        })
                }
            }
        } onCancel: {
            isGone.store(true, ordering: .relaxed)
        }
    }

    /// More questions wait than a server answers in a moment.
    package struct TooManyQuestions: Error {}
}

extension AttestedIdentity {
    /// The files of a directory that verification takes, and the firmware's log where the kernel shows one.
    ///
    /// - Parameter directory: Certificates, revocation lists and Intel's documents; each must be readable as one.
    /// - Returns: What each file holds.
    /// - Throws: ``EvidenceError`` that names the file.
    package static func collateral(in directory: String) throws(EvidenceError) -> [[UInt8]] {
        guard let paths = Collateral.paths(in: directory) else {
            throw EvidenceError("\(directory): cannot be read as a directory")
        }
        var files: [[UInt8]] = []
        var total = 0
        for path in paths {
            guard let bytes = FileManager.default.contents(atPath: path) else {
                throw EvidenceError("\(path): cannot be read")
            }
            do throws(Failures) { _ = try Collateral([.init(name: path, bytes: Array(bytes))]) } catch {
                throw EvidenceError("\(error.all[0].detail)")
            }
            total += bytes.count
            // In base 64, a document with them must stay below what verifiers read.
            guard total <= AttestationDocument.limit / 2, files.count < Collateral.countLimit else {
                throw EvidenceError(
                    "\(directory): its files are more than \(AttestationDocument.limit / 2) bytes")
            }
            files.append(Array(bytes))
        }
        return files
    }

    /// The log of what the firmware of a TDX guest measured (ACPI table CCEL); nil where there is none.
    package static func firmwareLog(
        at path: String = "/sys/firmware/acpi/tables/data/CCEL"
    ) -> [UInt8]? {
        guard let file = FileHandle(forReadingAtPath: path) else { return nil }
        defer { try? file.close() }
        guard let bytes = try? file.read(upToCount: 256 << 10), !bytes.isEmpty else { return nil }
        return Array(bytes)
    }
}
