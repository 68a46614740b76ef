import Synchronization

/// The connections of all clients, and how many there may be.
///
/// A client that only connects must not keep others out. When there are too many connections, of one address or of all,
/// the one that has waited longest without a request makes room for a new one: first those that never sent a request, then
/// those whose requests are answered. Where every connection has a request, the new one is refused.
package final class ConnectionRegister: Sendable {
    /// What a connection does.
    package enum Phase: Int, Sendable {
        /// It has sent no request yet.
        case new
        /// Its requests are answered.
        case idle
        /// A request is read or answered.
        case busy
    }

    private struct Entry {
        let address: String
        let close: @Sendable () -> Void
        var phase = Phase.new
        /// When the phase began, in changes of all connections.
        var since: Int
        /// Whether it was asked to close, and counts no more.
        var isLeaving = false
    }

    private struct State {
        var entries: [Int: Entry] = [:]
        /// Connections that count, by address, and all of them.
        var counts: [String: Int] = [:]
        var count = 0
        var changes = 0
        var nextNumber = 0
    }

    private let most: Int
    private let mostOfAddress: Int
    private let state = Mutex(State())

    /// Makes an empty register.
    ///
    /// - Parameters:
    ///   - most: Connections at once.
    ///   - mostOfAddress: Of them, those of one address.
    package init(most: Int, mostOfAddress: Int) { (self.most, self.mostOfAddress) = (most, mostOfAddress) }

    /// The number of open connections, without those that were asked to close.
    package var count: Int { state.withLock { $0.count } }

    /// Takes in a new connection, and asks another one to close where there are too many.
    ///
    /// - Parameters:
    ///   - address: Whose it is.
    ///   - close: Closes it; called from any thread, after this function has let go of its lock.
    /// - Returns: Its number; nil when there is no room.
    package func open(_ address: String, close: @escaping @Sendable () -> Void) -> Int? {
        var leaving: [@Sendable () -> Void] = []
        let number = state.withLock { state -> Int? in
            if state.counts[address, default: 0] >= mostOfAddress {
                guard let closed = Self.makeRoom(&state, of: address) else { return nil }
                leaving.append(closed)
            }
            if state.count >= most {
                guard let closed = Self.makeRoom(&state, of: nil) else { return nil }
                leaving.append(closed)
            }
            state.changes += 1
            state.nextNumber += 1
            state.entries[state.nextNumber] = Entry(address: address, close: close, since: state.changes)
            Self.count(1, address, &state)
            return state.nextNumber
        }
        for close in leaving { close() }
        return number
    }

    /// Notes what a connection does now.
    package func change(_ number: Int, to phase: Phase) {
        state.withLock { state in
            guard var entry = state.entries[number], entry.phase != phase else { return }
            state.changes += 1
            (entry.phase, entry.since) = (phase, state.changes)
            // Its request came before it could close, so it stays.
            if entry.isLeaving, phase == .busy {
                entry.isLeaving = false
                Self.count(1, entry.address, &state)
            }
            state.entries[number] = entry
        }
    }

    /// Forgets a connection that is closed.
    package func end(_ number: Int) {
        state.withLock { state in
            guard let entry = state.entries.removeValue(forKey: number), !entry.isLeaving else { return }
            Self.count(-1, entry.address, &state)
        }
    }

    private static func count(_ change: Int, _ address: String, _ state: inout State) {
        state.count += change
        let count = state.counts[address, default: 0] + change
        state.counts[address] = count == 0 ? nil : count
    }

    /// Chooses the connection that makes room, of one address or of all; nil when all have requests.
    private static func makeRoom(_ state: inout State, of address: String?) -> (@Sendable () -> Void)? {
        var chosen: (number: Int, phase: Int, since: Int)?
        for (number, entry) in state.entries
        where entry.phase != .busy && !entry.isLeaving && (address ?? entry.address) == entry.address {
            let rank = (number, entry.phase.rawValue, entry.since)
            if chosen.map({ (rank.1, rank.2) < ($0.phase, $0.since) }) ?? true { chosen = rank }
        }
        guard let chosen, let entry = state.entries[chosen.number] else { return nil }
        state.entries[chosen.number]?.isLeaving = true
        count(-1, entry.address, &state)
        return entry.close
    }
}
