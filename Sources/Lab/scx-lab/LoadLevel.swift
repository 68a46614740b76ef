import Foundation
import SCXInference
import Synchronization

/// A number of streams that ask at the same time.
final class LoadLevel: Sendable {
    let streams: Int
    let profile: String
    private let target: LoadTarget
    private let requests: [LoadRequest]
    private let next = Mutex(0)
    private let results = Mutex<[LoadResult]>([])

    /// What happens to the server meanwhile.
    struct Surroundings: Sendable {
        var server: LoadServer?
        /// Whom to kill; nil for the server's own workers.
        var victim: Int32?
        var kills = 0
    }

    /// - Parameters:
    ///   - streams: How many ask at the same time.
    ///   - profile: As the report names it.
    ///   - target: Where the server is.
    ///   - requests: What they ask.
    init(streams: Int, profile: String, target: LoadTarget, requests: [LoadRequest]) {
        (self.streams, self.profile) = (streams, profile)
        (self.target, self.requests) = (target, requests)
    }

    /// Asks all, each as soon as a stream is free.
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
            // A worker that is about to start again is not there to be killed.
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
