import Foundation
import Synchronization

/// The requests of an endurance run: conversations of two turns, which are asked again until they are answered.
///
/// The second turn of a conversation continues the first, on a trusted side that may have been killed in between.
final class EndureLoad: @unchecked Sendable {
    /// A request and the answer that it must get.
    struct Expected: Sendable {
        let request: LoadRequest
        let answer: LoadAnswer
    }

    /// What happened to the requests.
    struct Counts: Equatable, Sendable {
        var right = 0
        /// How often requests were asked again, because their connection was lost or the server could not take them
        /// yet.
        var retries = 0
        /// For each wrong answer where it differs from the right one.
        var wrong: [String] = []
        /// For each request that never got an answer the reason.
        var lost: [String] = []

        var answered: Int { right + wrong.count }
        var finished: Int { answered + lost.count }
    }

    /// How many conversations have their first turns asked before the second turn of any of them.
    private static let together = 4
    /// After this many seconds a request counts as lost.
    private static let patience = 600.0

    private let conversations: [[Expected]]
    private let streams: Int
    private let target: LoadTarget

    // This lock guards everything below.
    private let lock = NSCondition()
    private var next = 0
    private var begun = 0
    private var counts = Counts()
    /// How many requests may have begun, so that kills are spread evenly over the answers.
    private var allowed = Int.max

    /// Prepares the requests.
    ///
    /// - Parameters:
    ///   - conversations: Each with its turns in order.
    ///   - streams: How many requests are asked at once.
    ///   - target: The server.
    init(_ conversations: [[Expected]], streams: Int, target: LoadTarget) {
        (self.conversations, self.streams, self.target) = (conversations, streams, target)
    }

    var current: Counts { lock.withLock { counts } }

    var total: Int { conversations.reduce(0) { $0 + $1.count } }

    /// Lets this many requests begin in all.
    func allow(_ count: Int) {
        lock.withLock {
            allowed = count
            lock.broadcast()
        }
    }

    /// Waits until this many requests are finished.
    func wait(until finished: Int) {
        lock.withLock { while counts.finished < min(finished, total) { lock.wait() } }
    }

    /// Asks all requests, on threads of their own; returns at once.
    func start() {
        for _ in 0..<min(streams, conversations.count) {
            let thread = Thread { [self] in work() }
            thread.name = "scx endure"
            thread.start()
        }
    }

    private func work() {
        let client = LoadClient(target)
        while true {
            let taken = lock.withLock {
                let range = next..<min(next + Self.together, conversations.count)
                next = range.upperBound
                return range
            }
            guard !taken.isEmpty else { return }
            for turn in 0..<(conversations[taken].map(\.count).max() ?? 0) {
                for index in taken where conversations[index].indices.contains(turn) {
                    ask(conversations[index][turn], client)
                }
            }
        }
    }

    private func ask(_ expected: Expected, _ client: LoadClient) {
        lock.withLock {
            while begun >= allowed { lock.wait() }
            begun += 1
        }
        let end = Date(timeIntervalSinceNow: Self.patience)
        var retries = 0
        while true {
            let result = client.ask(expected.request)
            retries += result.retries
            if case .failed(let reason) = result.outcome {
                // When a trusted side is killed its connections are lost, and until it is back no connection can be
                // made.
                if !reason.hasPrefix("cannot connect") { retries += 1 }
                guard Date() < end else {
                    return finish(retries) { $0.lost.append("request \(expected.request.number): \(reason)") }
                }
                Thread.sleep(forTimeInterval: 0.05)
                continue
            }
            return finish(retries) { counts in
                if result.answer == expected.answer {
                    counts.right += 1
                } else {
                    counts.wrong.append(Self.difference(expected, result.answer))
                }
            }
        }
    }

    private func finish(_ retries: Int, _ count: (inout Counts) -> Void) {
        lock.withLock {
            counts.retries += retries
            count(&counts)
            lock.broadcast()
        }
    }

    private static func difference(_ expected: Expected, _ found: LoadAnswer) -> String {
        let right = expected.answer
        let common = zip(right.text, found.text).prefix { $0 == $1 }.count
        let logprobs = zip(right.logprobs, found.logprobs).prefix { $0 == $1 }.count
        return
            "request \(expected.request.number): \(found.tokens) tokens of \(right.tokens); the same up to character "
            + "\(common) of \(right.text.count), up to log-probability \(logprobs) of \(right.logprobs.count)"
    }
}
