import SCXEncoding
import SCXLink

/// Who multiplies rows by a site's integers, and how it is asked.
///
/// Not thread-safe: one forward pass owns it.
protocol SiteProducts: AnyObject {
    /// Begins a product.
    ///
    /// - Parameters:
    ///   - values: Rows of the site's inputs.
    ///   - site: What they are multiplied by.
    /// - Returns: What gives the result; other work can be done meanwhile.
    /// - Throws: ``LinkError`` when it cannot begin.
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
