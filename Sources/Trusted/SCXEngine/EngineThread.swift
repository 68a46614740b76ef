import Foundation
import SCXEncoding
import SCXLink

/// The engine's thread, with everything that it alone uses: the engine, the running requests, and the finished sessions
/// that may be continued.
final class EngineThread: @unchecked Sendable {
    private let engine: Engine
    private let queue: RequestQueue
    private let vault: SealedSessions?
    private var running: [SessionID: Running] = [:]
    /// Finished sessions, the least recently used first.
    private var kept: [Kept] = []

    private struct Running {
        let queued: QueuedRequest
        /// The tokens of the prompt and of the answer so far.
        var tokens: [Int32]
        let started = ContinuousClock.now
    }

    /// A finished session that a later request may continue.
    private struct Kept {
        let session: SessionID
        let owner: Owner
        let promptCount: Int
        /// The tokens of the prompt and of the answer; empty while the session is in the vault.
        var tokens: [Int32]
        var sealed: SealedSessions.Entry?
        /// Whether the engine said that it cannot take this session out of memory.
        var staysInMemory = false
        let lastUsed = ContinuousClock.now
    }

    /// The fewest common tokens for which a session of another conversation with the same salt is reused.
    static let fewestShared = 8

    init(engine: Engine, queue: RequestQueue, vault: SealedSessions?) {
        self.engine = engine
        self.queue = queue
        self.vault = vault
    }

    /// Takes requests from the queue and steps the engine until the queue is closed.
    func run() {
        while true {
            let next = [kept.first.map { $0.lastUsed + queue.idle }, nextToSeal?.time].compactMap(\.self)
                .min()
            let wait = next.map { $0 - ContinuousClock.now } ?? queue.idle
            let work = queue.takeWork(
                kept: kept.count, connections: engine.traffic.connections, rebuilds: engine.rebuilds,
                speculation: engine.speculation,
                until: Date(timeIntervalSinceNow: max(0.001, wait / .seconds(1))))
            guard !work.isClosed else { return close() }
            for (session, entry) in running where work.cancelled.contains(entry.queued.number) {
                if let event = engine.cancel(session) { deliver(event) }
            }
            forgetSessions(of: work.forgotten)
            for queued in work.admitted { admit(queued) }
            forgetIdle()
            sealIdle()
            do throws(LinkError) {
                for event in try engine.step() { deliver(event) }
            } catch {
                for session in running.keys { fail(session, error) }
            }
        }
    }

    private func admit(_ queued: QueuedRequest) {
        let earlier = queued.alone == nil ? takeEarlier(queued) : nil
        queued.alone?.begin()
        do {
            let session = try engine.submit(queued.request, continuing: earlier)
            running[session] = Running(queued: queued, tokens: queued.request.prompt)
        } catch {
            if let earlier { end(earlier) }
            queued.alone?.end()
            queued.events.finish(throwing: error)
            queue.finished(queued.number)
        }
    }

    /// Chooses and removes the kept session with which a request has the most tokens in common; nil if there is none.
    ///
    /// Without a salt, it must be a session of the same conversation: one whose whole prompt is the beginning of the
    /// new prompt. With a salt, any session of the same owner that begins with at least ``fewestShared`` tokens of the
    /// prompt counts as well.
    private func takeEarlier(_ queued: QueuedRequest) -> SessionID? {
        let prompt = queued.request.prompt
        var best: (index: Int, common: Int)?
        for (index, session) in kept.enumerated() where session.owner == queued.owner {
            let common =
                session.sealed.flatMap { vault?.common(prompt, $0) }
                ?? zip(prompt, session.tokens).prefix { $0 == $1 }.count
            let isShared = queued.owner.salt != nil && common >= Self.fewestShared
            guard common >= session.promptCount || isShared, common >= best?.common ?? 1 else { continue }
            best = (index, common)
        }
        return best.flatMap { restore(kept.remove(at: $0.index)) }
    }

    /// Returns a kept session, after reading it back from the vault if it is there; nil when that fails.
    private func restore(_ kept: Kept) -> SessionID? {
        guard let vault, let sealed = kept.sealed else { return kept.session }
        if vault.restore(sealed, kept.session, to: engine) { return kept.session }
        end(kept.session)
        return nil
    }

    /// The session that is to go to the vault next, and the time for it; nil when none is.
    private var nextToSeal: (index: Int, time: ContinuousClock.Instant)? {
        guard vault != nil, let sealAfter = queue.sealAfter,
            let index = kept.firstIndex(where: { $0.sealed == nil && !$0.staysInMemory })
        else { return nil }
        return (index, kept[index].lastUsed + sealAfter)
    }

    /// Moves one session that nobody continued for a while to the vault; only one at a time, so that the next step is
    /// not delayed long.
    private func sealIdle() {
        guard let vault, let (index, time) = nextToSeal, time <= ContinuousClock.now else { return }
        do throws(LinkError) {
            guard let bytes = try engine.store(kept[index].session) else {
                kept[index].staysInMemory = true
                return
            }
            kept[index].sealed = vault.seal(
                bytes, tokens: kept[index].tokens, promptCount: kept[index].promptCount,
                namespace: kept[index].owner.key)
            erase(&kept[index].tokens)
        } catch {
            forget(kept.remove(at: index))
        }
    }

    private func deliver(_ event: SessionEvent) {
        guard var entry = running[event.session] else { return }
        if let token = event.token { entry.tokens.append(token.id) }
        running[event.session] = entry
        if let failure = event.failure { return fail(event.session, failure) }
        guard event.finished != nil else {
            entry.queued.events.yield(event)
            return
        }
        var event = event
        event.usage.queueTime = entry.started - entry.queued.submitted
        entry.queued.alone?.end()
        entry.queued.events.yield(event)
        running[event.session] = nil
        defer {
            entry.queued.events.finish()
            queue.finished(entry.queued.number)
        }
        guard engine.continuesSessions else { return end(event.session) }
        kept.append(
            Kept(
                session: event.session, owner: entry.queued.owner,
                promptCount: entry.queued.request.prompt.count, tokens: entry.tokens))
        forgetIdle()
    }

    private func fail(_ session: SessionID, _ error: any Error) {
        guard let entry = running.removeValue(forKey: session) else { return }
        engine.cancel(session)
        entry.queued.alone?.end()
        end(session)
        entry.queued.events.finish(throwing: error)
        queue.finished(entry.queued.number)
    }

    /// Removes sessions that were idle too long, sessions above the limit, and those that the engine removed to free a
    /// worker's memory.
    private func forgetIdle() {
        kept.removeAll { session in
            guard !engine.keeps(session.session) else { return false }
            session.sealed.map { vault?.remove($0) }
            return true
        }
        let limit = ContinuousClock.now - queue.idle
        while let oldest = kept.first, oldest.lastUsed < limit || kept.count > queue.mostKept {
            kept.removeFirst()
            forget(oldest)
        }
    }

    /// Zeroes and removes the kept sessions of some owners.
    private func forgetSessions(of owners: Set<Owner>) {
        for index in kept.indices.reversed() where owners.contains(kept[index].owner) {
            erase(&kept[index].tokens)
            forget(kept.remove(at: index))
        }
    }

    private func forget(_ kept: Kept) {
        kept.sealed.map { vault?.remove($0) }
        end(kept.session)
    }

    private func end(_ session: SessionID) {
        // A worker that cannot be reached has forgotten the session.
        try? engine.end(session)
    }

    private func close() {
        for session in running.keys { fail(session, AdmissionError.draining) }
        for session in kept { forget(session) }
        vault?.finish()
    }
}
