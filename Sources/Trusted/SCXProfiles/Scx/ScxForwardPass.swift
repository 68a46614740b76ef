import SCXEncoding
package import SCXInference
package import SCXLink

/// Profile `scx`: stateless KV-cache encoding.
///
/// Yuan et al. 2025, "SCX: Stateless KV-Cache Encoding for Cloud-Scale Confidential Transformer Serving", SIGCOMM,
/// <https://doi.org/10.1145/3718958.3750509>. `docs/profile-scx.md` has every message with its equation. There are
/// three stages: ``ScxPromptRun`` computes one or more prompts in `4 · blocks + 1` exchanges whose rows or channels
/// are permuted; ``shareKeys(_:)`` gives the worker the order of the rows of the middle blocks; ``generate(_:)`` computes
/// a token in `3 · first + 1 + 2 · last` exchanges, one of which runs all middle blocks.
///
/// It hides what the paper tested and no more: `docs/threat-model.md` says which attacks break it.
package final class ScxForwardPass: ForwardPass {
    let embedding: TokenEmbedding
    /// The norms, and the few products that the trusted side computes itself.
    let layers: Decoder
    let profile: ModelProfile
    let options: ScxOptions
    let link: any WorkerLink
    let shape: HeadShape
    /// A source of noise for each of the first blocks.
    let noise: [NoiseSource]
    var random = SecureRandom()
    var workspace = Workspace()
    var sessions: [Slot: ScxSession] = [:]
    let unused = UnusedSlots()
    /// Incremented when the worker is lost, because sessions that were stored before cannot be continued with another
    /// worker.
    private(set) var epoch: UInt64 = 0

    var configuration: DecoderConfiguration { layers.configuration }
    var blockCount: Int { configuration.blockCount }
    /// The blocks that the worker runs in clear in generation.
    var middle: Range<Int> { options.firstBlocks..<blockCount - options.lastBlocks }

    /// The products that ``init(embedding:layers:profile:options:link:)`` needs to be loaded.
    private static func parts(_ configuration: DecoderConfiguration, _ options: ScxOptions) -> DecoderParts {
        let first = Set(0..<options.firstBlocks)
        let last = Set(configuration.blockCount - options.lastBlocks..<configuration.blockCount)
        return DecoderParts(queryKeyValue: first, output: first.union(last), head: true)
    }

    /// Makes a forward pass without sessions.
    ///
    /// - Parameters:
    ///   - embedding: The model's embedding.
    ///   - layers: The decoder with ``parts(_:_:)`` loaded, in the precision of the worker's weights.
    ///   - profile: The model's profile.
    ///   - options: Options that fit the model.
    ///   - link: The link to the worker.
    /// - Throws: ``KernelError`` when there is no memory.
    package init(
        embedding: TokenEmbedding, layers: Decoder, profile: ModelProfile, options: ScxOptions,
        link: any WorkerLink
    ) throws(KernelError) {
        precondition(
            options.problem(blockCount: layers.configuration.blockCount) == nil, "ScxForwardPass: options")
        self.embedding = embedding
        self.layers = layers
        self.profile = profile
        self.options = options
        self.link = link
        shape = HeadShape(
            heads: layers.configuration.headCount, keyValueHeads: layers.configuration.keyValueHeadCount,
            headSize: layers.configuration.headSize)
        let scale = options.noiseScale ?? profile.noiseScale
        var noise: [NoiseSource] = []
        for block in 0..<options.firstBlocks {
            let rows = profile.statistics(of: .attentionInput(block))
            let magnitude = (rows.norms.last ?? 0) / Float(rows.channels).squareRoot()
            noise.append(
                NoiseSource(
                    weights: try layers.exactWeights(of: .queryKeyValue(block: block)),
                    grid: NoiseGrid(scale: scale, rowMagnitude: magnitude), pool: layers.pool))
        }
        self.noise = noise
    }

    /// Loads what the trusted side needs of a model, and makes a forward pass without sessions.
    ///
    /// - Parameters:
    ///   - checkpoint: The model.
    ///   - format: Precision of the worker's weights.
    ///   - pool: Threads that compute here.
    ///   - profile: The model's profile.
    ///   - options: Options that fit the model.
    ///   - link: The link to the worker.
    /// - Throws: ``LoadError``, ``CheckpointError`` or ``KernelError``.
    package convenience init(
        _ checkpoint: Checkpoint, format: WeightFormat, pool: ThreadPool, profile: ModelProfile,
        options: ScxOptions, link: any WorkerLink
    ) throws {
        let layers = try Decoder(
            checkpoint, format: format, pool: pool, parts: Self.parts(checkpoint.configuration, options))
        try self.init(
            embedding: TokenEmbedding(checkpoint), layers: layers, profile: profile, options: options,
            link: link)
    }

    package var traffic: Traffic { link.traffic }

    /// False, since the rows of a prompt are hidden among each other and have to be computed together.
    package var splitsPrompts: Bool { false }
    package var generates: Bool { layers.configuration.hasHead }

    package func compute(_ segments: [BatchSegment]) throws(LinkError) -> [[Float]] {
        var results: [[Float]] = Array(repeating: [], count: segments.count)
        var generating: [(index: Int, session: ScxSession, token: Int32)] = []
        do throws(LinkError) {
            for (index, segment) in segments.enumerated() {
                guard promptKind(of: segment) != nil else {
                    generating.append((index, try session(for: segment), segment.tokens[0]))
                    continue
                }
                let run = try makeRun([segment])
                while true {
                    guard let result = try run.advance() else { continue }
                    results[index] = result[0]
                    break
                }
            }
            if !generating.isEmpty {
                let logits = try generate(generating.map { ($0.session, $0.token) })
                for (row, entry) in generating.enumerated() where segments[entry.index].output != .nothing {
                    let start = row * embedding.vocabularySize
                    results[entry.index] = Array(logits[start..<start + embedding.vocabularySize])
                }
            }
        } catch {
            forget(segments.map(\.slot), error)
            throw error
        }
        return results
    }

    /// The kind of a segment with a prompt; nil for a single token, which is generated together with those of other
    /// sessions.
    ///
    /// Only prompts that will be answered share exchanges, since their sessions soon give the worker the order of their
    /// rows. If a prompt that is not answered shared an exchange, the worker could find its rows: they would be left
    /// when all other sessions have given theirs.
    package func promptKind(of segment: BatchSegment) -> PromptKind? {
        if segment.position > 0, segment.tokens.count == 1, segment.output != .hiddenStates { return nil }
        guard segment.output == .lastLogits else { return .alone }
        return segment.position == 0 ? .first : .later
    }

    package func begin(_ segments: [BatchSegment]) throws(LinkError) -> (any PromptRun)? {
        do throws(LinkError) {
            try releaseUnused()
            return try makeRun(segments)
        } catch {
            forget(segments.map(\.slot), error)
            throw error
        }
    }

    private func makeRun(_ segments: [BatchSegment]) throws(LinkError) -> ScxPromptRun {
        var members: [ScxPromptRun.Member] = []
        for segment in segments {
            members.append(ScxPromptRun.Member(session: try session(for: segment), segment: segment))
        }
        return try ScxPromptRun(self, members)
    }

    /// Removes the state of sessions after a failure, since it is not known what the worker holds of them.
    func forget(_ slots: [Slot], _ error: LinkError) {
        for slot in slots { sessions[slot] = nil }
        guard error.losesWorker else { return }
        sessions = [:]
        unused.slots = []
        epoch += 1
    }

    package func end(_ slot: Slot) throws(LinkError) {
        sessions[slot] = nil
        do throws(LinkError) {
            _ = try link.exchange(Request(.release(slot: slot)))
            try releaseUnused()
        } catch {
            forget([slot], error)
            throw error
        }
    }

    /// The session of a segment, cut at the position where the segment begins.
    private func session(for segment: BatchSegment) throws(LinkError) -> ScxSession {
        if segment.position == 0 {
            let session = makeSession(segment.slot)
            sessions[segment.slot] = session
            return session
        }
        guard let session = sessions[segment.slot], session.count >= segment.position else {
            // The engine computes a session that is lost again, from its first token.
            throw .disconnected("its session began on another connection")
        }
        if session.count > segment.position {
            try shareKeys(session)
            session.truncate(to: segment.position)
        }
        return session
    }

    func makeSession(_ slot: Slot) -> ScxSession {
        ScxSession(
            slot: slot,
            first: (0..<options.firstBlocks).map { _ in
                ScxSession.FirstBlock(
                    width: shape.keyWidth,
                    key: options.reuse == .session ? SessionChannelKey(shape, random: &random) : nil)
            },
            last: (0..<options.lastBlocks).map { _ in ScxSession.LastBlock(width: shape.keyWidth) })
    }
}
