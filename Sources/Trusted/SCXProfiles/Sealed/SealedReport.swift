package import SCXEncoding

/// What can be told of a forward pass of profile `sealed` while it runs, from any thread.
package final class SealedReport: Sendable {
    private let bank: PadBank
    private let counts: SealedCounts
    /// The main workers, which see padded rows.
    package let workers: [String]

    init(bank: PadBank, counts: SealedCounts, workers: [String]) {
        self.bank = bank
        self.counts = counts
        self.workers = workers
    }

    /// Where pads came from so far.
    package var pads: PadBank.Use { bank.use }

    /// Tokens whose pads are prepared in memory.
    package var preparedTokens: Int { bank.preparedRows }

    package var values: SealedCounts.Values { counts.values }

    /// The peers that multiply pads, those of pads that were loaded from disk among them.
    ///
    /// Their owners and those of ``workers`` could read everything together.
    package var peers: [String] { bank.makerNames(of: .peer) }

    /// Whose owners must not collude, in one line.
    package var owners: String {
        guard !peers.isEmpty else { return "pads are multiplied on this side alone, and no peer knows them" }
        return
            "the owners of workers (\(workers.joined(separator: ", "))) and of peers (\(peers.joined(separator: ", "))) "
            + "must not be one and must not share what they receive: together they read everything"
    }
}
