import Crypto
import Foundation
package import SCXInference

/// The sizes of a site, as its model's configuration gives them.
package struct SiteShape: Hashable, Sendable {
    package let site: DecoderSite
    package let inputs: Int
    package let outputs: Int
    package let hasBias: Bool
    /// How many matrices the site has.
    package let groups: Int

    package init(site: DecoderSite, inputs: Int, outputs: Int, hasBias: Bool, groups: Int = 1) {
        (self.site, self.inputs, self.outputs, self.hasBias) = (site, inputs, outputs, hasBias)
        self.groups = groups
    }

    init(_ site: RingSite) {
        self.init(
            site: site.site, inputs: site.inputs, outputs: site.outputs, hasBias: !site.bias.isEmpty,
            groups: site.groups)
    }

    /// Where the parts of a site's bytes begin: the largest norms of its groups, the scales, the bias, S and S̃, without
    /// gaps.
    fileprivate var offsets: (scales: Int, bias: Int, secret: Int, image: Int, end: Int) {
        let scales = 8 * groups
        let bias = scales + 4 * outputs
        let secret = bias + (hasBias ? 4 * outputs : 0)
        let image = secret + 8 * outputs
        return (scales, bias, secret, image, image + 8 * inputs)
    }

    /// How many bytes a site takes in the file.
    fileprivate var sealedSize: Int { SealedParts.sealedSize(offsets.end) }

    /// The data that is authenticated together with a part: to which file, site and place it belongs.
    fileprivate func context(_ head: [UInt8], _ part: Int) -> [UInt8] {
        let (kind, block) = site.code
        return head + littleEndian(kind) + littleEndian(block) + littleEndian(UInt64(inputs))
            + littleEndian(UInt64(outputs)) + littleEndian(UInt64(part))
    }
}

/// Files of sites: a header in clear, then for each site the scales, bias, norm, S and S̃, encrypted.
///
/// The header is `scxsite`, the version, the model's digest, a salt, and a tag of these under the key. The tag
/// distinguishes a file under another key from a damaged one.
enum SiteFile {
    static let version: UInt8 = 1
    static let headSize = 8 + 32 + 32 + tagSize
    private static let magic: [UInt8] = Array("scxsite".utf8)
    private static let tagSize = 16

    /// Why a stored file is not used.
    enum Problem: Error {
        /// The file is damaged, so it is made anew.
        case damaged(String)
        /// The file seems to be sealed under another key; the user has to bring that key back, or remove the file.
        case refused(String)
    }

    private struct Keys {
        let file: SymmetricKey
        let tag: [UInt8]

        init(_ master: SymmetricKey, clear: [UInt8]) {
            func derive(_ purpose: String) -> SymmetricKey {
                HKDF<SHA256>.deriveKey(
                    inputKeyMaterial: master, salt: clear, info: Array("scx sites 1: \(purpose)".utf8),
                    outputByteCount: KeyFile.size)
            }
            file = derive("file")
            tag = unsafe derive("tag").withUnsafeBytes { unsafe Array($0.prefix(SiteFile.tagSize)) }
        }
    }

    static func size(_ shapes: [SiteShape]) -> Int { shapes.reduce(headSize) { $0 + $1.sealedSize } }

    /// Writes a whole file.
    static func write(
        _ sites: [RingSite], digest: [UInt8], key master: SymmetricKey, to file: borrowing VaultFile
    ) throws(VaultError) {
        var random = SecureRandom(bufferBytes: 32)
        let salt = (0..<8).flatMap { _ in littleEndian(random.word()) }
        let clear = magic + [version] + digest + salt
        let keys = Keys(master, clear: clear)
        let head = clear + keys.tag
        try file.append(Data(head))
        for site in sites {
            let shape = SiteShape(site)
            let bytes = bytes(of: site, shape)
            try unsafe bytes.span.withUnsafeBytes { bytes throws(VaultError) in
                unsafe try SealedParts.append(bytes, to: file, key: keys.file) { shape.context(head, $0) }
            }
        }
    }

    private static func bytes(of site: RingSite, _ shape: SiteShape) -> SecretBuffer<UInt8> {
        let offsets = shape.offsets
        var bytes = SecretBuffer<UInt8>(repeating: 0, count: offsets.end)
        let (norms, scales, bias) = (site.largestNorms, site.scales, site.bias)
        bytes.store(norms.span, at: 0)
        bytes.store(scales.span, at: offsets.scales)
        bytes.store(bias.span, at: offsets.bias)
        site.sketch.withParts { secret, image in
            bytes.store(secret, at: offsets.secret)
            bytes.store(image, at: offsets.image)
        }
        return bytes
    }

    /// Reads a whole file.
    static func read(
        _ shapes: [SiteShape], digest: [UInt8], key master: SymmetricKey, from file: borrowing VaultFile
    ) throws(Problem) -> [RingSite] {
        var head = [UInt8](repeating: 0, count: headSize)
        guard unsafe head.withUnsafeMutableBytes({ unsafe file.fill($0) }) else {
            throw .damaged("is cut: \(file.size) bytes")
        }
        guard head.starts(with: magic) else { throw .damaged("is no data of sites") }
        guard head[7] == version else {
            throw .damaged("has version \(head[7]), and this program reads version \(version)")
        }
        guard head[8..<40].elementsEqual(digest) else { throw .damaged("is of another model") }
        let keys = Keys(master, clear: Array(head.dropLast(tagSize)))
        guard head.suffix(tagSize).elementsEqual(keys.tag) else {
            throw .refused("is sealed under another key, or its head was changed")
        }
        guard file.size == size(shapes) else {
            throw .damaged("has \(file.size) bytes instead of \(size(shapes))")
        }
        var sites: [RingSite] = []
        for shape in shapes {
            var bytes = SecretBuffer<UInt8>(repeating: 0, count: shape.offsets.end)
            var span = bytes.mutableSpan
            let isWhole = unsafe span.withUnsafeMutableBytes { bytes in
                unsafe SealedParts.read(into: bytes, from: file, key: keys.file) { shape.context(head, $0) }
            }
            guard isWhole else { throw .damaged("was changed at site \(shape.site.label)") }
            sites.append(site(bytes, shape))
        }
        return sites
    }

    private static func site(_ bytes: borrowing SecretBuffer<UInt8>, _ shape: SiteShape) -> RingSite {
        let offsets = shape.offsets
        var secret = SecretBuffer<UInt64>(repeating: 0, count: shape.outputs)
        var image = SecretBuffer<UInt64>(repeating: 0, count: shape.inputs)
        var outputs = secret.mutableSpan
        bytes.load(&outputs, from: offsets.secret)
        var inputs = image.mutableSpan
        bytes.load(&inputs, from: offsets.image)
        return RingSite(
            shape, scales: values(bytes, shape.outputs, at: offsets.scales, zero: 0),
            bias: values(bytes, shape.hasBias ? shape.outputs : 0, at: offsets.bias, zero: 0),
            largestNorms: values(bytes, shape.groups, at: 0, zero: 1),
            sketch: SiteSketch(secret: secret, image: image, groups: shape.groups))
    }

    private static func values<Value: BitwiseCopyable>(
        _ bytes: borrowing SecretBuffer<UInt8>, _ count: Int, at offset: Int, zero: Value
    ) -> [Value] {
        var values = [Value](repeating: zero, count: count)
        var span = values.mutableSpan
        bytes.load(&span, from: offset)
        return values
    }
}
