package import SCXLink
import Synchronization

/// Refuses connections by which one owner would be both a main worker and a peer, and so could read everything.
///
/// A main worker has padded rows, a peer the pads. Each connection of either kind is checked here when it is made,
/// also when one that broke is made again. It is compared with all that the other kind has shown so far:
///
/// | what is compared | with what |
/// | --- | --- |
/// | the public key that the other side proved in the TLS handshake | all keys ever seen, since recordings last |
/// | the process that serves it, if it runs on this machine | all processes ever seen |
/// | the socket that a path leads to, the numeric address and port | those of the newest connections |
///
/// It cannot know whether two keys, or two machines, have one owner.
package final class OwnerSeparation: Sendable {
    /// What the other side of a connection does for the trusted side.
    package enum Role: Hashable, Sendable {
        case worker, peer

        fileprivate var other: Role { self == .worker ? .peer : .worker }
    }

    /// What all main workers, or all peers, have shown of themselves.
    private struct Seen {
        /// Maps each public key that was shown to the name of the worker or peer that showed it; `processes` does so
        /// for processes.
        var keys: [[UInt8]: String] = [:]
        var processes: [LocalProcess: String] = [:]
        /// For each name the remote end of its newest connection.
        var newest: [String: RemoteEnd] = [:]
    }

    private let seen = Mutex<[Role: Seen]>([:])

    package init() {}

    /// Wraps a way to connect so that it refuses a connection to somebody who has the other role.
    ///
    /// - Parameters:
    ///   - role: Whether the other side is a main worker or a peer.
    ///   - name: The other side's address, as the user gave it.
    ///   - connect: Makes a connection.
    /// - Returns: A function that also makes connections, but closes one that is refused and throws
    ///   ``LinkError/incompatible(_:)``.
    package func guarding(
        _ role: Role, name: String, _ connect: @escaping RemoteLink.Connect
    ) -> RemoteLink.Connect {
        { [self] deadline throws(LinkError) in
            let stream = try connect(deadline)
            do throws(LinkError) { try admit(stream.remoteEnd, role, name: name) } catch {
                stream.close()
                throw error
            }
            return stream
        }
    }

    /// Checks the other end of a connection and records it, unless the connection is refused.
    ///
    /// - Parameters:
    ///   - end: The other end of the connection.
    ///   - role: Whether the other end is a main worker or a peer.
    ///   - name: Its address, as the user gave it.
    /// - Throws: ``LinkError/incompatible(_:)`` when the same owner already has the other role; then nothing is
    ///   recorded.
    package func admit(_ end: RemoteEnd, _ role: Role, name: String) throws(LinkError) {
        try seen.withLock { seen throws(LinkError) in
            if let (other, reason) = Self.conflict(end, seen[role.other] ?? Seen()) {
                let flag = role == .peer ? "--pads peer:" : "--worker "
                let same = role == .peer ? "main worker" : "peer of '--pads'"
                throw .incompatible(
                    "'\(flag)\(name)' is the \(same) '\(other)': \(reason); together they read everything, "
                        + "so pads need a peer of another owner")
            }
            var own = seen[role] ?? Seen()
            if let key = end.key { own.keys[key] = name }
            if let process = end.process { own.processes[process] = name }
            own.newest[name] = end
            seen[role] = own
        }
    }

    /// Decides whether pads that a peer multiplied in an earlier run may be used with the main workers of this one.
    ///
    /// When they may, the peer's key counts as seen: a main worker that shows it later is refused. A peer without a key
    /// cannot be recognised at another address. Its pads are therefore used with this program's own workers only.
    ///
    /// - Parameters:
    ///   - name: The peer's address, as the user gave it.
    ///   - key: SHA-256 of the public key that it proved to hold; nil for none.
    ///   - workers: The addresses of the main workers that this program did not start.
    /// - Returns: Why its pads must not be used; nil when they may be.
    package func refusal(ofPadsBy name: String, key: [UInt8]?, workers: [String]) -> String? {
        if workers.contains(name) { return Self.isWorker(name) }
        guard let key else {
            return workers.first.map {
                "it has shown no TLS key, so nobody can tell whether it is the main worker '\($0)' too; fill the bank "
                    + "from a peer over TCP"
            }
        }
        return seen.withLock { seen in
            if let worker = seen[.worker]?.keys[key] { return Self.isWorker(worker) }
            seen[.peer, default: Seen()].keys[key] = name
            return nil
        }
    }

    private static func isWorker(_ name: String) -> String {
        "it is the main worker '\(name)' now, and would read everything"
    }

    /// Finds a worker or peer of the other role that has the same owner as `end`, and says by which value this is
    /// known.
    private static func conflict(_ end: RemoteEnd, _ others: Seen) -> (name: String, reason: String)? {
        if let key = end.key, let name = others.keys[key] { return (name, "both show the same TLS key") }
        for (name, other) in others.newest.sorted(by: { $0.key < $1.key }) {
            if let address = end.address, address == other.address { return (name, "both are at \(address)") }
            if let path = end.path, let second = other.path, UnixSocket.isSame(path, second) {
                return (name, "both paths lead to one socket")
            }
        }
        if let process = end.process, let name = others.processes[process] {
            return (
                name,
                "process \(process.number) of this machine serves both (a tunnel needs a process for each)"
            )
        }
        return nil
    }
}
