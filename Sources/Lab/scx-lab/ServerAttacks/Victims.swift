import Foundation
import SCXInference
import Synchronization

/// Ordinary clients that ask short questions while others attack, and measure how long their answers take.
final class Victims: Sendable {
    /// The times of requests in seconds, in ascending order.
    struct Times: Sendable {
        var answers: [Double] = []
        var health: [Double] = []
        /// How often each kind of failure occurred.
        var failures: [String: Int] = [:]

        static func percentile(_ times: [Double], _ share: Double) -> Double {
            guard !times.isEmpty else { return .nan }
            return times[min(times.count - 1, Int(Double(times.count) * share))]
        }
    }

    private let target: LoadTarget
    private let clients: Int
    private let times = Mutex(Times())

    init(_ target: LoadTarget, clients: Int) { (self.target, self.clients) = (target, clients) }

    /// Asks questions with all clients, and for `/health` beside them, for some seconds.
    func ask(seconds: Double) -> Times {
        let end = ContinuousClock.now + .seconds(seconds)
        let group = DispatchGroup()
        func start(_ work: @escaping @Sendable () -> Void) {
            group.enter()
            Thread {
                work()
                group.leave()
            }.start()
        }
        for number in 0..<clients {
            start { [self] in
                let client = LoadClient(target)
                var count = 0
                while ContinuousClock.now < end {
                    count += 1
                    question(client, number * 100_000 + count)
                }
            }
        }
        start { [self] in
            while ContinuousClock.now < end {
                health()
                Thread.sleep(forTimeInterval: 0.05)
            }
        }
        group.wait()
        var result = times.withLock { $0 }
        result.answers.sort()
        result.health.sort()
        return result
    }

    private func question(_ client: LoadClient, _ number: Int) {
        let request = LoadRequest(
            number: number, profile: nil,
            prompt: LoadPrompt(seed: UInt64(number), length: 12, vocabulary: nil), maximumTokens: 8,
            cutAfter: nil)
        let start = ContinuousClock.now
        let result = client.ask(request)
        let time = (ContinuousClock.now - start) / .seconds(1)
        times.withLock { times in
            times.answers.append(time)
            if case .failed(let reason) = result.outcome { times.failures[reason, default: 0] += 1 }
        }
    }

    private func health() {
        let start = ContinuousClock.now
        var failure: String?
        do throws(HTTPError) {
            let connection = try HTTPConnection(host: target.host, port: target.port, patience: 30)
            try connection.send("GET", "/health", headers: target.headers(profile: nil))
            let head = try connection.readHead()
            _ = try connection.readRest()
            if head.status != 200 { failure = "/health: status \(head.status)" }
        } catch { failure = "/health: \(error)" }
        let time = (ContinuousClock.now - start) / .seconds(1)
        times.withLock { times in
            times.health.append(time)
            if let failure { times.failures[failure, default: 0] += 1 }
        }
    }
}
