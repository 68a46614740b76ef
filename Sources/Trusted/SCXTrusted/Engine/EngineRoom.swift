import Foundation
import SCXEncoding
import SCXLink

/// What the engine's thread has: the engine, the requests that run, and the sessions that may be continued.
///
/// One thread uses it after it is made.
final class EngineRoom: @unchecked Sendable {
    private let engine: Engine
    private let desk: EngineDesk
    private let vault: SealedSessions?
    private var running: [SessionID: Running] = [:]
    /// Least lately used first.
    private var kept: [Kept] = []

    private struct Running {
        let ticket: EngineDesk.Ticket
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
        var ticket: SealedSessions.Ticket?
        /// The engine cannot take it out of memory.
        var staysInMemory = false
        let lastUsed = ContinuousClock.now
    }

    /// Fewest tokens that are worth taking over from another conversation.
    static let fewestShared = 8

    init(engine: Engine, desk: EngineDesk, vault: SealedSessions?) {
        self.engine = engine
        self.desk = desk
        self.vault = vault
    }

    /// Works until the desk closes.
    func run() {
        while true {
            let next = [kept.first.map { $0.lastUsed + desk.idle }, nextToSeal?.time].compactMap(\.self).min()
            let wait = next.map { $0 - ContinuousClock.now } ?? desk.idle
            let work = desk.takeWork(
                kept: kept.count, connections: engine.traffic.connections,
                until: Date(timeIntervalSinceNow: max(0.001, wait / .seconds(1))))
            guard !work.isClosed else { return close() }
            for (session, entry) in running where work.cancelled.contains(entry.ticket.number) {
                if let event = engine.cancel(session) { deliver(event) }
            }
            for ticket in work.admitted { admit(ticket) }
            forgetIdle()
            sealIdle()
            do throws(LinkError) {
                for event in try engine.step() { deliver(event) }
            } catch {
                for session in running.keys { fail(session, error) }
            }
        }
    }

    private func admit(_ ticket: EngineDesk.Ticket) {
        let earlier = ticket.alone == nil ? takeEarlier(ticket) : nil
        ticket.alone?.begin()
        do {
            let session = try engine.submit(ticket.request, continuing: earlier)
            running[session] = Running(ticket: ticket, tokens: ticket.request.prompt)
        } catch {
            if let earlier { end(earlier) }
            ticket.alone?.end()
            ticket.events.finish(throwing: error)
            desk.finished(ticket.number)
        }
    }

    /// The kept session that serves a request best.
    ///
    /// Without a salt only a session of the same conversation does: one whose whole prompt the new one begins with. Among
    /// conversations that share a salt the longest common beginning counts, whatever follows it.
    private func takeEarlier(_ ticket: EngineDesk.Ticket) -> SessionID? {
        let prompt = ticket.request.prompt
        var best: (index: Int, common: Int)?
        for (index, session) in kept.enumerated() where session.owner == ticket.owner {
            let common =
                session.ticket.flatMap { vault?.common(prompt, $0) }
                ?? zip(prompt, session.tokens).prefix { $0 == $1 }.count
            let isShared = ticket.owner.salt != nil && common >= Self.fewestShared
            guard common >= session.promptCount || isShared, common >= best?.common ?? 1 else { continue }
            best = (index, common)
        }
        return best.flatMap { restore(kept.remove(at: $0.index)) }
    }

    /// Takes a kept session back from the vault if it is there; nil when that fails.
    private func restore(_ kept: Kept) -> SessionID? {
        guard let vault, let ticket = kept.ticket else { return kept.session }
        if vault.restore(ticket, kept.session, to: engine) { return kept.session }
        end(kept.session)
        return nil
    }

    /// The session that is the next to go to the vault, and when.
    private var nextToSeal: (index: Int, time: ContinuousClock.Instant)? {
        guard vault != nil, let sealAfter = desk.sealAfter,
            let index = kept.firstIndex(where: { $0.ticket == nil && !$0.staysInMemory })
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
            kept[index].ticket = vault.seal(
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
            entry.ticket.events.yield(event)
            return
        }
        var event = event
        event.usage.queueTime = entry.started - entry.ticket.submitted
        entry.ticket.alone?.end()
        entry.ticket.events.yield(event)
        running[event.session] = nil
        kept.append(
            Kept(
                session: event.session, owner: entry.ticket.owner,
                promptCount: entry.ticket.request.prompt.count, tokens: entry.tokens))
        forgetIdle()
        entry.ticket.events.finish()
        desk.finished(entry.ticket.number)
    }

    private func fail(_ session: SessionID, _ error: any Error) {
        guard let entry = running.removeValue(forKey: session) else { return }
        engine.cancel(session)
        entry.ticket.alone?.end()
        end(session)
        entry.ticket.events.finish(throwing: error)
        desk.finished(entry.ticket.number)
    }

    /// Forgets sessions that nobody continued for long, those that are too many, and those that the worker had no memory for.
    private func forgetIdle() {
        kept.removeAll { session in
            guard !engine.keeps(session.session) else { return false }
            session.ticket.map { vault?.remove($0) }
            return true
        }
        let limit = ContinuousClock.now - desk.idle
        while let oldest = kept.first, oldest.lastUsed < limit || kept.count > desk.mostKept {
            kept.removeFirst()
            forget(oldest)
        }
    }

    private func forget(_ kept: Kept) {
        kept.ticket.map { vault?.remove($0) }
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
