package import SCXEncoding
package import SCXLink

/// Stores what the trusted side holds of an idle session:
/// `epoch | count | caches of the first blocks | caches of the last blocks`.
extension ScxForwardPass {
    package func store(_ slot: Slot, after header: Int) throws(LinkError) -> SecretBuffer<UInt8>? {
        // The session key of attentions must never be written to a file.
        guard options.reuse == .oneTime, let session = sessions[slot], session.count > 0 else { return nil }
        let caches = session.caches
        guard caches.allSatisfy({ $0.count == session.count }) else { return nil }
        // After sharing, only caches are left; the orders of the last blocks are drawn anew when they are needed.
        do throws(LinkError) { try shareKeys(session) } catch {
            forget([slot], error)
            throw error
        }
        var bytes = SecretBuffer<UInt8>(
            repeating: 0, count: header + Self.storedHeader + caches.reduce(0) { $0 + $1.byteCount })
        let numbers = [epoch, UInt64(session.count)]
        bytes.store(numbers.span, at: header)
        var offset = header + Self.storedHeader
        for cache in caches {
            cache.store(in: &bytes, at: offset)
            offset += cache.byteCount
        }
        sessions[slot] = nil
        return bytes
    }

    package func restore(_ slot: Slot, _ bytes: borrowing SecretBuffer<UInt8>, from header: Int) -> Bool {
        let size = bytes.count - header - Self.storedHeader
        guard options.reuse == .oneTime, size >= 0 else { return false }
        var numbers: [UInt64] = [0, 0]
        var span = numbers.mutableSpan
        bytes.load(&span, from: header)
        let session = makeSession(slot)
        let caches = session.caches
        let tokenSize = caches.reduce(0) { $0 + 2 * $1.width * MemoryLayout<Float>.stride }
        guard numbers[0] == epoch, size % tokenSize == 0, numbers[1] == UInt64(size / tokenSize) else {
            return false
        }
        session.count = size / tokenSize
        var offset = header + Self.storedHeader
        for cache in caches {
            cache.load(session.count, from: bytes, at: offset)
            offset += cache.byteCount
        }
        sessions[slot] = session
        return true
    }

    /// How many bytes `epoch` and `count` take.
    private static var storedHeader: Int { 2 * MemoryLayout<UInt64>.stride }
}
