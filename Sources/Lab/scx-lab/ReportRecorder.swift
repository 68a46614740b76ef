import Foundation
import SCXAttacks
import SCXEngine
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker

/// Records the sessions of a case, with the server and the recorder of a real worker.
///
/// The laboratory plays the trusted side, so it knows what is true; the attacks get the directory alone.
struct ReportRecorder {
    let checkpoint: Checkpoint
    let format: WeightFormat
    let model: PublicModel
    let profile: ModelProfile
    let prompts: ReportPrompts
    let seed: UInt64
    /// For profile `sealed` and what is like it.
    let sealed: SealedRecorder

    /// What a recording has, in the order of its sessions.
    struct Sessions {
        /// Tokens that were carried through the model: prompts and answers.
        var truths: [[Int32]] = []
        /// Of the attacker's own sessions, which come after the others.
        var own: [[Int32]] = []
        /// Of each session, tokens that were guessed ahead and right; none where nothing is guessed.
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

    /// What the model computes when nobody looks.
    private func plain() throws -> PlainForwardPass {
        PlainForwardPass(
            embedding: try TokenEmbedding(checkpoint), configuration: checkpoint.configuration,
            link: InProcessLink(Worker(model: model.decoder)))
    }

    /// Records sessions with these prompts; returns what was carried through the model.
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

    /// A connection to a worker of its own.
    private func link(_ recorder: Recorder) -> RemoteLink {
        let digest = checkpoint.digest()
        let server = WorkerServer(
            worker: Worker(model: model.decoder), digest: digest, weights: format, recorder: recorder)
        return RemoteLink(digest: digest, widestRow: checkpoint.configuration.widestRow) {
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

    /// A part of the text that controls go on with.
    private func continuation(_ count: Int) throws -> ArraySlice<Int32> {
        try prompts.prompt(length: 200, number: 2000).dropFirst(100).prefix(count)
    }

    /// Controls go on with the text itself, but where it matters who wrote an answer.
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

    /// Removes a transcript that an earlier report left: recorders go on with what is there.
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
