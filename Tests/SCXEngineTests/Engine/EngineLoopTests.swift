import Foundation
import SCXEngine
import SCXLink
import SCXProfiles
import Synchronization
import Testing

/// A counting model on a loop's thread, which a test can hold up and let fail.
private final class HeldForwardPass: ForwardPass, @unchecked Sendable {
    // The engine's thread alone uses it.
    private let counting = CountingForwardPass()

    private struct State {
        var isHeld = false
        var isComputing = false
        var rows: [Int] = []
        var order: [Int32] = []
        var failures: [LinkError] = []
        /// Slots that the worker has room for.
        var room = Int.max
        var slots: Set<Slot> = []
    }

    private let state = Mutex(State())

    var traffic: Traffic { Traffic() }

    func compute(_ segments: [BatchSegment]) throws(LinkError) -> [[Float]] {
        let failure = state.withLock { state -> LinkError? in
            state.isComputing = true
            state.rows.append(segments.reduce(0) { $0 + $1.tokens.count })
            // Prompts in the order in which they begin.
            state.order += segments.filter { $0.position == 0 }.compactMap(\.tokens.first)
            if !state.failures.isEmpty { return state.failures.removeFirst() }
            state.slots.formUnion(segments.map(\.slot))
            return state.slots.count > state.room ? .workerFull("no place") : nil
        }
        while state.withLock(\.isHeld) { Thread.sleep(forTimeInterval: 0.0005) }
        if let failure {
            // A worker that is lost has forgotten everything.
            if failure.losesWorker { counting.histories = [:] }
            throw failure
        }
        return try counting.compute(segments)
    }

    func end(_ slot: Slot) {
        counting.end(slot)
        state.withLock { _ = $0.slots.remove(slot) }
    }

    /// Keeps steps from ending.
    func hold() { state.withLock { ($0.isHeld, $0.isComputing) = (true, false) } }
    func release() { state.withLock { $0.isHeld = false } }
    var isComputing: Bool { state.withLock(\.isComputing) }
    func fail(_ errors: [LinkError]) { state.withLock { $0.failures = errors } }
    func setRoom(_ slots: Int) { state.withLock { $0.room = slots } }
    var rows: [Int] { state.withLock(\.rows) }
    var order: [Int32] { state.withLock(\.order) }
}

extension EngineLoop.Limits {
    /// Limits under which a conversation is never forgotten for the time that a test waited for its turn.
    static var unhurried: Self {
        var limits = Self()
        limits.idle = .seconds(86_400)
        return limits
    }
}

@Suite("engine loop")
struct EngineLoopTests {
    private let forward = HeldForwardPass()

    private func loop(_ limits: EngineLoop.Limits = .unhurried, maximumLength: Int = 100) -> EngineLoop {
        EngineLoop(limits: limits) {
            Engine(
                forward: forward, tokenizer: nil, vocabularySize: CountingForwardPass.vocabulary,
                maximumLength: maximumLength)
        }
    }

    private struct Reply: Equatable {
        var tokens: [Int32] = []
        var cached = 0
    }

    private static func read(_ events: EngineLoop.Events) async throws -> Reply {
        var reply = Reply()
        for try await event in events {
            if let token = event.token { reply.tokens.append(token.id) }
            reply.cached = event.usage.cachedTokens
        }
        return reply
    }

    private static func ask(
        _ loop: EngineLoop, _ prompt: [Int32], _ count: Int = 4, _ owner: Owner = Owner()
    ) async throws -> Reply {
        try await read(loop.submit(greedy(prompt, count), owner: owner))
    }

    private static func expected(_ prompt: [Int32], _ count: Int = 4) -> [Int32] {
        EngineTests().expected(prompt, count)
    }

    /// Waits until something holds, at most for minutes.
    private static func wait(_ condition: () -> Bool) async throws {
        for _ in 0..<600_000 where !condition() { try await Task.sleep(for: .milliseconds(1)) }
        try #require(condition())
    }

    /// Starts a request that runs until ``HeldForwardPass/release()``.
    private func occupy(_ loop: EngineLoop, _ owner: Owner = Owner()) async throws -> EngineLoop.Events {
        forward.hold()
        let events = try loop.submit(greedy([1], 4), owner: owner)
        try await Self.wait { forward.isComputing }
        return events
    }

    @Test("requests of many tasks at once get the tokens that each gets alone")
    func manyTasks() async throws {
        let loop = loop()
        try await withThrowingTaskGroup { group in
            for number in 0..<40 {
                let prompt = (0...Int32(number % 13)).map { ($0 * 7 + Int32(number)) % 50 }
                group.addTask {
                    let reply = try await Self.ask(loop, prompt, 5 + number % 9)
                    #expect(reply.tokens == Self.expected(prompt, 5 + number % 9))
                }
            }
            try await group.waitForAll()
        }
        try await Self.wait { loop.load.kept == 40 }
        #expect(loop.load.running == 0)
        #expect(loop.load.waiting == 0)
    }

    @Test("more than may wait are refused, and those that were taken get their answers")
    func queueFull() async throws {
        var limits = EngineLoop.Limits.unhurried
        (limits.running, limits.waiting) = (1, 2)
        let loop = loop(limits)
        let running = try await occupy(loop)
        let waiting = try [[2], [3]].map { try loop.submit(greedy($0, 2)) }
        #expect(throws: AdmissionError.queueFull(limit: 2)) { try loop.submit(greedy([4], 2)) }
        #expect(loop.load.waiting == 2)
        forward.release()
        #expect(try await Self.read(running).tokens == Self.expected([1]))
        #expect(try await Self.read(waiting[0]).tokens == Self.expected([2], 2))
        #expect(try await Self.read(waiting[1]).tokens == Self.expected([3], 2))
    }

    @Test("one key may have only so many, others are not kept out")
    func tooManyOfKey() async throws {
        var limits = EngineLoop.Limits.unhurried
        (limits.running, limits.perKey) = (1, 2)
        let loop = loop(limits)
        let alice = Owner(key: "alice")
        let running = try await occupy(loop, alice)
        let waiting = try loop.submit(greedy([2], 1), owner: alice)
        // A salt makes no other key.
        #expect(throws: AdmissionError.tooManyOfKey(limit: 2)) {
            try loop.submit(greedy([3], 1), owner: Owner(key: "alice", salt: "s"))
        }
        let other = try loop.submit(greedy([4], 1), owner: Owner(key: "bob"))
        forward.release()
        for events in [running, waiting, other] { _ = try await Self.read(events) }
        #expect(try await Self.ask(loop, [3], 1, alice).tokens == Self.expected([3], 1))
    }

    @Test("a key that asks much does not keep out one that asks once")
    func fairness() async throws {
        var limits = EngineLoop.Limits.unhurried
        limits.running = 2
        let loop = loop(limits)
        let alice = Owner(key: "alice")
        var all = [try await occupy(loop, alice)]
        for token: Int32 in 11...14 { all.append(try loop.submit(greedy([token], 3), owner: alice)) }
        all.append(try loop.submit(greedy([20], 3), owner: Owner(key: "bob")))
        forward.release()
        for events in all { _ = try await Self.read(events) }
        // Alice's first runs already, so the other place is Bob's.
        #expect(forward.order == [1, 20, 11, 12, 13, 14])
    }

    @Test("a reader that goes frees its place, while it runs and while it waits")
    func cancels() async throws {
        var limits = EngineLoop.Limits.unhurried
        limits.running = 1
        let loop = loop(limits)
        forward.hold()
        let events = try loop.submit(greedy([1], 90))
        let reading = Task { for try await _ in events {} }
        try await Self.wait { forward.isComputing }
        let waiting = Task { try await Self.ask(loop, [2], 90) }
        try await Self.wait { loop.load.waiting == 1 }
        waiting.cancel()
        try await Self.wait { loop.load.waiting == 0 }
        reading.cancel()
        _ = try await reading.value
        forward.release()
        #expect(try await Self.ask(loop, [3]).tokens == Self.expected([3]))
        #expect(!forward.order.contains(2))
        #expect(forward.rows.count < 90)
    }

    @Test("a conversation that goes on has its computed tokens, even after a cancelled answer")
    func continues() async throws {
        let loop = loop()
        let prompt: [Int32] = [5, 6, 7, 8]
        let first = try await Self.ask(loop, prompt)
        #expect(first.cached == 0)
        let longer = prompt + first.tokens + [11, 12]
        let second = try await Self.ask(loop, longer)
        #expect(second.tokens == Self.expected(longer))
        // The answer's last token was drawn, and never computed.
        #expect(second.cached == 7)
        for try await _ in try loop.submit(greedy([30, 31], 90)) { break }
        try await Self.wait { loop.load.running == 0 }
        let again = try await Self.ask(loop, [30, 31] + Self.expected([30, 31], 1) + [3])
        #expect(again.cached >= 2)
    }

    @Test("computed tokens serve the same key, and other conversations only with the same salt")
    func salts() async throws {
        let common = (0..<12).map { Int32($0) }
        func cached(_ first: Owner, _ second: Owner, whole: Bool = false) async throws -> Int {
            // A model of its own, since loops that end still use theirs.
            let loop = EngineLoopTests().loop()
            _ = try await Self.ask(loop, common + [20, 21], 2, first)
            let next = common + (whole ? [20, 21] : []) + [30, 31]
            let reply = try await Self.ask(loop, next, 2, second)
            #expect(reply.tokens == Self.expected(next, 2))
            return reply.cached
        }
        let salted = Owner(key: "alice", salt: "s")
        #expect(try await cached(salted, salted) == 12)
        #expect(try await cached(salted, Owner(key: "alice", salt: "t")) == 0)
        #expect(try await cached(salted, Owner(key: "alice")) == 0)
        #expect(try await cached(Owner(key: "alice"), Owner(key: "alice")) == 0)
        #expect(try await cached(Owner(key: "alice"), Owner(key: "alice"), whole: true) == 14)
        for other in [Owner(key: "bob"), Owner(key: "bob", salt: "s")] {
            #expect(try await cached(salted, other, whole: true) == 0)
            #expect(try await cached(Owner(key: "alice"), other, whole: true) == 0)
        }
    }

    @Test("draining takes no more, and returns when the last answer has ended")
    func drains() async throws {
        var limits = EngineLoop.Limits.unhurried
        limits.running = 1
        let loop = loop(limits)
        let running = try await occupy(loop)
        let waiting = try loop.submit(greedy([2], 2))
        let hasDrained = Mutex(false)
        async let drained: Void = {
            await loop.drain()
            hasDrained.withLock { $0 = true }
        }()
        try await Self.wait { loop.load.isDraining }
        #expect(throws: AdmissionError.draining) { try loop.submit(greedy([3], 2)) }
        #expect(!hasDrained.withLock { $0 })
        forward.release()
        await drained
        #expect(try await Self.read(running).tokens == Self.expected([1]))
        #expect(try await Self.read(waiting).tokens == Self.expected([2], 2))
        // Nothing is left to wait for.
        await loop.drain()
    }

    @Test("a full worker forgets kept sessions, then the youngest request waits")
    func workerFull() async throws {
        let loop = loop()
        forward.setRoom(2)
        let prompts: [[Int32]] = [[1, 2], [3, 4], [5, 6]]
        for prompt in prompts {
            #expect(try await Self.ask(loop, prompt).tokens == Self.expected(prompt))
        }
        #expect(try await Self.ask(loop, prompts[0] + Self.expected(prompts[0])).cached == 0)
        forward.hold()
        let events = try prompts.map { try loop.submit(greedy($0, 9), owner: Owner(key: "new")) }
        forward.release()
        for (prompt, events) in zip(prompts, events) {
            #expect(try await Self.read(events).tokens == Self.expected(prompt, 9))
        }
        forward.setRoom(0)
        await #expect(throws: LinkError.workerFull("no place")) { try await Self.ask(loop, [7]) }
        forward.setRoom(2)
        #expect(try await Self.ask(loop, [8]).tokens == Self.expected([8]))
    }

    @Test("a lost worker costs no token; one that cannot be reached fails what runs, and the loop goes on")
    func losesWorker() async throws {
        let loop = loop()
        forward.fail([.disconnected("gone"), .timedOut("silent")])
        #expect(try await Self.ask(loop, [1, 2]).tokens == Self.expected([1, 2]))
        let running = try await occupy(loop)
        forward.fail([.unreachable("nobody")])
        forward.release()
        await #expect(throws: LinkError.unreachable("nobody")) { try await Self.read(running) }
        #expect(try await Self.ask(loop, [5]).tokens == Self.expected([5]))
        #expect(loop.load.running == 0)
    }

    @Test("a request that the model cannot take fails alone")
    func refuses() async throws {
        let loop = loop(maximumLength: 6)
        await #expect(throws: EngineError.emptyPrompt) { try await Self.ask(loop, []) }
        await #expect(throws: EngineError.tokenOutOfRange(vocabulary: 50)) { try await Self.ask(loop, [50]) }
        await #expect(throws: EngineError.promptTooLong(tokens: 6, limit: 5)) {
            try await Self.ask(loop, [1, 2, 3, 4, 5, 6])
        }
        #expect(try await Self.ask(loop, [1, 2]).tokens == Self.expected([1, 2]))
    }

    @Test("no more sessions are kept than may be, and none for longer than that")
    func forgets() async throws {
        var limits = EngineLoop.Limits.unhurried
        limits.kept = 2
        let few = loop(limits)
        for token: Int32 in 1...4 { _ = try await Self.ask(few, [token, token]) }
        try await Self.wait { few.load.kept == 2 }

        limits.idle = .milliseconds(20)
        let short = loop(limits)
        _ = try await Self.ask(short, [4, 4])
        try await Self.wait { short.load.kept == 0 }
        #expect(try await Self.ask(short, [4, 4] + Self.expected([4, 4])).cached == 0)
    }
}
