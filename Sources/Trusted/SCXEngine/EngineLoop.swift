import Foundation
package import SCXEncoding

/// Whose request it is: what one owner has computed never serves another.
package struct Owner: Hashable, Sendable {
    /// The API key's name; empty where there are no keys.
    package let key: String
    /// Given by a client that lets its conversations share what they begin with.
    package let salt: String?

    package init(key: String = "", salt: String? = nil) {
        self.key = key
        self.salt = salt
    }
}

/// Why a request is not taken now.
package enum AdmissionError: Error, Equatable, Sendable, CustomStringConvertible {
    /// As many wait as may.
    case queueFull(limit: Int)
    /// As many of the owner's run or wait as may.
    case tooManyOfKey(limit: Int)
    /// The program is about to end.
    case draining

    package var description: String {
        switch self {
        case .queueFull(let limit): "\(limit) requests wait already"
        case .tooManyOfKey(let limit): "\(limit) requests of this API key run already"
        case .draining: "the server is about to end and takes no more requests"
        }
    }
}

/// An engine on a thread of its own, for requests from many tasks.
///
/// It admits, queues fairly among API keys, lets a conversation continue what an earlier request of it left, and
/// forgets what is idle. Answers come as streams; a stream whose reader goes cancels its request.
package final class EngineLoop: Sendable {
    /// How much there may be at once.
    package struct Limits: Equatable, Sendable {
        /// Sessions that are computed together.
        package var running = 64
        /// Requests that wait for one of them to end.
        package var waiting = 256
        /// Requests of one API key, running or waiting.
        package var perKey = 256
        /// Finished sessions whose computed tokens are kept, and for how long.
        package var kept = 64
        package var idle = Duration.seconds(600)
        /// When what is held here of a finished session goes to the vault; nil for never.
        package var sealAfter: Duration?

        package init() {}
    }

    /// What it is busy with.
    package struct Load: Equatable, Sendable {
        package var running = 0
        package var waiting = 0
        package var kept = 0
        /// Connections to a worker after the first.
        package var reconnects = 0
        /// Sessions that were computed again from their beginning, summed.
        package var rebuilds = 0
        package var vault = VaultUse()
        /// Drafts since the beginning.
        package var speculation = SpeculationUse()
        package var isDraining = false

        package init() {}
    }

    /// What became of sessions that went to the vault, since the beginning.
    package struct VaultUse: Equatable, Sendable {
        package var sealed = 0
        package var restored = 0
        /// Continued, but found no more, or not as it was: computed anew.
        package var lost = 0

        package init() {}
    }

    /// Has a request computed while no other is, from its first token.
    package struct Alone: Sendable {
        /// Called by the engine's thread before the first step and after the last.
        package let begin: @Sendable () -> Void
        package let end: @Sendable () -> Void

        package init(begin: @escaping @Sendable () -> Void, end: @escaping @Sendable () -> Void) {
            (self.begin, self.end) = (begin, end)
        }
    }

    package typealias Events = AsyncThrowingStream<SessionEvent, any Error>

    private let queue: RequestQueue
    private let vault: SealedSessions?

    package let vocabularySize: Int
    package let maximumLength: Int

    /// Starts the thread.
    ///
    /// - Parameters:
    ///   - limits: How much there may be at once.
    ///   - vault: Where idle sessions wait; nil keeps them in memory.
    ///   - makeEngine: Makes the engine; called here, then the thread alone has it.
    package init(
        limits: Limits = .init(), vault: SessionVault? = nil, _ makeEngine: () throws -> Engine
    ) rethrows {
        let engine = try makeEngine()
        vocabularySize = engine.vocabularySize
        maximumLength = engine.maximumLength
        queue = RequestQueue(limits: limits)
        let vault = vault.map { SealedSessions($0) }
        self.vault = vault
        let engineThread = EngineThread(engine: engine, queue: queue, vault: vault)
        let thread = Thread { engineThread.run() }
        thread.name = "scx engine"
        thread.start()
    }

    deinit { queue.close() }

    package var load: Load {
        var load = queue.load
        load.vault = vault?.use ?? VaultUse()
        return load
    }

    /// Takes a request.
    ///
    /// - Parameters:
    ///   - request: The prompt and how to answer it.
    ///   - owner: Whose it is.
    ///   - alone: Asks to be computed while no other request is; nil for among others.
    /// - Returns: What becomes of it; when nobody reads on, the request is cancelled.
    /// - Throws: ``AdmissionError``. Everything else comes through the stream: ``EngineError`` and ``SamplingError`` for a
    ///   request that cannot be, `LinkError` when there is no worker.
    package func submit(
        _ request: GenerationRequest, owner: Owner = Owner(), alone: Alone? = nil
    ) throws(AdmissionError) -> Events {
        try queue.submit(request, owner, alone)
    }

    /// Ends what is kept of an owner's finished requests, and overwrites its tokens.
    ///
    /// - Parameter owner: Whose requests they were; those that still run are kept when they end.
    package func forget(_ owner: Owner) { queue.forget(owner) }

    /// Ends all requests with ``AdmissionError/draining``, forgets all sessions, and ends the thread; ``drain()`` waits for
    /// that.
    package func close() { queue.close() }

    /// Takes no more requests, and returns when all have ended.
    package func drain() async { await queue.drain() }
}
