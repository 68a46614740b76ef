import Foundation
import SCXEncoding
import Synchronization

/// The idle sessions of one engine that wait in a vault.
///
/// Sealing and writing are done on a queue, since the engine's thread has answers to compute; opening waits for them.
final class SealedSessions: Sendable {
    /// What stays in memory of a session: nothing that tells its tokens.
    struct Entry: Sendable {
        fileprivate let id = SessionVault.ID()
        fileprivate let namespace: String
        /// Of beginnings of the session's tokens.
        fileprivate let digests: [Int: PrefixHasher.Digest]
    }

    private let vault: SessionVault
    private let hasher = PrefixHasher()
    private let queue = DispatchQueue(label: "scx vault", qos: .utility)
    private let counts = Mutex(EngineLoop.VaultUse())

    init(_ vault: SessionVault) { self.vault = vault }

    var use: EngineLoop.VaultUse { counts.withLock { $0 } }

    /// Has a session sealed.
    ///
    /// - Parameters:
    ///   - bytes: What the engine stored.
    ///   - tokens: Of the session, the prompt's first.
    ///   - promptCount: How many are the prompt's.
    ///   - namespace: Whose it is.
    /// - Returns: What gives it back.
    func seal(
        _ bytes: consuming SecretBuffer<UInt8>, tokens: [Int32], promptCount: Int, namespace: String
    ) -> Entry {
        // Beginnings at doubling lengths are for conversations that share a salt.
        let doubling = sequence(first: EngineThread.fewestShared) { 2 * $0 }.prefix { $0 < tokens.count }
        let entry = Entry(
            namespace: namespace,
            digests: hasher.digests(of: tokens, at: doubling + [promptCount, tokens.count]))
        let bytes = bytes
        queue.async { [self] in
            do throws(VaultError) {
                try vault.seal(bytes, id: entry.id, namespace: entry.namespace)
                counts.withLock { $0.sealed += 1 }
            } catch {
                // Whoever continues the session finds no file, and has it computed anew.
            }
        }
        return entry
    }

    /// How many tokens of a prompt a session certainly begins with.
    func common(_ prompt: [Int32], _ entry: Entry) -> Int {
        let found = hasher.digests(of: prompt, at: entry.digests.keys)
        return found.filter { entry.digests[$0.key] == $0.value }.keys.max() ?? 0
    }

    /// Gives a session back to its engine, and removes its file.
    ///
    /// - Returns: Whether what it had computed serves again.
    func restore(_ entry: Entry, _ session: SessionID, to engine: Engine) -> Bool {
        queue.sync {}
        defer { vault.remove(entry.id) }
        if case .found(let bytes) = vault.open(id: entry.id, namespace: entry.namespace),
            engine.restore(session, bytes)
        {
            counts.withLock { $0.restored += 1 }
            return true
        }
        counts.withLock { $0.lost += 1 }
        return false
    }

    /// Removes a session's file.
    func remove(_ entry: Entry) {
        queue.async { [self] in vault.remove(entry.id) }
    }

    /// Returns when all that was asked for is done.
    func finish() { queue.sync {} }
}
