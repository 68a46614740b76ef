import Foundation

/// What evidence must say, beyond being signed, for a machine to be trusted.
///
/// Read from JSON. Keys that are not known here are refused, and those that stand twice or have no value, so that no
/// condition can be left out by mistake.
/// A policy that has a part for one kind of evidence alone refuses the other.
package struct Policy: Sendable {
    /// What the guest put into the report, of 64 bytes: a nonce, or a digest of a nonce and a key.
    package var reportData: [UInt8]?
    package var snp: SNP?
    package var tdx: TDX?
    /// What an attested server must say of itself; used where a server is verified, not where evidence stands alone.
    package var runs: Runs?

    /// The largest file that is read, in bytes.
    package static let limit = 1024 * 1024

    /// The policy where none is given: no debug mode, the most privileged level, TDX platforms up to date.
    package static let standard = Policy(snp: SNP(), tdx: TDX())

    init(reportData: [UInt8]? = nil, snp: SNP?, tdx: TDX?) {
        self.reportData = reportData
        self.snp = snp
        self.tdx = tdx
    }

    /// Reads a policy in JSON.
    ///
    /// - Throws: ``PolicyError`` that names the key.
    package init(_ json: [UInt8]) throws(PolicyError) {
        guard json.count <= Self.limit else { throw PolicyError("it has more than \(Self.limit) bytes") }
        try PolicySyntax.check(json)
        do { self = try JSONDecoder().decode(Policy.self, from: Data(json)) } catch {
            throw PolicyError(line(of: error))
        }
    }

    /// Report data of up to 64 bytes, to which zeros are added.
    ///
    /// - Returns: Nil for more bytes, or none.
    package static func padded(_ bytes: [UInt8]) -> [UInt8]? {
        (1...64).contains(bytes.count) ? bytes + [UInt8](repeating: 0, count: 64 - bytes.count) : nil
    }
}

/// Why a policy cannot be used, in one line.
package struct PolicyError: Error, Equatable, Sendable, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}

extension Policy: Decodable {
    private enum Keys: String, CodingKey, CaseIterable { case reportData, snp, tdx, runs }

    package init(from decoder: any Decoder) throws {
        let values = try decoder.strictContainer(Keys.self)
        reportData = nil
        if let given = try values.bytes(.reportData) {
            guard let padded = Self.padded(given) else {
                throw values.error(.reportData, "has not 1 to 64 bytes")
            }
            reportData = padded
        }
        snp = try values.decodeIfPresent(SNP.self, forKey: .snp)
        tdx = try values.decodeIfPresent(TDX.self, forKey: .tdx)
        runs = try values.decodeIfPresent(Runs.self, forKey: .runs)
        guard snp != nil || tdx != nil else {
            throw DecodingError.form("it has neither a part 'snp' nor a part 'tdx'", at: [])
        }
    }
}

// MARK: Strict decoding

/// A key of any name.
private struct AnyKey: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}

extension Decoder {
    /// A container of which every key must be one of those that are known.
    func strictContainer<Keys: CodingKey & CaseIterable>(
        _ keys: Keys.Type
    ) throws -> KeyedDecodingContainer<Keys> {
        let known = Set(Keys.allCases.map(\.stringValue))
        let any = try container(keyedBy: AnyKey.self)
        if let unknown = any.allKeys.first(where: { !known.contains($0.stringValue) }) {
            throw any.error(
                unknown, "is not a key of a policy here; there are \(known.sorted().joined(separator: ", "))")
        }
        return try container(keyedBy: keys)
    }
}

extension KeyedDecodingContainer {
    /// Bytes in base 16.
    func bytes(_ key: Key) throws -> [UInt8]? {
        try decodeIfPresent(HexField.self, forKey: key)?.bytes
    }

    /// A list of values of one size in base 16, of which evidence must have one.
    func list(_ key: Key, of count: Int) throws -> [[UInt8]]? {
        guard let list = try decodeIfPresent([HexField].self, forKey: key)?.map(\.bytes) else { return nil }
        guard !list.isEmpty, list.allSatisfy({ $0.count == count }) else {
            throw error(key, "is not a list of values of \(count) bytes")
        }
        return list
    }
}
