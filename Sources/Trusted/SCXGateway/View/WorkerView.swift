import Foundation
import SCXAttacks
package import SCXInference
import SCXLink
package import SCXText
import Synchronization

/// Shows what the worker saw for an answer, and what the laboratory's fast attacks recover from that.
///
/// Attacks get what a worker has: the recording, the public model, and what everybody knows of a conversation. Only
/// the comparison with the truth is done with the truth.
package final class WorkerView: Sendable {
    let checkpoint: Checkpoint
    let tokenizer: Tokenizer?
    /// Tokens that the chat template puts at the begin and the end of every prompt.
    let marks: TemplateMarks
    private let format: WeightFormat
    private let threads: Int
    private let budget: Duration
    /// Loaded when it is first needed; one attack at a time.
    private let model = Mutex<PublicModel?>(nil)

    /// Larger models take longer to attack than a person waits.
    private static let largestModel = 200_000_000

    /// - Parameters:
    ///   - checkpoint: The model that is served.
    ///   - format: As the worker holds its weights.
    ///   - tokenizer: Turns tokens to text; numbers are shown without one.
    ///   - chatFormat: The model's chat template.
    ///   - threads: That compute the attacks.
    ///   - budget: No attack begins later than this after the first.
    package init(
        _ checkpoint: Checkpoint, format: WeightFormat, tokenizer: Tokenizer?, chatFormat: ChatFormat?,
        threads: Int = 1, budget: Duration = .seconds(2)
    ) {
        self.checkpoint = checkpoint
        self.format = format
        self.tokenizer = tokenizer
        self.threads = threads
        self.budget = budget
        marks = TemplateMarks(
            chatFormat, tokenizer, beginOfSequence: checkpoint.configuration.beginOfSequence)
    }

    /// What the worker saw: frames, pictures, the truth, attacks.
    ///
    /// Blocks for as long as the attacks take, so it belongs on a thread of its own.
    package func view(of capture: WorkerCapture) throws(WorkerViewError) -> JSON {
        let configuration = checkpoint.configuration
        let views = try capture.views(configuration)
        let frames = views.transcript.entries
        var session: SCXAttacks.Session?
        for one in views.sessions where one.length > session?.length ?? 0 { session = one }
        let carried = min(session?.length ?? 0, capture.truth.count)
        let known = marks.known(in: capture, carried: carried)
        var attacks: [JSON] = []
        var notRun: [JSON] = []
        if let session {
            (attacks, notRun) = try self.attacks(on: session, views, capture, known: known)
        }
        return [
            "profile": .string(capture.profile), "complete": .bool(capture.isComplete),
            "totals": totals(capture, frames), "frames": .array(frames.prefix(Self.mostFrames).map(row)),
            "frames_left_out": .int(max(0, frames.count - Self.mostFrames)),
            "pictures": .array(session.map { pictures(of: $0, views) } ?? []),
            "tokens": truth(of: capture, carried: carried, known: known), "attacks": .array(attacks),
            "attacks_not_run": .array(notRun),
        ]
    }

    /// Runs `body` with the public model, while nobody else attacks.
    func withModel<Result>(
        _ body: (PublicModel) throws(WorkerViewError) -> Result
    ) throws(WorkerViewError) -> Result {
        try model.withLock { model throws(WorkerViewError) in
            if model == nil {
                do throws(AttackError) {
                    model = try PublicModel(checkpoint, format: format, pool: ThreadPool(threads: threads))
                } catch { throw .model("the model cannot be loaded a second time") }
            }
            guard let model else { throw .model("no model") }
            return try body(model)
        }
    }

    /// Runs the fast attacks until the time is over.
    private func attacks(
        on session: SCXAttacks.Session, _ views: Views, _ capture: WorkerCapture, known: [Int: Int32]
    ) throws(WorkerViewError) -> (run: [JSON], notRun: [JSON]) {
        let configuration = checkpoint.configuration
        let slow = FastAttack.slow(
            blocks: configuration.blockCount, hasExperts: configuration.experts != nil)
        var notRun = slow.map { name in
            Self.left(name, "slower than a person waits, or meant for other views: scx-lab runs it")
        }
        guard checkpoint.configuration.parameterEstimate <= Self.largestModel else {
            let reason = "this model is too large to attack while a person waits: scx-lab runs it"
            return ([], FastAttack.all.map { Self.left($0.attack.name, reason) } + notRun)
        }
        guard configuration.latent == nil, configuration.hasHead else {
            let reason = "no attack is written for models with latent attention or without a head"
            return ([], FastAttack.all.map { Self.left($0.attack.name, reason) } + notRun)
        }
        return try withModel { model throws(WorkerViewError) in
            let begin = ContinuousClock.now
            let target = Target(model: model, views: views, session: session, known: known)
            let text = AttackedText(
                capture.truth, promptCount: capture.prompt.count, carried: session.length, known: known,
                tokenizer)
            var run: [JSON] = []
            for fast in FastAttack.all {
                guard ContinuousClock.now - begin < budget else {
                    notRun.append(Self.left(fast.attack.name, "the time was over: scx-lab runs it"))
                    continue
                }
                do throws(AttackError) {
                    run.append(text.json(fast, try fast.attack.execute(on: fast.shortened(target))))
                } catch {
                    notRun.append(Self.left(fast.attack.name, "\(error)"))
                }
            }
            return (run, notRun)
        }
    }

    private static func left(_ name: String, _ reason: String) -> JSON {
        ["name": .string(name), "reason": .string(reason)]
    }

    /// The tokens of the conversation, and who can know them without an attack.
    ///
    /// Those behind the last that was carried were kept on this side, or were not recorded.
    private func truth(of capture: WorkerCapture, carried: Int, known: [Int: Int32]) -> JSON {
        let behind = capture.isComplete ? "kept" : "missing"
        return .array(
            ReadableTokens(tokenizer).texts(capture.truth).enumerated().map { position, text in
                let state = position >= carried ? behind : known[position] == nil ? "secret" : "known"
                return [
                    "text": .string(text), "state": .string(state),
                    "part": .string(position < capture.prompt.count ? "prompt" : "answer"),
                ]
            })
    }
}

extension DecoderConfiguration {
    /// Weights of the model, about.
    fileprivate var parameterEstimate: Int {
        sites.reduce(0) { sum, site in
            sum + inputs(of: site) * outputs(of: site) / groups(of: site)
        }
    }
}
