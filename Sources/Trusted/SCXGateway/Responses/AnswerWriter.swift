import SCXInference

/// Turns the events of one answer into those of an interface; a value without input or output.
protocol AnswerWriter: Sendable {
    /// Something was sent, so that a fault has to be an event too.
    var hasBegun: Bool { get }
    /// The last event was there.
    var isFinished: Bool { get }
    mutating func take(_ event: ChatEvent.Kind) -> [ServerSentEvent]
    /// The answer ends with an error.
    mutating func fail(_ error: APIError) -> [ServerSentEvent]
}

extension AnswerWriter {
    /// Takes all events.
    ///
    /// - Throws: ``APIError`` when the answer does not come to its end.
    mutating func readAll(_ running: RunningChat) async throws(APIError) {
        do {
            for try await event in running.events { _ = take(event.kind) }
        } catch { throw APIError(error) }
        guard isFinished else { throw .endedEarly }
    }

    /// The events of the interface as they come.
    ///
    /// - Parameters:
    ///   - running: The answer, which is cancelled when nobody reads on.
    ///   - atEnd: Runs when the answer is complete and before its last events are told.
    /// - Returns: A stream that throws only before its first event.
    func events(
        of running: RunningChat, atEnd: @escaping @Sendable (Self) async -> Void = { _ in }
    ) -> AsyncThrowingStream<ServerSentEvent, any Error> {
        AsyncThrowingStream { continuation in
            let task = Task {
                var writer = self
                do {
                    for try await event in running.events {
                        let events = writer.take(event.kind)
                        if writer.isFinished { await atEnd(writer) }
                        for event in events { continuation.yield(event) }
                    }
                    guard writer.isFinished || Task.isCancelled else { throw APIError.endedEarly }
                    continuation.finish()
                } catch {
                    let error = APIError(error)
                    guard writer.hasBegun, !writer.isFinished else {
                        continuation.finish(throwing: writer.isFinished ? nil : error)
                        return
                    }
                    for event in writer.fail(error) { continuation.yield(event) }
                    continuation.finish()
                }
            }
            continuation.onTermination = { _ in task.cancel() }
        }
    }
}
