package import SCXEncoding

/// The state of a forward pass of profile `sealed`, which any thread may read while it runs.
package final class SealedReport: Sendable {
    private let bank: PadBank
    private let counts: SealedCounts
    /// The names of the main workers, which see padded rows.
    package let workers: [String]

    init(bank: PadBank, counts: SealedCounts, workers: [String]) {
        self.bank = bank
        self.counts = counts
        self.workers = workers
    }

    /// How many rows' pads came from each kind of source so far.
    package var pads: PadBank.Use { bank.use }

    /// The number of tokens for which pads are in memory.
    package var preparedTokens: Int { bank.preparedRows }

    package var values: SealedCounts.Values { counts.values }

    /// The names of the peers that multiply pads, including the makers of pads that were loaded from disk.
    ///
    /// Their owners and those of ``workers`` together could read everything.
    package var peers: [String] { bank.makerNames(of: .peer) }

    /// Which owners must not collude, in one line.
    package var owners: String {
        guard !peers.isEmpty else { return "pads are multiplied on this side alone, and no peer knows them" }
        return
            "the owners of workers (\(workers.joined(separator: ", "))) and of peers (\(peers.joined(separator: ", "))) "
            + "must not be one and must not share what they receive: together they read everything"
    }
}
