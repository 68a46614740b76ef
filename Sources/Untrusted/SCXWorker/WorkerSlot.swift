import SCXInference

/// What the worker keeps of one session.
///
/// All but ``cache`` is kept by layer, and only by profiles that use it.
final class WorkerSlot {
    /// Valid keys and values, which `middle` uses and extends.
    let cache: KVCache
    /// Rows of keys, each followed by its values, as `linear` left them for `unlock`.
    var unordered: [Int: [Float]] = [:]
    /// Encoded keys and values that `attention` keeps.
    var encoded: [Int: LayerCache] = [:]
    /// Encoded keys for `tailScores`, `[tokens, keyValueHeads · headSize]`.
    var tail: [Int: [Float]] = [:]

    init(_ model: Decoder) { cache = model.makeCache() }

    /// Bytes of all of these.
    var byteCount: Int {
        let floats = [unordered, tail].joined().reduce(0) { $0 + $1.value.capacity }
        return encoded.values.reduce(cache.byteCount + 4 * floats) { $0 + $1.byteCount }
    }
}

/// A slot's number together with its connection, since numbers are valid only on their own connection.
struct SlotKey: Hashable {
    let connection: UInt64
    let number: UInt32
}
