package import HummingbirdCore
package import Logging
package import NIOHTTP1
import SCXAttestation

/// The server that a proxy stands for: connections to it, each verified by itself, and what is known of it.
///
/// Requests are sent only while the server is accepted. Any verification that fails, on a schedule or of a new connection for a
/// request, closes all connections, and nothing is sent until a later one succeeds. After each verification on the schedule, idle
/// connections are closed, and those at work after their answers, so that no request is sent on a connection that was verified
/// before the last time on the schedule.
package actor AttestedUpstream {
    package nonisolated let address: UpstreamAddress
    package nonisolated let policyNotes: [String]
    private let verifier: ServerVerifier
    private let times: UpstreamTimes
    private let logger: Logger

    /// What is known of the server.
    package private(set) var trust = TrustState.unverified
    /// All connections that were accepted and are open: idle, or at work.
    private var connections: [ObjectIdentifier: AttestedConnection] = [:]
    private var idle: [AttestedConnection] = []
    /// Of each connection, the round of the schedule in which it was verified.
    private var rounds: [ObjectIdentifier: Int] = [:]
    private var round = 0
    /// How many verifications were begun, and how many when the last was refused.
    private var (attempts, refusedAttempt) = (0, 0)
    private var permits: Permits

    /// - Parameters:
    ///   - address: Where the server is.
    ///   - verifier: What it is verified by.
    ///   - times: How long it may take until it is verified.
    ///   - connections: The most requests at once; more wait.
    ///   - waiting: The most requests that wait; more are refused.
    ///   - logger: Hears of decisions.
    package init(
        _ address: UpstreamAddress, verifier: ServerVerifier, times: UpstreamTimes = UpstreamTimes(),
        connections: Int = 16, waiting: Int = 256, logger: Logger
    ) {
        self.address = address
        self.verifier = verifier
        self.times = times
        self.logger = logger
        permits = Permits(free: connections, mostWaiting: waiting)
        policyNotes = PolicySummary(verifier.policy).open
    }

    // MARK: Verification

    /// Verifies the server on a connection of its own.
    ///
    /// - Returns: What is known of it then.
    @discardableResult
    package func verify() async -> TrustState {
        if let connection = try? await openAccepted(forRequest: false) {
            round += 1
            for old in idle { forget(old) }
            keep(connection)
            idle = [connection]
        }
        return trust
    }

    /// Verifies the server again and again.
    ///
    /// - Parameter pause: Waits for the next time, given what is known of the server.
    /// - Throws: What the pause throws, as it does when the task is cancelled.
    package func watch(pause: @Sendable (TrustState) async throws -> Void) async throws {
        while true {
            try await pause(trust)
            await verify()
        }
    }

    /// Opens a connection and verifies it; what comes of it is what is known of the server from then on.
    ///
    /// - Parameter forRequest: Whether it is for a request; then it concerns that request alone where no connection is made, as on
    ///   a server that has too many.
    /// - Returns: The connection.
    /// - Throws: ``RequestFault`` where it is not accepted.
    private func openAccepted(forRequest: Bool) async throws(RequestFault) -> AttestedConnection {
        attempts += 1
        let number = attempts
        // A task of its own: a client that goes away must not make the server look as if it gave no evidence.
        let attempt = Task { [address, times, verifier] () -> Result<Verification, UpstreamFault> in
            do throws(UpstreamFault) {
                let connection = try await UnverifiedConnection(to: address, times: times)
                return .success(await connection.verified(by: verifier))
            } catch { return .failure(error) }
        }
        switch await attempt.value {
        case .failure(let fault) where forRequest: throw .broken(fault)
        case .failure(let fault):
            refuse([], fault)
            throw .notAccepted(trust)
        case .success(.refused(let appraisal)):
            refuse(appraisal.failures, nil)
            throw .notAccepted(trust)
        case .success(.accepted(let connection)):
            // What was refused meanwhile is newer.
            guard number > refusedAttempt else {
                connection.close()
                throw .notAccepted(trust)
            }
            accept(connection)
            return connection
        }
    }

    private func accept(_ connection: AttestedConnection) {
        let now = verifier.now()
        var since = now
        if case .accepted(let before) = trust {
            since = before.since
            if before.keyDigest != connection.keyDigest {
                logger.notice("the server has another key, which its evidence is for")
            }
        } else {
            logger.notice("the server is accepted")
        }
        trust = .accepted(
            TrustState.Accepted(
                appraisal: connection.appraisal, server: connection.server, keyDigest: connection.keyDigest,
                since: since, checked: now))
    }

    private func refuse(_ failures: [Failure], _ fault: UpstreamFault?) {
        refusedAttempt = attempts
        let now = verifier.now()
        var since = now
        var isNews = true
        if case .refused(let before) = trust {
            since = before.since
            isNews = before.failures != failures || before.fault != fault
        }
        trust = .refused(TrustState.Refused(failures: failures, fault: fault, since: since, checked: now))
        if isNews {
            let numbers = failures.map { "\($0.check.number)" }.joined(separator: ", ")
            logger.error(
                "the server is not accepted",
                metadata: ["failed": "\(fault == nil ? numbers : "no connection")"])
        }
        // Those at work break off, too: their answers come from a server that is not trusted any more.
        for connection in connections.values { connection.close() }
        connections = [:]
        rounds = [:]
        idle = []
    }

    // MARK: Requests

    /// Sends a request on a verified connection, and waits for the head of its answer.
    ///
    /// - Parameters:
    ///   - request: Without a Host header.
    ///   - body: Read as the server takes it; nil for none.
    /// - Returns: The answer, whose body is still to be read.
    /// - Throws: Why nothing was sent, or no answer came.
    package func send(
        _ request: HTTPRequestHead, body: RequestBody?
    ) async throws(RequestFault) -> UpstreamAnswer {
        guard trust.isAccepted else { throw .notAccepted(trust) }
        try await takePermit()
        let connection: AttestedConnection
        do throws(RequestFault) { connection = try await take() } catch {
            freePermit()
            throw error
        }
        do throws(UpstreamFault) {
            return try await connection.send(request, body: body) { isReusable in
                Task { await self.giveBack(connection, isReusable) }
            }
        } catch { throw .broken(error) }
    }

    /// An idle connection, or a new one.
    private func take() async throws(RequestFault) -> AttestedConnection {
        // It may have changed while the request waited.
        guard trust.isAccepted else { throw .notAccepted(trust) }
        while let connection = idle.popLast() {
            if connection.isOpen { return connection }
            forget(connection)
        }
        let connection = try await openAccepted(forRequest: true)
        keep(connection)
        return connection
    }

    private func keep(_ connection: AttestedConnection) {
        connections[ObjectIdentifier(connection)] = connection
        rounds[ObjectIdentifier(connection)] = round
    }

    private func forget(_ connection: AttestedConnection) {
        connection.close()
        connections[ObjectIdentifier(connection)] = nil
        rounds[ObjectIdentifier(connection)] = nil
    }

    private func giveBack(_ connection: AttestedConnection, _ isReusable: Bool) {
        if isReusable, connection.isOpen, rounds[ObjectIdentifier(connection)] == round {
            idle.append(connection)
        } else {
            forget(connection)
        }
        freePermit()
    }

    /// Idle connections and those at work.
    package var connectionCounts: (idle: Int, all: Int) { (idle.count, connections.count) }

    // MARK: Permits

    private func takePermit() async throws(RequestFault) {
        guard permits.free == 0 else {
            permits.free -= 1
            return
        }
        guard permits.waiting.count < permits.mostWaiting else { throw .busy }
        permits.number += 1
        let number = permits.number
        let isTaken = await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Bool, Never>) in
                if Task.isCancelled {
                    continuation.resume(returning: false)
                } else {
                    permits.waiting.append((number, continuation))
                }
            }
        } onCancel: {
            Task { await self.leaveQueue(number) }
        }
        guard isTaken else { throw .broken(UpstreamFault(CancellationError())) }
    }

    private func leaveQueue(_ number: Int) {
        guard let index = permits.waiting.firstIndex(where: { $0.number == number }) else { return }
        permits.waiting.remove(at: index).continuation.resume(returning: false)
    }

    private func freePermit() {
        guard !permits.waiting.isEmpty else {
            permits.free += 1
            return
        }
        permits.waiting.removeFirst().continuation.resume(returning: true)
    }

    /// Who may send a request now, and who waits for that.
    private struct Permits {
        var free: Int
        let mostWaiting: Int
        var number = 0
        var waiting: [(number: Int, continuation: CheckedContinuation<Bool, Never>)] = []
    }
}
