import Foundation
import SCXEncoding
import SCXLink

/// The loop of the engine's thread, with what it alone uses: the engine, the requests that run, and the sessions that
/// may be continued.
final class EngineThread: @unchecked Sendable {
    private let engine: Engine
    private let queue: RequestQueue
    private let vault: SealedSessions?
    private var running: [SessionID: Running] = [:]
    /// Least lately used first.
    private var kept: [Kept] = []

    private struct Running {
        let queued: QueuedRequest
        /// Prompt and answer so far.
        var tokens: [Int32]
        let started = ContinuousClock.now
    }

    /// A finished session.
    private struct Kept {
        let session: SessionID
        let owner: Owner
        let promptCount: Int
        /// None while it waits in the vault.
        var tokens: [Int32]
        var sealed: SealedSessions.Entry?
        /// The engine cannot take it out of memory.
        var staysInMemory = false
        let lastUsed = ContinuousClock.now
    }

    /// Fewest tokens that are worth taking over from another conversation.
    static let fewestShared = 8

    init(engine: Engine, queue: RequestQueue, vault: SealedSessions?) {
        self.engine = engine
        self.queue = queue
        self.vault = vault
    }

    /// Works until the queue closes.
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

    /// The kept session that serves a request best.
    ///
    /// Without a salt only a session of the same conversation does: one whose whole prompt the new one begins with. Among
    /// conversations that share a salt the longest common beginning counts, whatever follows it.
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

    /// Takes a kept session back from the vault if it is there; nil when that fails.
    private func restore(_ kept: Kept) -> SessionID? {
        guard let vault, let sealed = kept.sealed else { return kept.session }
        if vault.restore(sealed, kept.session, to: engine) { return kept.session }
        end(kept.session)
        return nil
    }

    /// The session that is the next to go to the vault, and when.
    private var nextToSeal: (index: Int, time: ContinuousClock.Instant)? {
        guard vault != nil, let sealAfter = queue.sealAfter,
            let index = kept.firstIndex(where: { $0.sealed == nil && !$0.staysInMemory })
        else { return nil }
        return (index, kept[index].lastUsed + sealAfter)
    }

    /// Has a session sealed that nobody continued for a while; one at a time, so that no step waits long for it.
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
        kept.append(
            Kept(
                session: event.session, owner: entry.queued.owner,
                promptCount: entry.queued.request.prompt.count, tokens: entry.tokens))
        forgetIdle()
        entry.queued.events.finish()
        queue.finished(entry.queued.number)
    }

    private func fail(_ session: SessionID, _ error: any Error) {
        guard let entry = running.removeValue(forKey: session) else { return }
        engine.cancel(session)
        entry.queued.alone?.end()
        end(session)
        entry.queued.events.finish(throwing: error)
        queue.finished(entry.queued.number)
    }

    /// Forgets sessions that nobody continued for long, those that are too many, and those that the worker had no memory for.
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

    /// Forgets what is kept of some owners.
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
