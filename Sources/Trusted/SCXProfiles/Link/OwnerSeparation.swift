package import SCXLink
import Synchronization

/// Keeps the owners of main workers and those of peers apart: whoever is both reads everything.
///
/// A main worker has padded rows, a peer the pads. Each connection of either kind is checked here when it is made, also
/// when one that broke is made anew, against all that the other kind showed so far:
///
/// | what is compared | with what |
/// | --- | --- |
/// | the public key that the other side proved in the TLS handshake | all keys ever seen, since recordings last |
/// | the process that serves it, where that runs on this machine | all processes ever seen |
/// | the socket that a path leads to, the numeric address and port | those of the newest connections |
///
/// What it cannot know is who owns two keys, or two machines.
package final class OwnerSeparation: Sendable {
    /// What somebody does for this side.
    package enum Role: Hashable, Sendable {
        case worker, peer

        fileprivate var other: Role { self == .worker ? .peer : .worker }
    }

    /// What those of one role showed.
    private struct Seen {
        /// The name of who showed it, by key and by process.
        var keys: [[UInt8]: String] = [:]
        var processes: [LocalProcess: String] = [:]
        /// The end of each one's newest connection.
        var newest: [String: RemoteEnd] = [:]
    }

    private let seen = Mutex<[Role: Seen]>([:])

    package init() {}

    /// Makes connections only to those who are nobody of the other role.
    ///
    /// - Parameters:
    ///   - role: What they are to do.
    ///   - name: Their address, as people give it.
    ///   - connect: Makes a connection.
    /// - Returns: The same, which closes a connection that is refused and throws ``LinkError/incompatible(_:)``.
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

    /// Takes note of who a connection has led to.
    ///
    /// - Parameters:
    ///   - end: Who is at its other end.
    ///   - role: What that one is to do.
    ///   - name: Its address, as people give it.
    /// - Throws: ``LinkError/incompatible(_:)`` when one of the other role is the same; nothing is noted then.
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

    /// The name of who of a role has shown a key; nil for nobody.
    package func name(of role: Role, withKey key: [UInt8]) -> String? {
        seen.withLock { $0[role]?.keys[key] }
    }

    /// Who of the others is the same, and by what that shows.
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
