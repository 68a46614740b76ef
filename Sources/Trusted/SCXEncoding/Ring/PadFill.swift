import SCXLink

/// Fills a store until each site has pads for so many tokens, the head included.
///
/// What is there counts, so a fill that was interrupted goes on where it was.
package struct PadFill {
    /// How far a fill is.
    package struct Progress: Equatable, Sendable {
        /// Rows of all sites that were added by this fill.
        package let rows: Int
        /// Rows that it adds in all.
        package let totalRows: Int
        /// Bytes of the store.
        package let bytes: Int
    }

    private let store: PadStore
    private let sites: [RingSite]
    private let sources: [any PadSource]

    /// Rows that are multiplied at once: each weight is read once for them.
    package var batchRows = 256
    /// Rows of a file, which is loaded and burnt as a whole.
    package var fileRows = 32

    /// - Parameters:
    ///   - store: To be filled.
    ///   - sites: Of the model, in the order of a forward pass.
    ///   - sources: Where products come from: the first that gives them.
    package init(_ store: PadStore, sites: [RingSite], sources: [any PadSource]) {
        precondition(!sources.isEmpty && !sites.isEmpty, "PadFill: no source")
        self.store = store
        self.sites = sites
        self.sources = sources
    }

    /// Rows of a file such that one file of each site fits a quarter of a bank's memory, a power of two from 1 to 64.
    package static func fileRows(_ sites: [RingSite], memory: Int) -> Int {
        let token = bytesPerToken(sites)
        var rows = 64
        while rows > 1, rows * token > memory / 4 { rows /= 2 }
        return rows
    }

    /// Bytes of products that a token takes.
    package static func bytesPerToken(_ sites: [RingSite]) -> Int { sites.reduce(0) { $0 + 4 * $1.outputs } }

    /// Fills the store.
    ///
    /// - Parameters:
    ///   - tokens: How many each site has pads for in the end.
    ///   - progress: Told after each batch; if it returns false, the fill ends.
    /// - Throws: ``LinkError`` when no source gives products, ``VaultError`` when the disk takes no more; what is there
    ///   stays.
    package func run(tokens: Int, progress: (Progress) -> Bool = { _ in true }) throws {
        let start = sites.map { max(0, tokens - store.rows(of: $0.site)) }
        let total = start.reduce(0, +)
        var missing = start
        var added = 0
        // The site that lacks most comes first, so that an interrupted fill leaves whole tokens.
        while let most = missing.indices.max(by: {
            missing[$0] < missing[$1] || (missing[$0] == missing[$1] && $0 > $1)
        }),
            missing[most] > 0
        {
            let (site, rows) = (sites[most], min(batchRows, missing[most]))
            let pads = try sources.firstProducts(site, rows: rows)
            let maker = PadMaker(sources[pads.source])
            for first in stride(from: 0, to: rows, by: fileRows) {
                let end = min(rows, first + fileRows)
                try store.add(
                    pads.products.span.extracting(first * site.outputs..<end * site.outputs), seed: pads.seed,
                    first: first, site: site, maker: maker)
            }
            missing[most] -= rows
            added += rows
            guard progress(Progress(rows: added, totalRows: total, bytes: store.byteCount)) else { return }
        }
    }
}
