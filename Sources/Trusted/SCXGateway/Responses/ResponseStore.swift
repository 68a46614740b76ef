import SCXInference
import Synchronization

/// Where ``ResponseStore`` keeps bytes: in memory, or sealed in a directory.
///
/// A back end keeps to bounds of its own and forgets what it has no room for. The bytes are people's words.
package protocol ResponseBacking: Sendable {
    /// Keeps bytes under a name that was never used before.
    func put(_ id: String, owner: String, _ bytes: [UInt8]) async
    /// The bytes, nil when there are none or they are somebody else's.
    func get(_ id: String, owner: String) async -> [UInt8]?
    /// Forgets bytes; false when there are none or they are somebody else's.
    func delete(_ id: String, owner: String) async -> Bool
}

/// The responses that can be fetched and continued, each by the API key that asked for it.
package struct ResponseStore: Sendable {
    private let backing: any ResponseBacking

    package init(_ backing: any ResponseBacking = MemoryResponses()) { self.backing = backing }

    /// Deeper than a request may be, since what is kept holds parts of requests.
    private static let deepest = 192

    struct Record {
        let response: JSON
        let conversation: Conversation
    }

    func put(_ id: String, owner: String, _ record: Record) async {
        let json: JSON = ["response": record.response, "messages": record.conversation.json]
        await backing.put(id, owner: owner, Array(json.text.utf8))
    }

    /// - Throws: ``APIError``, 404, when there is none, it is somebody else's, or cannot be read.
    func get(_ id: String, owner: String, param: String? = nil) async throws(APIError) -> Record {
        guard let bytes = await backing.get(id, owner: owner),
            let json = try? JSON(parsing: bytes.span, depth: Self.deepest), let response = json["response"],
            let conversation = Conversation(json["messages"])
        else { throw Self.notFound(param) }
        return Record(response: response, conversation: conversation)
    }

    func delete(_ id: String, owner: String) async throws(APIError) {
        guard await backing.delete(id, owner: owner) else { throw Self.notFound(nil) }
    }

    private static func notFound(_ param: String?) -> APIError {
        APIError(
            status: 404, "There is no response with this id, or it is no longer kept.",
            type: "invalid_request_error", param: param,
            code: param == nil ? "response_not_found" : "previous_response_not_found")
    }
}

/// Keeps responses in memory, the newest ones.
package final class MemoryResponses: ResponseBacking {
    package struct Limits: Sendable {
        package var count = 10_000
        package var bytes = 256 << 20
        package var age = Duration.seconds(24 * 3600)

        package init() {}
    }

    private struct Entry {
        let owner: String
        let bytes: [UInt8]
        let time: ContinuousClock.Instant
    }

    private struct State {
        var entries: [String: Entry] = [:]
        /// Names from the oldest on, some of them deleted.
        var order: [String] = []
        var bytes = 0

        mutating func remove(_ id: String) {
            if let entry = entries.removeValue(forKey: id) { bytes -= entry.bytes.count }
        }
    }

    private let limits: Limits
    private let now: @Sendable () -> ContinuousClock.Instant
    private let state = Mutex(State())

    package init(
        limits: Limits = Limits(), now: @escaping @Sendable () -> ContinuousClock.Instant = { .now }
    ) {
        self.limits = limits
        self.now = now
    }

    /// Entries and bytes kept.
    package var size: (count: Int, bytes: Int) { state.withLock { ($0.entries.count, $0.bytes) } }

    package func put(_ id: String, owner: String, _ bytes: [UInt8]) {
        let time = now()
        state.withLock { state in
            state.remove(id)
            state.entries[id] = Entry(owner: owner, bytes: bytes, time: time)
            state.order.append(id)
            state.bytes += bytes.count
            var dropped = 0
            for id in state.order {
                let isOld = state.entries[id].map { time - $0.time > limits.age } ?? true
                guard isOld || state.entries.count > limits.count || state.bytes > limits.bytes else { break }
                state.remove(id)
                dropped += 1
            }
            state.order.removeFirst(dropped)
            if state.order.count > 2 * state.entries.count + 64 {
                state.order.removeAll { [entries = state.entries] in entries[$0] == nil }
            }
        }
    }

    package func get(_ id: String, owner: String) -> [UInt8]? {
        let time = now()
        return state.withLock { state in
            guard let entry = state.entries[id], entry.owner == owner, time - entry.time <= limits.age else {
                return nil
            }
            return entry.bytes
        }
    }

    package func delete(_ id: String, owner: String) -> Bool {
        state.withLock { state in
            guard state.entries[id]?.owner == owner else { return false }
            state.remove(id)
            return true
        }
    }
}
