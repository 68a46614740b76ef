import Foundation
import SCXAttacks
import SCXEngine
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker

/// Records the sessions of a case, with the server and the recorder of a real worker.
///
/// The laboratory runs the trusted side, so it knows the truth; the attacks get only the directory with the
/// transcript.
struct ReportRecorder {
    let checkpoint: Checkpoint
    let format: WeightFormat
    let model: PublicModel
    let profile: ModelProfile
    let prompts: ReportPrompts
    let seed: UInt64
    /// Records sessions of profile `sealed` and of similar encodings.
    let sealed: SealedRecorder

    /// The sessions of a recording, in order.
    struct Sessions {
        /// For each session the tokens that were computed: prompt and answer.
        var truths: [[Int32]] = []
        /// The same for the attacker's own sessions, which come after the others.
        var own: [[Int32]] = []
        /// For each session how many drafted tokens were right; empty without speculation.
        var accepted: [Int] = []
        var seconds = 0.0
    }

    func record(_ one: ReportCase, to directory: String) throws -> Sessions {
        let start = ContinuousClock.now
        try clear(directory)
        var texts: [[Int32]] = []
        for (number, length) in one.lengths.enumerated() {
            let prompt =
                try one.isWritten
                ? written(length: length, number: number)
                : prompts.prompt(length: length, number: number)
            texts += [[Int32]](repeating: prompt, count: one.repeats)
        }
        let own = try one.ownLengths.map { try prompts.prompt(length: $0, number: 1000) }
        var sessions = Sessions()
        let all = try record(texts + own, one, directory, &sessions.accepted)
        (sessions.truths, sessions.own) = (Array(all.prefix(texts.count)), Array(all.dropFirst(texts.count)))
        sessions.seconds = (ContinuousClock.now - start) / .seconds(1)
        return sessions
    }

    /// A prompt whose words the model wrote.
    private func written(length: Int, number: Int) throws -> [Int32] {
        var prompt = try prompts.prompt(length: length, number: number)
        let known = try prompts.known(length: length)
        let free = prompt.indices.filter { known[$0] == nil }
        guard let first = free.first, first > 0 else { return prompt }
        let text = try serve([Array(prompt[..<first])], plain(), answer: free.count)[0]
        for (position, token) in zip(free, text[first...]) { prompt[position] = token }
        return prompt
    }

    /// A forward pass that is not recorded.
    private func plain() throws -> PlainForwardPass {
        PlainForwardPass(
            embedding: try TokenEmbedding(checkpoint), configuration: checkpoint.configuration,
            link: InProcessLink(Worker(model: model.decoder)))
    }

    /// Records sessions with these prompts; returns the tokens that were computed.
    private func record(
        _ texts: [[Int32]], _ one: ReportCase, _ directory: String, _ accepted: inout [Int]
    ) throws -> [[Int32]] {
        let recorder = try Recorder(directory: directory)
        switch one.encoding {
        case .control(.ring(let pads)):
            let control = RingControl(sealed.model, sites: sealed.sites, pads: pads)
            return try texts.enumerated().map { index, prompt in
                let session = RingControlSession(
                    control, recorder: recorder, connection: UInt64(index + 1), seed: seed &+ UInt64(index))
                let rest = try continuation(one.answer)
                try session.carry(prompt)
                for token in rest { try session.carry([token]) }
                return prompt + rest
            }
        case .control(let encoding): return try control(texts, encoding, one, recorder)
        case .sealed(let options):
            let sessions = try sealed.record(texts, answer: one.answer, options, recorder)
            accepted = sessions.accepted
            return sessions.tokens
        case .plain:
            let link = link(recorder)
            defer { link.close() }
            let forward = PlainForwardPass(
                embedding: try TokenEmbedding(checkpoint), configuration: checkpoint.configuration, link: link
            )
            return try serve(texts, forward, answer: one.answer)
        case .scx(let options):
            let link = link(recorder)
            defer { link.close() }
            let forward = try ScxForwardPass(
                checkpoint, format: format, pool: model.pool, profile: profile, options: options,
                link: link)
            return try serve(texts, forward, answer: one.answer)
        }
    }

    /// A link to a worker of its own.
    private func link(_ recorder: Recorder) -> RemoteLink {
        let digest = checkpoint.digest()
        let server = WorkerServer(
            worker: Worker(model: model.decoder), digest: digest, weights: format, recorder: recorder)
        return RemoteLink(digest: digest, model: checkpoint.configuration) {
            _ throws(LinkError) in
            let (client, worker) = try SocketStream.pair()
            Thread.detachNewThread { server.serve(worker) }
            return client
        }
    }

    private func serve(_ texts: [[Int32]], _ forward: any ForwardPass, answer: Int) throws -> [[Int32]] {
        let engine = Engine(
            forward: forward, tokenizer: nil, vocabularySize: checkpoint.configuration.vocabularySize,
            maximumLength: checkpoint.configuration.maximumLength)
        return try texts.map { try engine.carry($0, answer: answer) }
    }

    /// A part of the text with which controls continue a prompt.
    private func continuation(_ count: Int) throws -> ArraySlice<Int32> {
        try prompts.prompt(length: 200, number: 2000).dropFirst(100).prefix(count)
    }

    /// Controls continue a prompt with the text itself, except where it matters that the model writes the answer.
    private func control(
        _ texts: [[Int32]], _ encoding: ControlEncoding, _ one: ReportCase, _ recorder: Recorder
    ) throws -> [[Int32]] {
        try texts.enumerated().map { index, prompt in
            let session = ControlSession(
                model, encoding: encoding, recorder: recorder, connection: UInt64(index + 1),
                seed: seed &+ UInt64(index))
            let rest =
                try one.isWritten
                ? serve([prompt], plain(), answer: one.answer)[0].dropFirst(prompt.count)
                : continuation(one.answer)
            try session.prompt(prompt)
            for token in rest { try session.generate(token) }
            return prompt + rest
        }
    }

    /// Removes the transcript of an earlier report, since a recorder would continue it.
    private func clear(_ directory: String) throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        for name in ["transcript.jsonl", "transcript.bin", "truth.txt"] {
            let path = "\(directory)/\(name)"
            if FileManager.default.fileExists(atPath: path) {
                try FileManager.default.removeItem(atPath: path)
            }
        }
    }
}
