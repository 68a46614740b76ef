package import HummingbirdCore
package import NIOCore
package import NIOHTTP1
import Synchronization

extension AttestedConnection {
    /// Sends a request, and waits for the head of its answer, which may come before the request's end.
    ///
    /// - Parameters:
    ///   - request: Without a Host header, which is the server's.
    ///   - body: Read as the server takes it; nil for none.
    ///   - whenDone: Called once when the connection is free again, with whether it can carry another request.
    /// - Returns: The answer, whose body is still to be read.
    /// - Throws: Why no answer came; the connection is closed then.
    package func send(
        _ request: HTTPRequestHead, body: RequestBody?, whenDone: @escaping @Sendable (Bool) -> Void
    ) async throws(UpstreamFault) -> UpstreamAnswer {
        var request = request
        request.headers.replaceOrAdd(name: "host", value: address.authority)
        let upload = Upload(self, request, body)
        do throws(UpstreamFault) {
            try await link.begin()
            upload.start()
            guard case .head(let head) = try await link.next() else { throw UpstreamFault("no answer came") }
            return UpstreamAnswer(head, self, upload, whenDone)
        } catch {
            close()
            await upload.stop()
            whenDone(false)
            throw error
        }
    }
}

/// A request on its way to the server.
private final class Upload: Sendable {
    private let connection: AttestedConnection
    private let head: HTTPRequestHead
    private let body: RequestBody?
    private let task = Mutex<Task<Bool, Never>?>(nil)

    init(_ connection: AttestedConnection, _ head: HTTPRequestHead, _ body: RequestBody?) {
        (self.connection, self.head, self.body) = (connection, head, body)
    }

    func start() {
        let task = Task { [connection, head, body] in
            do {
                try await connection.link.write(.head(head))
                if let body {
                    for try await part in body { try await connection.link.write(.body(.byteBuffer(part))) }
                }
                // A body whose reading was given up seems to be at its end.
                try Task.checkCancellation()
                try await connection.link.write(.end(nil))
                return true
            } catch {
                // The server must not take a part of the body for all of it.
                connection.close()
                return false
            }
        }
        self.task.withLock { $0 = task }
    }

    /// Waits until nothing more is read of the body; ends the connection where the server did not take all of it.
    ///
    /// - Returns: Whether all was sent.
    @discardableResult
    func stop() async -> Bool {
        guard let task = task.withLock({ $0 }) else { return false }
        task.cancel()
        return await task.value
    }
}

/// The answer to a request, of which the body is read part by part.
package final class UpstreamAnswer: Sendable {
    package let head: HTTPResponseHead
    private let connection: AttestedConnection
    private let upload: Upload
    private let whenDone: @Sendable (Bool) -> Void
    private let isDone = Mutex(false)

    fileprivate init(
        _ head: HTTPResponseHead, _ connection: AttestedConnection, _ upload: Upload,
        _ whenDone: @escaping @Sendable (Bool) -> Void
    ) {
        (self.head, self.connection, self.upload, self.whenDone) = (head, connection, upload, whenDone)
    }

    deinit { cancel() }

    /// The next bytes of the body; nil at its end.
    package func next() async throws(UpstreamFault) -> ByteBuffer? {
        do throws(UpstreamFault) {
            switch try await connection.link.next() {
            case .head: throw UpstreamFault("a second answer came")
            case .body(let bytes): return bytes
            case .end:
                await end()
                return nil
            }
        } catch {
            cancel()
            await upload.stop()
            throw error
        }
    }

    private func end() async {
        let isKept = head.isKeepAlive
        if !isKept { connection.close() }
        let isWhole = await upload.stop()
        guard isKept, isWhole, (try? await connection.link.end()) != nil else { return cancel() }
        done(true)
    }

    /// Gives up the answer, and with it the connection.
    package func cancel() {
        let isFirst = isDone.withLock { done in
            defer { done = true }
            return !done
        }
        guard isFirst else { return }
        connection.close()
        whenDone(false)
    }

    private func done(_ isReusable: Bool) {
        let isFirst = isDone.withLock { done in
            defer { done = true }
            return !done
        }
        if isFirst { whenDone(isReusable) }
    }
}
