import Foundation
package import SCXAttacks
import SCXEncoding
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker

/// How much of some sessions the attack on routing recovered.
package struct RoutingScore: Sendable {
    /// How many tokens the attack could try.
    package let attacked: Int
    /// The share of these tokens that it names first.
    package let first: Share
    /// The share of those that are among the ten that it names.
    package let ten: Share
    /// How many bits the worker is told of a token's experts in a block.
    package let bits: Double
}

/// Records sessions, and attacks which experts their tokens take.
package struct RoutingLab {
    private let recorder: SealedRecorder
    private let sessions: Int
    private let tokens: Int
    private let attack = Routing(ranks: 10)

    /// Describes the sessions.
    ///
    /// - Parameters:
    ///   - recorder: The model.
    ///   - sessions: How many sessions there are.
    ///   - tokens: How many tokens each has; they are sent one by one.
    package init(recorder: SealedRecorder, sessions: Int, tokens: Int) {
        (self.recorder, self.sessions, self.tokens) = (recorder, sessions, tokens)
    }

    private var configuration: DecoderConfiguration { recorder.checkpoint.configuration }

    private func text(_ number: Int, _ count: Int) -> [Int32] {
        var random = LabRandom(seed: UInt64(number) &* 7_919 &+ 17)
        return (0..<count).map { _ in Int32(random.next() % UInt64(configuration.vocabularySize)) }
    }

    /// Attacks profile `plain`.
    package func plain() throws -> RoutingScore {
        try attacking { link in
            PlainForwardPass(
                embedding: try TokenEmbedding(recorder.checkpoint), configuration: configuration, link: link)
        }
    }

    /// Attacks profile `sealed`.
    ///
    /// - Parameter cover: How many experts a request reaches at least; nil for all.
    /// - Returns: What the attack recovered.
    /// - Throws: When a session cannot be computed or recorded.
    package func sealed(cover: Int?) throws -> RoutingScore {
        try attacking { link in sealed(link, cover) }
    }

    private func sealed(_ link: RemoteLink, _ cover: Int?) -> RingForwardPass {
        var options = RingOptions()
        options.expertCover = cover
        return RingForwardPass(
            sealed: recorder.sites, workers: RingWorkers([("laboratory", [link])]),
            bank: PadBank(sites: recorder.sites.sites, sources: [DirectPads(recorder.model.decoder)]),
            options: options)
    }

    /// Sends the tokens of all sessions one by one, and attacks what the worker recorded.
    private func attacking(_ profile: (RemoteLink) throws -> any ForwardPass) throws -> RoutingScore {
        let texts = (0..<sessions).map { text($0, tokens) }
        let views = try record(sessions) { number, link in
            let forward = try profile(link)
            for (position, token) in texts[number].enumerated() {
                _ = try forward.compute([
                    BatchSegment(
                        slot: Slot(number: 1), position: position, tokens: [token],
                        output: position == 0 ? .nothing : .lastLogits)
                ])
            }
        }
        var (first, ten, count, bits) = (0, 0, 0, 0.0)
        for (session, text) in zip(views.sessions, texts) {
            let target = Target(model: recorder.model, views: views, session: session)
            let found = try attack.execute(on: target)
            for (position, token) in text.enumerated() {
                guard let named = found.positions[position] else { continue }
                count += 1
                if named.first == token { first += 1 }
                if named.contains(token) { ten += 1 }
            }
            bits += (found.measures.first?.value ?? 0) / Double(texts.count)
        }
        return RoutingScore(
            attacked: count, first: Share(first, of: count), ten: Share(ten, of: count), bits: bits)
    }

    /// Records what is sent over some connections, one after the other.
    private func record(
        _ connections: Int, _ send: (_ number: Int, RemoteLink) throws -> Void
    ) throws -> Views {
        let directory = FileManager.default.temporaryDirectory.appending(
            path: "scx-routing-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: directory) }
        let digest = recorder.checkpoint.digest()
        let server = WorkerServer(
            worker: Worker(model: recorder.model.decoder), digest: digest, weights: .int8,
            recorder: try Recorder(directory: directory.path))
        for number in 0..<connections {
            let link = RemoteLink(digest: digest, model: configuration) { _ throws(LinkError) in
                let (client, worker) = try SocketStream.pair()
                Thread.detachNewThread { server.serve(worker) }
                return client
            }
            defer { link.close() }
            try send(number, link)
        }
        return try Views(directory: directory.path, configuration: configuration)
    }

    /// Sends prompts that the attacker knows, and lets it tell by the numbers of slots which is which.
    ///
    /// - Parameters:
    ///   - count: How many prompts there are.
    ///   - length: How many tokens each has.
    /// - Returns: How many of the prompts differ in their numbers of slots, and the share that the attacker names; of
    ///   several that fit it names each equally often.
    /// - Throws: When a prompt cannot be computed or recorded.
    package func prompts(_ count: Int, length: Int) throws -> (different: Int, named: Double) {
        let texts = (0..<count).map { text(1_000 + $0, length) }
        let guess = try CapacityGuess(recorder.model, texts: texts) {
            ExpertSlots.capacity(rows: $0, experts: $1, perRow: $2, load: $3)
        }
        var right = 0.0
        for (number, text) in texts.enumerated() {
            let views = try record(1) { _, link in
                _ = try sealed(link, nil).compute([
                    BatchSegment(slot: Slot(number: 1), position: 0, tokens: text, output: .lastLogits)
                ])
            }
            guard let session = views.sessions.first else { continue }
            let differences = guess.differences(guess.observed(session))
            let least = differences.min() ?? 0
            let best = differences.indices.filter { differences[$0] == least }
            if best.contains(number) { right += 1 / Double(best.count) }
        }
        return (Set(guess.expected).count, right / Double(count))
    }
}
