/// Digests of evidence that was accepted before, so that none is accepted twice.
///
/// A fresh nonce in the report data says that evidence was made for this question; this says so where one nonce would be
/// used for several.
package struct SeenEvidence: Equatable, Sendable {
    /// In the order in which they were accepted.
    package private(set) var digests: [[UInt8]] = []
    private var known: Set<[UInt8]> = []

    /// The most digests that are kept; a set that is full accepts nothing more.
    package static let limit = 65_536

    package init() {}

    /// Reads a digest in base 16 from each line.
    ///
    /// - Returns: Nil where a line holds anything else, or there are too many.
    package init?(text: String) {
        for line in text.split(separator: "\n") {
            guard let digest = Hex.bytes(String(line)), digest.count == 32, insert(digest) else { return nil }
        }
    }

    /// One line for each digest.
    package var text: String { digests.map { Hex.text($0) + "\n" }.joined() }

    /// Remembers a digest.
    ///
    /// - Returns: False where it was there, or the set is full.
    package mutating func insert(_ digest: [UInt8]) -> Bool {
        guard digests.count < Self.limit, known.insert(digest).inserted else { return false }
        digests.append(digest)
        return true
    }

    package func contains(_ digest: [UInt8]) -> Bool { known.contains(digest) }
}
