import SCXInference

/// The contents of a bank, read without changing or decrypting anything, even while another process uses it.
package struct PadStoreStatus: Equatable, Sendable {
    package let path: String
    /// The model's digest.
    package let digest: String
    /// The number of rows left for each site, in the order of a forward pass.
    package let rows: [Int]
    /// How many files of pads there are.
    package let batches: Int
    package let bytes: Int
    package let burntBatches: Int
    /// For each file that would be refused, a line that says why.
    package let problems: [String]

    /// The number of tokens for which every site has pads.
    package var tokens: Int { rows.min() ?? 0 }

    /// The sites of a model of so many blocks, in the order of a forward pass.
    ///
    /// The bank does not say which blocks have experts or latent attention; those have, that ever had pads for it.
    private static func sites(_ blocks: Int, known: Set<DecoderSite>, hasHead: Bool) -> [DecoderSite] {
        (0..<blocks).flatMap { block in
            let experts: [DecoderSite] = [.expertGateUp(block: block), .expertDown(block: block)]
            let dense: [DecoderSite] = [.gateUp(block: block), .down(block: block)]
            let hasExperts = !known.isDisjoint(with: experts)
            let latent: [DecoderSite] = [
                .queryUp(block: block), .queryLatent(block: block), .valueUp(block: block),
            ].filter(known.contains)
            return [.queryKeyValue(block: block)] + latent + [.output(block: block)]
                + (hasExperts ? experts : [])
                + (hasExperts && known.isDisjoint(with: dense) ? [] : dense)
        } + (hasHead ? [.head] : [])
    }

    /// Reads the contents of a directory.
    ///
    /// - Parameters:
    ///   - path: The directory.
    ///   - hasHead: Whether the model has an output head, which the bank does not say.
    /// - Throws: ``VaultError`` when there is no bank, or its ledger cannot be read.
    package init(directory path: String, hasHead: Bool = true) throws(VaultError) {
        guard let names = VaultDirectory.names(in: path),
            let (header, ledger) = try PadLedger.look("\(path)/\(PadStore.ledgerName)")
        else { throw VaultError(path, "there is no bank of pads here; 'scx pads fill --count N' makes one") }
        var rows: [DecoderSite: Int] = [:]
        var (batches, bytes) = (0, 0)
        var problems: [String] = []
        for name in names.sorted() where name.hasSuffix(PadStore.fileEnding) {
            switch PadStore.look("\(path)/\(name)", name, header.digest, header.bank) {
            case .failure(let problem): problems.append("\(path)/\(name): \(problem)")
            case .success(nil): break
            case .success(let file?):
                guard !ledger.isBurnt(file.number, file.site) else {
                    problems.append("\(path)/\(name): its pads were used or passed over before")
                    continue
                }
                rows[file.site, default: 0] += file.rows
                batches += 1
                bytes += file.fileSize
            }
        }
        self.path = path
        digest = String(decoding: header.digest, as: UTF8.self)
        let known = Set(rows.keys).union(ledger.last.keys)
        self.rows = Self.sites(header.blocks, known: known, hasHead: hasHead).map { rows[$0] ?? 0 }
        self.batches = batches
        self.bytes = bytes
        burntBatches = ledger.count
        self.problems = problems
    }
}
