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
    ///   - groups: The groups of the site whose channels the rows have, rising; nil for all.
    /// - Returns: An object that gives the result; other work can be done before that.
    /// - Throws: ``LinkError`` when the product cannot be begun.
    func send(
        _ values: consuming Plaintext, _ site: RingSite, groups: [Int]?
    ) throws(LinkError) -> any SentProduct

    var traffic: Traffic { get }

    /// Whether the worker sees how many rows a step has.
    var showsRowCounts: Bool { get }

    /// How many rows the worker sees in a request of so many.
    func shownRows(_ rows: Int) -> Int
}

extension SiteProducts {
    var showsRowCounts: Bool { true }
    func shownRows(_ rows: Int) -> Int { rows }
}

/// A product that was begun.
protocol SentProduct: AnyObject {
    /// Waits for the result, `[rows, outputs]` of the groups that were sent; called once.
    func receive() throws(LinkError) -> Plaintext
}
