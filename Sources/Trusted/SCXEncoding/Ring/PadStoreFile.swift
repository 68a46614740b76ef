import Crypto
import Foundation
import SCXInference
package import SCXLink

/// Pads that are added to a store or were taken from one: a seed, and the products of some of its rows.
package struct StoredPads: ~Copyable, Sendable {
    package let seed: PadSeed
    /// The number, among all rows of the seed, of the first of these rows.
    package let first: Int
    /// The source that multiplied the pads.
    package let maker: PadMaker
    /// The products of the seed's rows from ``first`` on, `[rows, outputs]`.
    package let products: SecretBuffer<UInt32>
}

/// The trusted side or the peer that multiplied pads.
package struct PadMaker: Hashable, Sendable {
    package let kind: PadSourceKind
    package let name: String
    /// SHA-256 of the public key that the maker proved to hold; nil without TLS.
    package let key: [UInt8]?

    package init(_ source: any PadSource) { (kind, name, key) = (source.kind, source.name, source.key) }

    /// The most bytes of the name that are stored.
    private static let longestName = 200
    private static let keySize = 32

    /// The maker as it is stored: a byte that says whether there is a key and of which kind the maker is, the key, then
    /// the name.
    fileprivate var bytes: [UInt8] {
        let kept = kind == .peer && key?.count == Self.keySize ? key ?? [] : []
        return [kind == .direct ? 0 : kept.isEmpty ? 1 : 2] + kept + name.utf8.prefix(Self.longestName)
    }

    fileprivate init?(_ bytes: ArraySlice<UInt8>) {
        guard let first = bytes.first, first < 3 else { return nil }
        kind = first == 0 ? .direct : .peer
        var rest = bytes.dropFirst()
        guard first == 2 else {
            key = nil
            name = String(decoding: rest, as: UTF8.self)
            return
        }
        guard rest.count >= Self.keySize else { return nil }
        key = Array(rest.prefix(Self.keySize))
        rest = rest.dropFirst(Self.keySize)
        name = String(decoding: rest, as: UTF8.self)
    }
}

/// The header of a file of pads, which is in clear; every part of the file is authenticated together with it.
struct PadFileHeader: Equatable, Sendable {
    static let version: UInt8 = 1
    static let size = 136
    private static let magic: [UInt8] = Array("scxpads".utf8)

    var site: DecoderSite
    var rows: Int
    var inputs: Int
    var outputs: Int
    /// The size of the seed and the maker, in bytes.
    var prefaceSize: Int
    /// The batch's number, which no other batch of this bank ever has.
    var number: UInt64
    /// The number, among the seed's rows, of the first row.
    var first: UInt64
    /// How many batches the ledger had when this file was written.
    ///
    /// A ledger that has fewer is an older copy.
    var burntBefore: UInt64
    /// The model's digest, 32 characters.
    var digest: [UInt8]
    /// The bank's name, drawn at random when its ledger was made.
    var bank: [UInt8]
    /// The salt with which this file's key is derived.
    var salt: [UInt8]

    var productSize: Int { 4 * rows * outputs }

    var fileSize: Int {
        Self.size + SealedParts.sealedSize(prefaceSize) + SealedParts.sealedSize(productSize)
    }

    var bytes: [UInt8] {
        var bytes = Self.magic + [Self.version]
        let (kind, block) = site.code
        for value in [kind, block, UInt32(rows), UInt32(inputs), UInt32(outputs), UInt32(prefaceSize)] {
            bytes += littleEndian(value)
        }
        for value in [number, first, burntBefore] { bytes += littleEndian(value) }
        return bytes + digest + bank + salt
    }

    /// Reads a header, or says what is wrong with it.
    static func parse(_ bytes: [UInt8]) -> Result<PadFileHeader, PadFileProblem> {
        guard bytes.count == size, bytes.starts(with: magic) else { return .failure("is no batch of pads") }
        guard bytes[7] == version else {
            return .failure("has version \(bytes[7]), and this program reads version \(version)")
        }
        func word(_ index: Int) -> UInt32 { fromLittleEndian(bytes[(8 + 4 * index)..<(12 + 4 * index)]) }
        func long(_ index: Int) -> UInt64 { fromLittleEndian(bytes[(32 + 8 * index)..<(40 + 8 * index)]) }
        guard let site = DecoderSite(code: (word(0), word(1))), (1...1 << 20).contains(word(2)),
            (1...1 << 26).contains(word(3)), (1...1 << 26).contains(word(4)),
            (PadSeed.byteCount + 1...1024).contains(Int(word(5))), long(0) > 0, long(1) < 1 << 32
        else { return .failure("was changed") }
        return .success(
            PadFileHeader(
                site: site, rows: Int(word(2)), inputs: Int(word(3)), outputs: Int(word(4)),
                prefaceSize: Int(word(5)), number: long(0), first: long(1), burntBefore: long(2),
                digest: Array(bytes[56..<88]), bank: Array(bytes[88..<104]), salt: Array(bytes[104..<136])))
    }

    /// The name that the file must have.
    var name: String { Self.name(number, site) }

    private static func name(_ number: UInt64, _ site: DecoderSite) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, 12 - digits.count)) + digits + "-\(site.label)"
            + PadStore.fileEnding
    }
}

/// Why a file of pads is refused; the text follows the file's path.
struct PadFileProblem: Error, ExpressibleByStringInterpolation, CustomStringConvertible {
    let description: String

    init(stringLiteral value: String) { description = value }
}

extension DecoderSite {
    /// The numbers by which files name the site.
    var code: (kind: UInt32, block: UInt32) {
        switch self {
        case .queryKeyValue(let block): (0, UInt32(block))
        case .output(let block): (1, UInt32(block))
        case .gateUp(let block): (2, UInt32(block))
        case .down(let block): (3, UInt32(block))
        case .head: (4, 0)
        case .expertGateUp(let block): (5, UInt32(block))
        case .expertDown(let block): (6, UInt32(block))
        case .queryUp(let block): (7, UInt32(block))
        case .queryLatent(let block): (8, UInt32(block))
        case .valueUp(let block): (9, UInt32(block))
        }
    }

    init?(code: (kind: UInt32, block: UInt32)) {
        let block = Int(code.block)
        guard block < 1 << 20 else { return nil }
        switch code.kind {
        case 0: self = .queryKeyValue(block: block)
        case 1: self = .output(block: block)
        case 2: self = .gateUp(block: block)
        case 3: self = .down(block: block)
        case 4 where block == 0: self = .head
        case 5: self = .expertGateUp(block: block)
        case 6: self = .expertDown(block: block)
        case 7: self = .queryUp(block: block)
        case 8: self = .queryLatent(block: block)
        case 9: self = .valueUp(block: block)
        default: return nil
        }
    }

    /// The site's name in file names and in messages to the user.
    package var label: String {
        switch self {
        case .queryKeyValue(let block): "\(block).query-key-value"
        case .queryUp(let block): "\(block).query-up"
        case .queryLatent(let block): "\(block).query-latent"
        case .valueUp(let block): "\(block).value-up"
        case .output(let block): "\(block).output"
        case .gateUp(let block): "\(block).gate-up"
        case .down(let block): "\(block).down"
        case .expertGateUp(let block): "\(block).expert-gate-up"
        case .expertDown(let block): "\(block).expert-down"
        case .head: "head"
        }
    }
}

/// Reads and writes files of pads, each of which is written once and read once.
enum PadFile {
    private enum Section: UInt64 {
        case preface, products
    }

    private static func key(_ header: PadFileHeader, _ master: SymmetricKey) -> SymmetricKey {
        HKDF<SHA256>.deriveKey(
            inputKeyMaterial: master, salt: header.salt, info: Array("scx pads 1: file".utf8),
            outputByteCount: KeyFile.size)
    }

    /// The data that is authenticated together with a part.
    private static func context(_ header: [UInt8], _ section: Section, _ part: Int) -> [UInt8] {
        header + littleEndian(section.rawValue) + littleEndian(UInt64(part))
    }

    /// The size of the seed and the maker, in bytes.
    static func prefaceSize(_ maker: PadMaker) -> Int { PadSeed.byteCount + maker.bytes.count }

    /// Writes a whole file, and returns when it is on the disk.
    static func write(
        _ header: PadFileHeader, seed: PadSeed, maker: PadMaker, products: Span<UInt32>,
        key master: SymmetricKey, to file: borrowing VaultFile
    ) throws(VaultError) {
        var preface = seed.bytes + maker.bytes
        precondition(
            preface.count == header.prefaceSize && 4 * products.count == header.productSize, "PadFile: sizes")
        let bytes = header.bytes
        let key = key(header, master)
        try file.append(Data(bytes))
        defer {
            unsafe preface.withUnsafeMutableBytes { bytes in
                if let start = bytes.baseAddress { unsafe zeroize(start, byteCount: bytes.count) }
            }
        }
        try unsafe preface.span.withUnsafeBytes { preface throws(VaultError) in
            unsafe try SealedParts.append(preface, to: file, key: key) { context(bytes, .preface, $0) }
        }
        try unsafe products.withUnsafeBytes { products throws(VaultError) in
            unsafe try SealedParts.append(products, to: file, key: key) { context(bytes, .products, $0) }
        }
    }

    /// Reads the header of an open file, and checks that the file is as long as the header says.
    static func header(_ file: borrowing VaultFile) -> Result<PadFileHeader, PadFileProblem> {
        var bytes = [UInt8](repeating: 0, count: PadFileHeader.size)
        guard unsafe bytes.withUnsafeMutableBytes({ unsafe file.fill($0) }) else {
            return .failure("is cut: \(file.size) bytes")
        }
        let size = file.size
        return PadFileHeader.parse(bytes).flatMap { header in
            guard size == header.fileSize else {
                return .failure("has \(size) bytes instead of \(header.fileSize)")
            }
            return .success(header)
        }
    }

    /// Reads and decrypts the rest of a file, after its header.
    ///
    /// - Parameters:
    ///   - header: The header that was read.
    ///   - master: The bank's key.
    ///   - file: The file, read up to the end of its header.
    ///   - isWanted: Called once the maker is known; if it returns false, the rest is not read.
    /// - Returns: Nil when the pads are not wanted.
    /// - Throws: ``PadFileProblem`` when anything is not as it was written.
    static func read(
        _ header: PadFileHeader, key master: SymmetricKey, from file: borrowing VaultFile,
        isWanted: (PadMaker) -> Bool
    ) throws(PadFileProblem) -> StoredPads? {
        let bytes = header.bytes
        let key = key(header, master)
        let damaged: PadFileProblem = "was changed, or is sealed under another key"
        var preface = SecretBuffer<UInt8>(repeating: 0, count: header.prefaceSize)
        var span = preface.mutableSpan
        let isWhole = unsafe span.withUnsafeMutableBytes { preface in
            unsafe SealedParts.read(into: preface, from: file, key: key) { context(bytes, .preface, $0) }
        }
        guard isWhole else { throw damaged }
        let named = unsafe preface.span.withUnsafeBytes { unsafe Array($0[PadSeed.byteCount...]) }
        guard let maker = PadMaker(named[...]) else { throw damaged }
        guard isWanted(maker) else { return nil }
        var products = SecretBuffer<UInt32>(repeating: 0, count: header.rows * header.outputs)
        var words = products.mutableSpan
        let isRead = unsafe words.withUnsafeMutableBytes { products in
            unsafe SealedParts.read(into: products, from: file, key: key) { context(bytes, .products, $0) }
        }
        guard isRead else { throw damaged }
        let seed = unsafe preface.span.withUnsafeBytes {
            unsafe PadSeed(bytes: Array($0[..<PadSeed.byteCount]))
        }
        return StoredPads(seed: seed, first: Int(header.first), maker: maker, products: products)
    }
}

func littleEndian<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
    (0..<Value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> Value(8 * $0)) }
}

func fromLittleEndian<Value: FixedWidthInteger>(_ bytes: ArraySlice<UInt8>) -> Value {
    bytes.reversed().reduce(0) { $0 << 8 | Value($1) }
}
