import SCXEncoding
import SCXLink

/// Multiplies rows by a site's integers, here or by asking workers.
///
/// Not thread-safe: one forward pass owns it.
protocol SiteProducts: AnyObject {
    /// Begins a product.
    ///
    /// - Parameters:
    ///   - values: Rows of the site's inputs.
    ///   - site: The site by whose integers they are multiplied.
    /// - Returns: An object that gives the result; other work can be done before that.
    /// - Throws: ``LinkError`` when the product cannot be begun.
    func send(_ values: consuming Plaintext, _ site: RingSite) throws(LinkError) -> any SentProduct

    var traffic: Traffic { get }

    /// Whether the worker sees how many rows a step has.
    var showsRowCounts: Bool { get }
}

extension SiteProducts {
    var showsRowCounts: Bool { true }
}

/// A product that was begun.
protocol SentProduct: AnyObject {
    /// Waits for the result, `[rows, outputs]`; called once.
    func receive() throws(LinkError) -> Plaintext
}
