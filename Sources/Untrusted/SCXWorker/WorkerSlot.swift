import SCXInference

/// What the worker holds of one session.
///
/// Everything but ``cache`` is by layer and there only while a profile uses it.
final class WorkerSlot {
    /// Valid keys and values, which `middle` reads and extends.
    let cache: KVCache
    /// Rows of keys and values, side by side, as `linear` left them for `unlock`.
    var unordered: [Int: [Float]] = [:]
    /// Encoded keys and values of `attention`.
    var encoded: [Int: LayerCache] = [:]
    /// Encoded keys of `tailScores`, `[tokens, keyValueHeads · headSize]`.
    var tail: [Int: [Float]] = [:]

    init(_ model: Decoder) { cache = model.makeCache() }

    /// Bytes of all of it.
    var byteCount: Int {
        let floats = [unordered, tail].joined().reduce(0) { $0 + $1.value.capacity }
        return encoded.values.reduce(cache.byteCount + 4 * floats) { $0 + $1.byteCount }
    }
}

/// Where a slot is: its number means nothing on another connection.
struct SlotKey: Hashable {
    let connection: UInt64
    let number: UInt32
}
