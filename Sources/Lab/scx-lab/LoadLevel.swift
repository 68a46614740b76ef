import Foundation
import SCXInference
import Synchronization

/// One level of load: a number of streams that send requests at the same time.
final class LoadLevel: Sendable {
    let streams: Int
    let profile: String
    private let target: LoadTarget
    private let requests: [LoadRequest]
    private let next = Mutex(0)
    private let results = Mutex<[LoadResult]>([])

    /// What happens to the server during the level.
    struct Surroundings: Sendable {
        var server: LoadServer?
        /// The process to kill; nil for the server's own workers.
        var victim: Int32?
        var kills = 0
    }

    /// Describes a level.
    ///
    /// - Parameters:
    ///   - streams: How many streams send requests at the same time.
    ///   - profile: The profile's name in the report.
    ///   - target: The server.
    ///   - requests: The requests of all streams.
    init(streams: Int, profile: String, target: LoadTarget, requests: [LoadRequest]) {
        (self.streams, self.profile) = (streams, profile)
        (self.target, self.requests) = (target, requests)
    }

    /// Sends all requests, each as soon as a stream is free.
    func run(_ surroundings: Surroundings) -> LoadReport {
        let group = DispatchGroup()
        var report = LoadReport(streams: streams, profile: profile)
        report.before = surroundings.server?.memory
        report.most = report.before
        let start = ContinuousClock.now
        for _ in 0..<min(streams, requests.count) {
            group.enter()
            let thread = Thread { [self] in
                let client = LoadClient(target)
                while let request = take() {
                    let result = client.ask(request)
                    results.withLock { $0.append(result) }
                }
                group.leave()
            }
            thread.start()
        }
        while group.wait(timeout: .now() + .milliseconds(200)) == .timedOut {
            if let memory = surroundings.server?.memory, memory.total > report.most?.total ?? 0 {
                report.most = memory
            }
            let done = results.withLock(\.count)
            guard report.kills < surroundings.kills,
                done * (surroundings.kills + 1) >= requests.count * (report.kills + 1)
            else { continue }
            let victims = surroundings.victim.map { [$0] } ?? surroundings.server?.workers ?? []
            // A worker that is just being started again cannot be killed.
            let killed = victims.filter { kill($0, SIGKILL) == 0 }
            if !killed.isEmpty { report.kills += 1 }
        }
        report.seconds = (ContinuousClock.now - start) / .seconds(1)
        report.after = surroundings.server?.memory
        report.results = results.withLock { $0 }
        return report
    }

    private func take() -> LoadRequest? {
        next.withLock { next in
            guard next < requests.count else { return nil }
            defer { next += 1 }
            return requests[next]
        }
    }
}
