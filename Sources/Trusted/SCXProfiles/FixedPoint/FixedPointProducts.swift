import SCXEncoding
package import SCXInference
import SCXLink

/// The products of profile `fixed-point`: the arithmetic of `sealed`, computed on the trusted side without pads and
/// without a worker.
///
/// It hides everything, since it asks nobody, at the price of doing all the work. It is the reference that `sealed`
/// must equal bit by bit.
final class FixedPointProducts: SiteProducts {
    private let weights: Decoder

    /// Makes products with a model's weights.
    ///
    /// - Parameter weights: A model with all sites in ring form.
    init(_ weights: Decoder) { self.weights = weights }

    var traffic: Traffic { Traffic() }

    func send(
        _ values: consuming Plaintext, _ site: RingSite, groups: [Int]?
    ) throws(LinkError) -> any SentProduct {
        let rows = FixedPointRows(values, for: site, groups: groups, pool: weights.pool)
        return Computed(
            rows.multiplied(site, pool: weights.pool) { words in
                var product = SecretBuffer<UInt32>(
                    repeating: 0, count: words.count / site.groupInputs * site.groupOutputs)
                var out = product.mutableSpan
                weights.ringProduct(words, site.site, groups: groups, into: &out)
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
    /// Makes the forward pass of profile `fixed-point`.
    ///
    /// - Parameters:
    ///   - model: The model's sites.
    ///   - weights: All of its weights in ring form.
    ///   - options: How the KV cache is held.
    package convenience init(fixedPoint model: RingModel, weights: Decoder, options: RingOptions = .init()) {
        self.init(model, products: FixedPointProducts(weights), options: options)
    }
}
