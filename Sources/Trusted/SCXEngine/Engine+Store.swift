package import SCXEncoding
package import SCXLink
import SCXProfiles

/// Moves finished sessions out of the engine's memory, and back into it.
extension Engine {
    /// Serialises a finished session and removes from memory its tokens and the caches of the forward pass.
    ///
    /// The session can still be passed to ``keeps(_:)`` and ``end(_:)``, since the worker keeps its slot.
    ///
    /// - Returns: `computed | count | tokens | caches`; nil when the session has to stay in memory.
    /// - Throws: ``LinkError``; the session cannot be continued afterwards.
    package func store(_ id: SessionID) throws(LinkError) -> SecretBuffer<UInt8>? {
        guard let index = sessions.firstIndex(where: { $0.id == id && $0.finished != nil }) else {
            return nil
        }
        let (computed, count) = (sessions[index].computed, sessions[index].tokens.count)
        // What is stored tells tokens alone, by which two pictures could not be told apart.
        guard computed > 0, sessions[index].picturePlaces.isEmpty else { return nil }
        let size = Self.storedHeader + count * MemoryLayout<Int32>.stride
        guard var bytes = try forward.store(sessions[index].slot, after: size) else { return nil }
        let numbers = [UInt64(computed), UInt64(count)]
        bytes.store(numbers.span, at: 0)
        do {
            // This copy of the list is released before the session is emptied, since only a list with a single owner is
            // zeroed in place.
            let tokens = sessions[index].tokens
            bytes.store(tokens.span, at: Self.storedHeader)
        }
        sessions[index].empty()
        drafter?.forget(id)
        return bytes
    }

    /// Reads back a session that ``store(_:)`` serialised.
    ///
    /// - Returns: Whether the session can be continued without computing its tokens again.
    package func restore(_ id: SessionID, _ bytes: borrowing SecretBuffer<UInt8>) -> Bool {
        guard let index = sessions.firstIndex(where: { $0.id == id && $0.finished != nil }),
            bytes.count >= Self.storedHeader
        else { return false }
        var numbers: [UInt64] = [0, 0]
        var span = numbers.mutableSpan
        bytes.load(&span, from: 0)
        let room = (bytes.count - Self.storedHeader) / MemoryLayout<Int32>.stride
        guard numbers[1] <= UInt64(room), (1...numbers[1]).contains(numbers[0]) else { return false }
        var tokens = [Int32](repeating: 0, count: Int(numbers[1]))
        var list = tokens.mutableSpan
        bytes.load(&list, from: Self.storedHeader)
        let size = Self.storedHeader + tokens.count * MemoryLayout<Int32>.stride
        guard forward.restore(sessions[index].slot, bytes, from: size) else { return false }
        sessions[index].refill(tokens, computed: Int(numbers[0]))
        return true
    }

    /// Bytes of the numbers `computed` and `count` at the beginning of a stored session.
    private static var storedHeader: Int { 2 * MemoryLayout<UInt64>.stride }
}
