package import SCXInference
package import SCXLink

/// Where products of pads come from.
package protocol PadSource: Sendable {
    /// As in reports.
    var kind: PadSourceKind { get }
    /// As people know it: an address, for a peer.
    var name: String { get }
    /// SHA-256 of the public key that it is known by; nil for none.
    var key: [UInt8]? { get }

    /// Expands a seed to the pads of a site and multiplies them.
    ///
    /// - Parameters:
    ///   - site: Whose inputs the pads are for.
    ///   - seed: Drawn for this batch alone.
    ///   - rows: How many.
    /// - Returns: `[rows, outputs]`, modulo 2³², row-major.
    /// - Throws: ``LinkError`` when the source cannot be reached or answers something else.
    func products(_ site: RingSite, seed: PadSeed, rows: Int) throws(LinkError) -> SecretBuffer<UInt32>

    /// Sees to it that it can be asked again; may wait for it.
    func connect() throws(LinkError)
}

extension PadSource {
    package var key: [UInt8]? { nil }
    package func connect() throws(LinkError) {}
}

/// The kinds of sources.
package enum PadSourceKind: String, CaseIterable, Sendable {
    case direct, peer
}

/// What a source gave.
struct PreparedPads: ~Copyable {
    let seed: PadSeed
    /// The source's number.
    let source: Int
    let products: SecretBuffer<UInt32>
}

extension [any PadSource] {
    /// Products of pads with a seed of their own, from the first source that gives them.
    ///
    /// - Parameters:
    ///   - site: Whose pads.
    ///   - rows: How many.
    ///   - numbers: Of the sources that are asked, in their order; nil for all.
    ///   - onFailure: Told of each that fails.
    /// - Returns: The products, with the seed and the source's number.
    /// - Throws: The last failure.
    func firstProducts(
        _ site: RingSite, rows: Int, of numbers: [Int]? = nil,
        onFailure: (_ source: Int, LinkError) -> Void = { _, _ in }
    ) throws(LinkError) -> PreparedPads {
        var failure = LinkError.unreachable("no source of pads can be asked now")
        for number in numbers ?? Array<Int>(indices) {
            var random = SecureRandom(bufferBytes: PadSeed.byteCount)
            let seed = random.padSeed()
            do throws(LinkError) {
                let products = try self[number].products(site, seed: seed, rows: rows)
                precondition(products.count == rows * site.outputs, "PadSource: products of another shape")
                return PreparedPads(seed: seed, source: number, products: products)
            } catch {
                onFailure(number, error)
                failure = error
            }
        }
        throw failure
    }
}

/// The source `direct`: this side multiplies the pads itself, in batches that read each weight once.
///
/// It is as many multiply-adds as the inference, so it is for a machine with many cores or idle hours.
package final class DirectPads: PadSource {
    private let model: Decoder

    /// - Parameter model: All sites in ring form.
    package init(_ model: Decoder) {
        precondition(model.isRing, "DirectPads: weights that are not int8")
        self.model = model
    }

    package var kind: PadSourceKind { .direct }
    package var name: String { "direct" }

    package func products(
        _ site: RingSite, seed: PadSeed, rows: Int
    ) throws(LinkError) -> SecretBuffer<UInt32> {
        var pads = SecretBuffer<UInt32>(repeating: 0, count: rows * site.inputs)
        var unused = SecretBuffer<UInt8>(repeating: 0, count: rows)
        var words = pads.mutableSpan
        var none = unused.mutableSpan
        forEachRow(rows, &words, width: site.inputs, &none, width: 1, pool: model.pool) { row, pad, _ in
            seed.expand(row: UInt64(row), into: &pad)
        }
        var products = SecretBuffer<UInt32>(repeating: 0, count: rows * site.outputs)
        var out = products.mutableSpan
        model.ringProduct(pads.span, site.site, into: &out)
        return products
    }
}

/// The source `peer`: a second worker, run by somebody else, expands and multiplies the pads.
///
/// It gets a seed and nothing that depends on a text. Neither worker alone learns anything; the two together would.
package final class PeerPads: PadSource {
    private let link: any WorkerLink
    package let name: String
    private let findKey: @Sendable () -> [UInt8]?

    /// - Parameters:
    ///   - link: The way to a peer that is no main worker.
    ///   - name: What it is called.
    ///   - key: SHA-256 of the public key that the link's newest connection led to; nil without TLS.
    package init(
        _ link: any WorkerLink, name: String, key: @escaping @Sendable () -> [UInt8]? = { nil }
    ) {
        self.link = link
        self.name = name
        findKey = key
    }

    package var key: [UInt8]? { findKey() }

    package func connect() throws(LinkError) { try link.connect() }

    /// What the peer at an address is called.
    package static func name(of address: String) -> String { "peer \(address)" }

    package var kind: PadSourceKind { .peer }

    package func products(
        _ site: RingSite, seed: PadSeed, rows: Int
    ) throws(LinkError) -> SecretBuffer<UInt32> {
        let (layer, name) = site.site.named
        let answer = try link.exchange(
            Request(.padProducts(layer: layer, site: name, seed: seed, first: 0, rows: rows)))
        guard case .ring(let tensor) = answer, tensor.rows == rows, tensor.channels == site.outputs else {
            throw .unexpectedAnswer("products of another shape")
        }
        return SecretBuffer(copying: tensor.values.span)
    }
}
