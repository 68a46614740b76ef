import Foundation
package import SCXAttacks
import SCXEncoding
import SCXEngine
package import SCXInference
import SCXLink
package import SCXProfiles
package import SCXWorker

/// Records sessions of profile `sealed`, with the server and the recorder of a real worker.
package struct SealedRecorder {
    package let checkpoint: Checkpoint
    /// The model with int8 weights, as the worker holds it.
    package let model: PublicModel
    /// The model's sites, as the trusted side has them.
    package let sites: RingModel

    /// What was computed in the recorded sessions.
    package struct Sessions {
        package init() {}

        /// For each session its tokens: prompt and answer.
        package var tokens: [[Int32]] = []
        /// For each session how many drafted tokens were right.
        package var accepted: [Int] = []
    }

    package init(_ checkpoint: Checkpoint, pool: ThreadPool) throws {
        self.checkpoint = checkpoint
        model = try PublicModel(checkpoint, format: .int8, pool: pool)
        sites = try RingModel(checkpoint, pool: pool)
    }

    /// Records sessions, one after the other.
    ///
    /// Sessions with exact row counts share a connection. Others have a connection each, because on a shared one
    /// nobody could distinguish them; so the attacks have it easier than a worker.
    package func record(
        _ texts: [[Int32]], answer: Int, _ options: SealedOptions, _ recorder: Recorder
    ) throws -> Sessions {
        let digest = checkpoint.digest()
        let server = WorkerServer(
            worker: Worker(model: model.decoder), digest: digest, weights: .int8, recorder: recorder)
        var sessions = Sessions()
        let groups = options.rowCounts == .exact ? [texts] : texts.map { [$0] }
        for group in groups {
            let link = RemoteLink(digest: digest, model: checkpoint.configuration) {
                _ throws(LinkError) in
                let (client, worker) = try SocketStream.pair()
                Thread.detachNewThread { server.serve(worker) }
                return client
            }
            defer { link.close() }
            var ring = RingOptions()
            ring.expertCover = options.expertCover
            let forward = RingForwardPass(
                sealed: sites, workers: RingWorkers([("laboratory", [OneAtATime(link)])]),
                bank: PadBank(sites: sites.sites, sources: [DirectPads(model.decoder)]),
                rowCounts: options.rowCounts, options: ring)
            guard options.longestDraft > 0 else {
                sessions.tokens += try serve(group, forward, answer: answer)
                continue
            }
            for (number, text) in group.enumerated() {
                let slot = Slot(number: UInt32(number + 1))
                let (tokens, accepted) = try speculate(text, forward, slot, answer: answer, options)
                sessions.tokens.append(tokens)
                sessions.accepted.append(accepted)
            }
        }
        return sessions
    }

    private func serve(_ texts: [[Int32]], _ forward: any ForwardPass, answer: Int) throws -> [[Int32]] {
        let engine = Engine(
            forward: forward, tokenizer: nil, vocabularySize: checkpoint.configuration.vocabularySize,
            maximumLength: checkpoint.configuration.maximumLength)
        return try texts.map { try engine.carry($0, answer: answer) }
    }

    /// Computes a prompt and an answer with drafted tokens, as many as the engine's rule allows.
    ///
    /// The answer is the model's own, and each drafted token is right or wrong by chance, as `options` say. This
    /// simulates a drafter on texts that are predictable to different degrees.
    private func speculate(
        _ prompt: [Int32], _ forward: any ForwardPass, _ slot: Slot, answer: Int, _ options: SealedOptions
    ) throws -> (tokens: [Int32], accepted: Int) {
        let reference = RingForwardPass(fixedPoint: sites, weights: model.decoder)
        let text = try serve([prompt], reference, answer: answer + options.longestDraft)[0]
        var random = LabRandom(seed: UInt64(prompt.count) << 8 &+ UInt64(prompt.last ?? 0))
        // Each text is predictable to a degree of its own.
        let right = Double(20 + random.next() % 75) / 100
        var rule = DraftRule(longest: options.longestDraft)
        _ = try forward.compute(BatchSegment(slot: slot, position: 0, tokens: prompt, output: .lastLogits))
        var (position, accepted) = (prompt.count, 0)
        while position < prompt.count + answer, position < text.count {
            let count = min(rule.next, prompt.count + answer - position - 1, text.count - position - 1)
            var draft: [Int32] = []
            var hits = 0
            for i in 0..<max(0, count) {
                let isRight = Double(random.next() >> 11) * 0x1p-53 < right
                if isRight, hits == i { hits += 1 }
                let token = text[position + 1 + i]
                draft.append(isRight ? token : (token + 1) % Int32(model.vocabularySize))
            }
            _ = try forward.compute(
                BatchSegment(
                    slot: slot, position: position, tokens: [text[position]] + draft, output: .allLogits))
            rule.add(proposed: draft.count, accepted: hits)
            accepted += hits
            position += hits + 1
        }
        try forward.end(slot)
        return (Array(text.prefix(position)), accepted)
    }
}

/// A link that has one request on its way at a time, and waits for its answer before it sends the next.
///
/// The worker gets the same requests in the same order as otherwise, and the time between two of them is the trusted
/// side's alone. So no attack has less information.
private final class OneAtATime: WorkerLink {
    private let link: any WorkerLink

    init(_ link: any WorkerLink) { self.link = link }

    var traffic: Traffic { link.traffic }

    func exchange(_ request: Request) throws(LinkError) -> Answer { try link.exchange(request) }
}

/// The settings of profile `sealed` for a recording.
package struct SealedOptions: Equatable, Sendable {
    /// How row counts are rounded up.
    package var rowCounts = RowCounts.exact
    /// The most drafted tokens of a step; 0 for no speculation.
    package var longestDraft = 0
    /// How many experts a request reaches at least; nil for all.
    package var expertCover: Int?

    package init() {}
}

extension Engine {
    /// Answers a prompt with the likeliest tokens.
    ///
    /// - Returns: The prompt and those tokens of the answer that were sent through the model; the last one that is
    ///   drawn never reaches a worker.
    func carry(_ prompt: [Int32], answer: Int) throws -> [Int32] {
        var sampling = SamplingParameters()
        sampling.temperature = 0
        var tokens = prompt
        let id = try submit(GenerationRequest(prompt: prompt, maximumTokens: answer + 1, sampling: sampling))
        try run(id) { event in
            if let token = event.token, tokens.count < prompt.count + answer { tokens.append(token.id) }
            return true
        }
        try end(id)
        return tokens
    }
}
