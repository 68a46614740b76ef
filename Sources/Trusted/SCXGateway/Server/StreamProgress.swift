package import NIOCore
import Synchronization

/// Closes the connection of a client that has stopped to read its answer.
package final class StreamProgress: Sendable {
    /// When the write on its way began.
    private let writingSince = Mutex<ContinuousClock.Instant?>(nil)
    private let watcher = Mutex<Task<Void, Never>?>(nil)

    /// Starts to watch.
    ///
    /// - Parameters:
    ///   - channel: The client's connection.
    ///   - patience: How long one write may wait for the client.
    package init(channel: any Channel, patience: Duration) {
        let task = Task { [weak self] in
            while !Task.isCancelled {
                try? await Task.sleep(for: patience / 4)
                guard let self else { return }
                guard let since = self.writingSince.withLock({ $0 }), ContinuousClock.now - since > patience
                else { continue }
                channel.close(promise: nil)
                return
            }
        }
        watcher.withLock { $0 = task }
    }

    package func begin() { writingSince.withLock { $0 = .now } }

    package func end() { writingSince.withLock { $0 = nil } }

    package func stop() { watcher.withLock { $0?.cancel() } }
}
