import Foundation
import SCXInference
import Synchronization

/// What the trusted side reports of itself while it is killed and started again: sums over all its processes, and its
/// memory.
final class EndureHealth: Sendable {
    /// Counts of profile `sealed`, as `/health` reports them.
    struct Counts: Equatable, Sendable {
        var stalledSeconds = 0.0
        var refusedProducts = 0
        var rowsComputedHere = 0
        var padsOfPeer = 0
        /// Rows whose pads were ready before they were needed.
        var preparedPads = 0
        /// Rows whose pads a bank on disk had.
        var padsFromDisk = 0

        init() {}

        init?(_ health: JSON) {
            guard let profile = health["profiles"]?["sealed"], let pads = profile["pads"] else { return nil }
            stalledSeconds = pads["stalled_s"]?.double ?? 0
            refusedProducts = profile["refused_products"]?.int ?? 0
            rowsComputedHere = profile["rows_computed_here"]?.int ?? 0
            padsOfPeer = pads["peer"]?.int ?? 0
            preparedPads = pads["banked"]?.int ?? 0
            padsFromDisk = pads["from_disk"]?.int ?? 0
        }

        static func + (a: Counts, b: Counts) -> Counts {
            var sum = a
            sum.stalledSeconds += b.stalledSeconds
            sum.refusedProducts += b.refusedProducts
            sum.rowsComputedHere += b.rowsComputedHere
            sum.padsOfPeer += b.padsOfPeer
            sum.preparedPads += b.preparedPads
            sum.padsFromDisk += b.padsFromDisk
            return sum
        }
    }

    private struct State {
        var earlier = Counts()
        var current = Counts()
    }

    private let target: LoadTarget
    private let state = Mutex(State())

    init(_ target: LoadTarget) { self.target = target }

    /// Sums over all processes of the trusted side, as far as they were observed.
    var counts: Counts { state.withLock { $0.earlier + $0.current } }

    /// Asks the server once.
    ///
    /// - Returns: Whether it answered.
    @discardableResult
    func sample() -> Bool {
        guard let health = ask() else { return false }
        if let counts = Counts(health) { state.withLock { $0.current = counts } }
        return true
    }

    /// Notes that a new process has been started, whose counts begin at zero.
    func beginLife() {
        state.withLock { state in
            state.earlier = state.earlier + state.current
            state.current = Counts()
        }
    }

    private func ask() -> JSON? {
        do throws(HTTPError) {
            let connection = try HTTPConnection(host: target.host, port: target.port)
            try connection.send("GET", "/health", headers: target.headers(profile: nil))
            guard try connection.readHead().status == 200 else { return nil }
            let body = try connection.readRest()
            return try? JSON(parsing: body.span)
        } catch {
            return nil
        }
    }
}
