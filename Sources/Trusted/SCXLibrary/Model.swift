import SCXEngine
import SCXInference
import SCXLink
import SCXProfiles
import SCXText
import Synchronization

/// A language model that is open: this program holds the text, the tokens and the keys, a worker multiplies.
///
/// Open one with ``open(_:options:)``, then ask it in a ``Conversation``, with ``complete(_:options:)`` or for an
/// ``embedding(of:)``, from any number of tasks. The answers of all of them are computed together on a thread of the
/// model's own.
///
/// ```swift
/// let model = try await Model.open()
/// let conversation = model.conversation()
/// for try await part in try await conversation.ask("What are the symptoms of asthma?") {
///     if case .text(let text) = part { print(text, terminator: "") }
/// }
/// await model.close()
/// ```
public final class Model: Sendable {
    /// Where a model lies.
    public enum Location: Hashable, Sendable {
        /// The demonstration model `ward-3m` that comes with the package; it writes about invented patients.
        ///
        /// It is looked for beside the program, in `../share/scx/models`, in the folder `Models` of the package that the
        /// program was built in, and in that of a package which this one depends on.
        case bundled
        /// A directory as Hugging Face has it, with `config.json`, `*.safetensors` and `tokenizer.json`, or a GGUF file, of a
        /// model of any family that is known.
        case directory(String)
    }

    /// What lives as long as the model is open.
    private struct Parts: Sendable {
        let loop: EngineLoop
        let links: [any WorkerLink]
        let sealed: SealedReport?

        var crossing: Crossing { Crossing(links.reduce(Traffic()) { $0 + $1.traffic }) }
    }

    private enum State: Sendable {
        case open(Parts)
        /// With what had crossed by then.
        case closed(Crossing, Disclosure)
    }

    /// The model's name: the last part of its directory.
    public let name: String
    /// The profile that it was opened with.
    public let profile: Profile
    /// Most tokens of a prompt and its answer together.
    public let contextLength: Int
    private let prompts: PromptWriter
    private let state: Mutex<State>
    private let nextOwner = Atomic(0)
    /// Requests whose prompts are put into tokens, each on a thread of its own, and how many there may be.
    private let preparing = Atomic(0)
    private let mostPreparing: Int

    /// Opens a model: reads what this side needs of it, and starts or connects to its workers.
    ///
    /// Takes from a fraction of a second to minutes, by the model's size; ``Options/progress`` is told meanwhile. It runs
    /// on a thread of its own and cannot be interrupted: a task that is cancelled gets its error at the end.
    ///
    /// - Parameters:
    ///   - location: Where the model lies.
    ///   - options: The profile, the workers, and how much there may be at once.
    /// - Returns: The model.
    /// - Throws: ``ModelError`` of kind `model`, `worker` or `options`.
    public static func open(
        _ location: Location = .bundled, options: Options = Options()
    ) async throws(ModelError) -> Model {
        let settings = try options.settings(for: location)
        let limits = options.limits
        return try await WorkThread.run { () throws(ModelError) -> Model in
            do { return try Model(settings(), limits) } catch { throw ModelError(error) }
        }
    }

    private init(_ settings: ModelSettings, _ limits: EngineLoop.Limits) throws {
        var links: [any WorkerLink] = []
        let model = try OpenModel(settings) { link in
            links.append(link)
            return link
        }
        name = model.name
        profile = settings.profile
        contextLength = model.configuration.maximumLength
        prompts = PromptWriter(model)
        mostPreparing = limits.running + limits.waiting
        let sealed = model.forward.sealedReport
        let loop = EngineLoop(limits: limits) { model.makeEngine() }
        state = Mutex(.open(Parts(loop: loop, links: links, sealed: sealed)))
    }

    /// What crossed to the main workers and back since the model was opened, by all requests together.
    ///
    /// Peers that multiply pads are not counted: what goes to them does not depend on any text. An answer's own share is
    /// in ``AnswerEnding/crossing``.
    public var crossing: Crossing {
        // The links are asked outside of the lock.
        switch state.withLock({ $0 }) {
        case .open(let parts): parts.crossing
        case .closed(let crossing, _): crossing
        }
    }

    /// What the worker sees, and what it learns.
    public var disclosure: Disclosure {
        switch state.withLock({ $0 }) {
        case .open(let parts): profile.disclosure(owners: parts.sealed?.owners)
        case .closed(_, let disclosure): disclosure
        }
    }

    /// Ends all requests with an error of kind ``ModelError/Kind/closed``, forgets all conversations, and lets go of the
    /// worker; a worker process that was started for the model ends.
    ///
    /// Keys, pads, tokens and caches of the engine are overwritten or freed. The same happens when the last reference to
    /// the model is gone; closing it twice does nothing.
    public func close() async {
        let (crossing, disclosure) = (self.crossing, self.disclosure)
        let loop = state.withLock { state -> EngineLoop? in
            guard case .open(let parts) = state else { return nil }
            state = .closed(crossing, disclosure)
            return parts.loop
        }
        guard let loop else { return }
        loop.close()
        await loop.drain()
    }

    // MARK: For conversations and answers

    /// The vector of a text, from what the engine computed.
    func vector(_ reading: [Float]) -> [Float] { prompts.vector(reading) }

    /// An owner whose sessions serve no other.
    func newOwner() -> Owner { Owner(key: "\(nextOwner.add(1, ordering: .relaxed).newValue)") }

    /// The engine.
    ///
    /// - Throws: ``ModelError`` of kind `closed`.
    func loop() throws(ModelError) -> EngineLoop {
        guard case .open(let parts) = state.withLock({ $0 }) else { throw .closed }
        return parts.loop
    }

    /// Puts a prompt into tokens, on a thread of its own.
    ///
    /// - Parameter work: What to do.
    /// - Returns: What the work gives.
    /// - Throws: What the work throws, or ``ModelError`` of kind `closed`, `busy` or `cancelled`.
    func prepare<Value: Sendable>(
        _ work: @escaping @Sendable (PromptWriter) throws(ModelError) -> Value
    ) async throws(ModelError) -> Value {
        _ = try loop()
        defer { preparing.subtract(1, ordering: .relaxed) }
        guard preparing.add(1, ordering: .relaxed).newValue <= mostPreparing else {
            throw ModelError(.busy, "\(mostPreparing) prompts are put into tokens already")
        }
        let prompts = prompts
        return try await WorkThread.run { () throws(ModelError) in try work(prompts) }
    }

    /// Gives a request to the engine.
    ///
    /// - Throws: ``ModelError`` of kind `closed` or `busy`.
    func submit(_ request: GenerationRequest, _ owner: Owner) throws(ModelError) -> EngineLoop.Events {
        let loop = try loop()
        do throws(AdmissionError) { return try loop.submit(request, owner: owner) } catch {
            throw ModelError(error)
        }
    }

    /// Has the engine forget, and overwrite, what it keeps of an owner's finished requests.
    func forget(_ owner: Owner) { try? loop().forget(owner) }
}

extension Crossing {
    init(_ traffic: Traffic) {
        (exchanges, bytesSent) = (traffic.exchanges, traffic.bytesSent)
        bytesReceived = traffic.bytesReceived
    }
}
