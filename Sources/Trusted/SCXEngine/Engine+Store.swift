package import SCXEncoding
package import SCXLink
import SCXProfiles

/// Sessions that wait outside of memory.
extension Engine {
    /// Takes a finished session out of memory: its tokens, and what the forward pass holds of it.
    ///
    /// ``keeps(_:)`` and ``end(_:)`` know it still, since the worker holds its part.
    ///
    /// - Returns: `computed | count | tokens | caches`; nil when it must stay in memory.
    /// - Throws: ``LinkError``; the session is of no use then.
    package func store(_ id: SessionID) throws(LinkError) -> SecretBuffer<UInt8>? {
        guard let index = sessions.firstIndex(where: { $0.id == id && $0.finished != nil }) else {
            return nil
        }
        let (computed, count) = (sessions[index].computed, sessions[index].tokens.count)
        guard computed > 0 else { return nil }
        let size = Self.storedHeader + count * MemoryLayout<Int32>.stride
        guard var bytes = try forward.store(sessions[index].slot, after: size) else { return nil }
        let numbers = [UInt64(computed), UInt64(count)]
        bytes.store(numbers.span, at: 0)
        do {
            // Gone before the session is emptied, so that the list has one holder.
            let tokens = sessions[index].tokens
            bytes.store(tokens.span, at: Self.storedHeader)
        }
        sessions[index].empty()
        drafter?.forget(id)
        return bytes
    }

    /// Takes a session back.
    ///
    /// - Returns: Whether its computed tokens serve again; when not, whoever continues it has them computed anew.
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

    /// `computed` and `count`.
    private static var storedHeader: Int { 2 * MemoryLayout<UInt64>.stride }
}
