import Foundation
import SCXEncoding
import Synchronization

/// The sessions of one engine that are stored in a vault.
///
/// Sealing and writing happen on a dispatch queue, so that the engine's thread is not delayed; opening a session waits
/// for earlier writes.
final class SealedSessions: Sendable {
    /// What stays in memory of a stored session; nothing in it tells the session's tokens.
    struct Entry: Sendable {
        fileprivate let id = SessionVault.ID()
        fileprivate let namespace: String
        /// For some lengths, the digest of the session's first tokens, under a secret key.
        fileprivate let digests: [Int: PrefixHasher.Digest]
    }

    private let vault: SessionVault
    private let hasher = PrefixHasher()
    private let queue = DispatchQueue(label: "scx vault", qos: .utility)
    private let counts = Mutex(EngineLoop.VaultUse())

    init(_ vault: SessionVault) { self.vault = vault }

    var use: EngineLoop.VaultUse { counts.withLock { $0 } }

    /// Seals a session and writes it to the vault, on the dispatch queue.
    ///
    /// - Parameters:
    ///   - bytes: The session as ``Engine/store(_:)`` serialised it.
    ///   - tokens: The session's tokens, prompt and answer.
    ///   - promptCount: How many of them belong to the prompt.
    ///   - namespace: The name of the owner's API key; only the same name can open the session.
    /// - Returns: The entry with which ``restore(_:_:to:)`` finds the session.
    func seal(
        _ bytes: consuming SecretBuffer<UInt8>, tokens: [Int32], promptCount: Int, namespace: String
    ) -> Entry {
        // Digests at doubling lengths find a common beginning between conversations that share a salt.
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
                // A request that continues the session finds no file, so its tokens are computed again.
            }
        }
        return entry
    }

    /// A number of tokens that a prompt and a stored session have in common at the beginning; there may be more.
    func common(_ prompt: [Int32], _ entry: Entry) -> Int {
        let found = hasher.digests(of: prompt, at: entry.digests.keys)
        return found.filter { entry.digests[$0.key] == $0.value }.keys.max() ?? 0
    }

    /// Reads a session from the vault into its engine, and removes its file.
    ///
    /// - Returns: Whether the session can be continued without computing its tokens again.
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

    /// Waits until all earlier sealing, writing and removing is done.
    func finish() { queue.sync {} }
}
