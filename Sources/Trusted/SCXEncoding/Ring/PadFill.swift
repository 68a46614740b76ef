import SCXLink

/// Fills a store until each site, including the head, has pads for a number of tokens.
///
/// Pads that the store has already count, so a fill that was interrupted continues where it was.
package struct PadFill {
    /// The progress of a fill.
    package struct Progress: Equatable, Sendable {
        /// Rows of all sites that this fill has added so far.
        package let rows: Int
        /// The rows that the fill will have added when it is complete.
        package let totalRows: Int
        /// Bytes that the store has now.
        package let bytes: Int
    }

    private let store: PadStore
    private let sites: [RingSite]
    private let sources: [any PadSource]

    /// How many rows are multiplied at once; each weight is read once for all of them.
    package var batchRows = 256
    /// The most bytes of one such batch's pads or products; a batch has one row at least.
    private static let batchBytes = 256 << 20
    /// How many rows a file has; a file is loaded and burnt as a whole.
    package var fileRows = 32

    /// Describes a fill.
    ///
    /// - Parameters:
    ///   - store: The store to fill.
    ///   - sites: The model's sites, in the order of a forward pass.
    ///   - sources: The sources that compute products; they are asked in this order, and the first answer is taken.
    package init(_ store: PadStore, sites: [RingSite], sources: [any PadSource]) {
        precondition(!sources.isEmpty && !sites.isEmpty, "PadFill: no source")
        self.store = store
        self.sites = sites
        self.sources = sources
    }

    /// The number of rows of a file, a power of two from 1 to 64, with which one file of each site fits into a
    /// quarter of a bank's memory.
    package static func fileRows(_ sites: [RingSite], memory: Int) -> Int {
        let token = bytesPerToken(sites)
        var rows = 64
        while rows > 1, rows * token > memory / 4 { rows /= 2 }
        return rows
    }

    /// How many bytes of products a token takes.
    package static func bytesPerToken(_ sites: [RingSite]) -> Int { sites.reduce(0) { $0 + 4 * $1.outputs } }

    /// Fills the store.
    ///
    /// - Parameters:
    ///   - tokens: The number of tokens for which each site has pads when the fill is complete.
    ///   - progress: Called after each batch; the fill ends if it returns false.
    /// - Throws: ``LinkError`` when no source gives products, ``VaultError`` when the disk takes no more; pads that
    ///   were added stay.
    package func run(tokens: Int, progress: (Progress) -> Bool = { _ in true }) throws {
        let start = sites.map { max(0, tokens - store.rows(of: $0.site)) }
        let total = start.reduce(0, +)
        var missing = start
        var added = 0
        // Fill the site that lacks most first, so that a fill that is interrupted leaves pads for whole tokens.
        while let most = missing.indices.max(by: {
            missing[$0] < missing[$1] || (missing[$0] == missing[$1] && $0 > $1)
        }),
            missing[most] > 0
        {
            let site = sites[most]
            // A row of a site of experts is as large as hundreds of others.
            let fitting = max(1, Self.batchBytes / (4 * max(site.inputs, site.outputs)))
            let rows = min(batchRows, missing[most], fitting)
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
