package import SCXInference
package import SCXLink
import Synchronization

/// Computes the products of pads with the weights.
package protocol PadSource: Sendable {
    /// The kind of source, by which reports count it.
    var kind: PadSourceKind { get }
    /// The source's name in messages to the user; for a peer its address.
    var name: String { get }
    /// SHA-256 of the public key that the source proved to hold; nil without TLS.
    var key: [UInt8]? { get }

    /// Expands a seed to the pads of a site and multiplies them.
    ///
    /// - Parameters:
    ///   - site: The site for whose inputs the pads are.
    ///   - seed: A seed that was drawn for this batch alone.
    ///   - rows: How many rows of pads.
    /// - Returns: `[rows, outputs]`, modulo 2³², row-major.
    /// - Throws: ``LinkError`` when the source cannot be reached or answers in another form.
    func products(_ site: RingSite, seed: PadSeed, rows: Int) throws(LinkError) -> SecretBuffer<UInt32>

    /// Connects to the source again if necessary, which may take a while; throws if it cannot be reached.
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

/// Products that a source has computed, with their seed.
struct PreparedPads: ~Copyable {
    let seed: PadSeed
    /// The number of the source that computed them.
    let source: Int
    let products: SecretBuffer<UInt32>
}

extension [any PadSource] {
    /// Gets products of pads with a seed of their own, from the first source that succeeds.
    ///
    /// - Parameters:
    ///   - site: The site for whose inputs the pads are.
    ///   - rows: How many rows of pads.
    ///   - numbers: The numbers of the sources to ask, in this order; nil for all.
    ///   - onFailure: Called for each source that fails.
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

/// The source `direct`: the trusted side multiplies the pads itself, in batches that read each weight once.
///
/// This takes as many multiply-adds as the inference, so it is for a machine with many cores or idle hours.
package final class DirectPads: PadSource {
    private let model: Decoder

    /// Makes a source that multiplies with a model's weights.
    ///
    /// - Parameter model: A model with all sites in ring form.
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
    private let times = Mutex(AnswerTimes())

    /// Makes a source of a link to a peer.
    ///
    /// - Parameters:
    ///   - link: The link to the peer, which must not be a main worker.
    ///   - name: The peer's name in messages to the user.
    ///   - key: Returns the SHA-256 of the public key to which the link's newest connection led; nil without TLS.
    package init(
        _ link: any WorkerLink, name: String, key: @escaping @Sendable () -> [UInt8]? = { nil }
    ) {
        self.link = link
        self.name = name
        findKey = key
    }

    package var key: [UInt8]? { findKey() }

    package func connect() throws(LinkError) { try link.connect() }

    /// Refuses a worker that cannot multiply whole pads.
    ///
    /// - Parameters:
    ///   - hello: The worker's hello.
    ///   - address: Its address, as the user gave it.
    /// - Throws: ``LinkError/incompatible(_:)`` when its weights are not int8, or when it holds a shard.
    package static func check(_ hello: Hello, at address: String) throws(LinkError) {
        guard hello.ring else {
            throw .incompatible(
                "'--pads peer:\(address)' has \(hello.weights) weights, and pads need a worker with "
                    + "'--weights int8'")
        }
        guard hello.shard == .whole else {
            throw .incompatible(
                "'--pads peer:\(address)' has shard \(hello.shard.index + 1) of \(hello.shard.count), and pads need "
                    + "a worker of the whole model")
        }
    }

    /// The name of the peer at an address.
    package static func name(of address: String) -> String { "\(prefix)\(address)" }

    /// The address of the peer with a name.
    package static func address(of name: String) -> String {
        name.hasPrefix(prefix) ? String(name.dropFirst(prefix.count)) : name
    }

    private static let prefix = "peer "

    package var kind: PadSourceKind { .peer }

    package func products(
        _ site: RingSite, seed: PadSeed, rows: Int
    ) throws(LinkError) -> SecretBuffer<UInt32> {
        let (layer, name) = site.site.named
        let work = Double(rows) * Double(site.inputs) * Double(site.outputs)
        let start = ContinuousClock.now
        let sent = try link.send(
            Request(.padProducts(layer: layer, site: name, seed: seed, first: 0, rows: rows)))
        let answer = try link.receive(sent, within: times.withLock { $0.limit(work: work) })
        times.withLock { $0.add(work: work, took: ContinuousClock.now - start) }
        guard case .ring(let tensor) = consume answer, tensor.rows == rows,
            tensor.channels == site.outputs
        else {
            throw .unexpectedAnswer("products of another shape")
        }
        var values = (consume tensor).values
        defer { erase(&values) }
        return SecretBuffer(copying: values.span)
    }
}
