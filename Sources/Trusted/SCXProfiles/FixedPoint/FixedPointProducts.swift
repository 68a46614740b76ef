import SCXEncoding
package import SCXInference
import SCXLink

/// The products of profile `fixed-point`: the arithmetic of `sealed` done here, without pads and without a worker.
///
/// It hides everything and asks nobody, at the price of doing all the work: the reference that `sealed` must equal bit by
/// bit.
final class FixedPointProducts: SiteProducts {
    private let weights: Decoder

    /// - Parameter weights: All sites in ring form.
    init(_ weights: Decoder) { self.weights = weights }

    var traffic: Traffic { Traffic() }

    func send(_ values: consuming Plaintext, _ site: RingSite) throws(LinkError) -> any SentProduct {
        let rows = FixedPointRows(values, for: site, pool: weights.pool)
        return Computed(
            rows.multiplied(site, pool: weights.pool) { words in
                var product = SecretBuffer<UInt32>(
                    repeating: 0, count: words.count / site.inputs * site.outputs)
                var out = product.mutableSpan
                weights.ringProduct(words, site.site, into: &out)
                return product
            })
    }

    private final class Computed: SentProduct {
        private var result: Plaintext?

        init(_ result: consuming Plaintext) { self.result = consume result }

        func receive() throws(LinkError) -> Plaintext {
            guard let result = result.take() else {
                preconditionFailure("FixedPointProducts: received twice")
            }
            return result
        }
    }
}

extension RingForwardPass {
    /// Profile `fixed-point`.
    ///
    /// - Parameters:
    ///   - model: The model's sites.
    ///   - weights: All of its weights in ring form.
    ///   - options: How the cache is held.
    package convenience init(fixedPoint model: RingModel, weights: Decoder, options: RingOptions = .init()) {
        self.init(model, products: FixedPointProducts(weights), options: options)
    }
}
