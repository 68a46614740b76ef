extension Engine {
    /// The most requests that are in the engine at once.
    private static let readAtOnce = 64

    /// Computes what requests want to read of their prompts, several of them in one step.
    ///
    /// - Parameter requests: Requests with a ``GenerationRequest/reading``.
    /// - Returns: For each what it asked for.
    /// - Throws: ``EngineError`` for a request that is not valid, and the errors of ``step()``.
    package func readings(of requests: [GenerationRequest]) throws -> [[Float]] {
        var readings: [[Float]] = Array(repeating: [], count: requests.count)
        for first in stride(from: 0, to: requests.count, by: Self.readAtOnce) {
            var places: [SessionID: Int] = [:]
            for place in first..<min(first + Self.readAtOnce, requests.count) {
                let session = try submit(requests[place])
                places[session] = place
            }
            while !places.isEmpty {
                for event in try step() {
                    if let failure = event.failure { throw failure }
                    guard event.finished != nil, let place = places.removeValue(forKey: event.session) else {
                        continue
                    }
                    readings[place] = event.reading
                    try end(event.session)
                }
            }
        }
        return readings
    }
}
