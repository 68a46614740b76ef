import Foundation
package import SCXEncoding

/// Whom a request belongs to; tokens computed for one owner are never reused for another.
package struct Owner: Hashable, Sendable {
    /// The API key's name; empty where there are no keys.
    package let key: String
    /// A text that a client gives so that its conversations may reuse the tokens of a common beginning.
    package let salt: String?

    package init(key: String = "", salt: String? = nil) {
        self.key = key
        self.salt = salt
    }
}

/// Why a request is refused at the moment.
package enum AdmissionError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The queue is full.
    case queueFull(limit: Int)
    /// The API key has as many requests running or waiting as it may.
    case tooManyOfKey(limit: Int)
    /// The program is about to end and takes no more requests.
    case draining

    package var description: String {
        switch self {
        case .queueFull(let limit): "\(limit) requests wait already"
        case .tooManyOfKey(let limit): "\(limit) requests of this API key run already"
        case .draining: "the server is about to end and takes no more requests"
        }
    }
}

/// Runs an engine on a thread of its own, for requests from many tasks.
///
/// It refuses requests beyond the limits, serves API keys fairly, lets a request reuse what an earlier one of the same
/// conversation computed, and removes finished sessions that nobody continues. Each answer is a stream of events; when
/// its reader stops reading, the request is cancelled.
package final class EngineLoop: Sendable {
    /// How many requests and sessions the loop takes, and how long it keeps finished sessions.
    package struct Limits: Equatable, Sendable {
        /// The most sessions that are computed together.
        package var running = 64
        /// The most requests that wait for a running session to end.
        package var waiting = 256
        /// The most requests of one API key, running and waiting.
        package var perKey = 256
        /// At most `kept` finished sessions are kept for later requests, each for `idle` after its last use.
        package var kept = 64
        package var idle = Duration.seconds(600)
        /// How long after its last use a finished session is moved from memory to the vault; nil for never.
        package var sealAfter: Duration?

        package init() {}
    }

    /// How much the engine has to do at the moment, and what it has counted since it started.
    package struct Load: Equatable, Sendable {
        package var running = 0
        package var waiting = 0
        package var kept = 0
        /// How often a connection to a worker was made after the first one.
        package var reconnects = 0
        /// How often sessions were computed again from their first token, summed over all sessions.
        package var rebuilds = 0
        package var vault = VaultUse()
        /// Draft tokens proposed and accepted since the start.
        package var speculation = SpeculationUse()
        package var isDraining = false

        package init() {}
    }

    /// What became of the sessions that were moved to the vault since the start.
    package struct VaultUse: Equatable, Sendable {
        package var sealed = 0
        package var restored = 0
        /// Sessions whose file was missing or damaged when a request continued them; their tokens were computed again.
        package var lost = 0

        package init() {}
    }

    /// Asks that a request is computed from its first token and while no other request runs.
    package struct Alone: Sendable {
        /// `begin` is called by the engine's thread before the request's first step, and `end` after its last.
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
    /// What is asked of pictures; nil when the model takes none in this profile.
    package let pictureShape: PictureShape?

    /// Starts the engine's thread.
    ///
    /// - Parameters:
    ///   - limits: How many requests and sessions the loop takes, and for how long.
    ///   - vault: Where idle sessions are stored; nil keeps them in memory.
    ///   - makeEngine: Makes the engine. It is called before this initializer returns; afterwards only the thread uses
    ///     the engine.
    package init(
        limits: Limits = .init(), vault: SessionVault? = nil, _ makeEngine: () throws -> Engine
    ) rethrows {
        let engine = try makeEngine()
        vocabularySize = engine.vocabularySize
        maximumLength = engine.maximumLength
        pictureShape = engine.pictureShape
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

    /// Queues a request.
    ///
    /// - Parameters:
    ///   - request: The prompt and how to answer it.
    ///   - owner: Whom the request belongs to.
    ///   - alone: Given when the request must be computed while no other one runs; nil to compute it among others.
    /// - Returns: The events of the answer; when nobody reads them any more, the request is cancelled.
    /// - Throws: ``AdmissionError``. All other errors end the stream: ``EngineError`` and ``SamplingError`` for a
    ///   request that is not valid, `LinkError` when no worker can be reached.
    package func submit(
        _ request: GenerationRequest, owner: Owner = Owner(), alone: Alone? = nil
    ) throws(AdmissionError) -> Events {
        try queue.submit(request, owner, alone)
    }

    /// Removes the finished sessions of an owner, and zeroes their tokens.
    ///
    /// - Parameter owner: Whom they belong to; requests of this owner that still run are not affected, and are kept
    ///   when they end.
    package func forget(_ owner: Owner) { queue.forget(owner) }

    /// Ends all requests with ``AdmissionError/draining``, removes all sessions and ends the thread; ``drain()`` waits
    /// for the requests to end.
    package func close() { queue.close() }

    /// Refuses new requests, and returns when all earlier ones have ended.
    package func drain() async { await queue.drain() }
}
