import Foundation
import SCXGateway
import SCXText
import Synchronization
import Testing

@Suite("threads for long work")
struct WorkPoolTests {
    /// Holds threads of a pool until it is opened.
    private final class Gate: @unchecked Sendable {
        private let condition = NSCondition()
        private var isOpen = false
        private var entered = 0

        func pass() {
            condition.withLock {
                entered += 1
                condition.broadcast()
                while !isOpen { condition.wait() }
            }
        }

        func open() {
            condition.withLock {
                isOpen = true
                condition.broadcast()
            }
        }

        /// Waits until so many threads stand before the gate.
        func waitFor(_ count: Int) { condition.withLock { while entered < count { condition.wait() } } }
    }

    private final class Order: Sendable {
        private let keys = Mutex<[String]>([])
        var first: String? { keys.withLock { $0.first } }
        func add(_ key: String) { keys.withLock { $0.append(key) } }
    }

    private static let large = WorkPool.quickBytes + 1

    @Test("work gives its result or its error")
    func results() async throws {
        let pool = WorkPool()
        let sum = try await pool.run(bytes: 1, key: "") { () throws(APIError) in 1 + 1 }
        #expect(sum == 2)
        let error = await #expect(throws: APIError.self) {
            try await pool.run(bytes: Self.large, key: "") { () throws(APIError) -> Int in
                throw .invalid("no")
            }
        }
        #expect(error?.message == "no")
    }

    @Test("work counts while it waits and while it is done", .timeLimit(.minutes(60)))
    func counts() async throws {
        let pool = WorkPool()
        let gate = Gate()
        let tasks = (0..<3).map { _ in
            Task { try await pool.run(bytes: Self.large, key: "") { () throws(APIError) in gate.pass() } }
        }
        while pool.preparing < 3 { await Task.yield() }
        #expect(pool.waiting >= 2)
        gate.open()
        for task in tasks { try await task.value }
        while pool.preparing > 0 { await Task.yield() }
    }

    @Test("small work does not wait for large, and large work whose client goes stops or is never begun")
    func lanes() async throws {
        let pool = WorkPool()
        let gate = Gate()
        let running = Task {
            try await pool.run(bytes: Self.large, key: "") { () throws(APIError) in
                gate.pass()
                // Ends when it is told to, and only then.
                while !Interruption.isRequested { usleep(1000) }
            }
        }
        try await off { gate.waitFor(1) }
        let waiting = Task {
            try await pool.run(bytes: Self.large, key: "") { () throws(APIError) in
                Issue.record("work was begun for a client that had gone")
            }
        }
        while pool.waiting == 0 { await Task.yield() }
        #expect(try await pool.run(bytes: 1, key: "") { () throws(APIError) in 3 } == 3)
        waiting.cancel()
        let gone = await #expect(throws: APIError.self) { try await waiting.value }
        #expect(gone?.code == "client_gone")
        running.cancel()
        gate.open()
        let stopped = await #expect(throws: APIError.self) { try await running.value }
        #expect(stopped?.code == "client_gone")
    }

    @Test("what is too much is refused, and keys take turns")
    func queue() async throws {
        let pool = WorkPool()
        let gate = Gate()
        let order = Order()
        let first = Task {
            try await pool.run(bytes: Self.large, key: "a") { () throws(APIError) in gate.pass() }
        }
        try await off { gate.waitFor(1) }
        try await withThrowingTaskGroup { group in
            // One key asks for much, another for little and later.
            for number in 0..<64 {
                let key = number < 63 ? "a" : "b"
                group.addTask {
                    try await pool.run(bytes: Self.large, key: key) { () throws(APIError) in
                        order.add(key)
                    }
                }
                while pool.waiting <= number { await Task.yield() }
            }
            let error = await #expect(throws: APIError.self) {
                try await pool.run(bytes: Self.large, key: "c") { () throws(APIError) in }
            }
            #expect(error?.status == 503)
            gate.open()
            try await group.waitForAll()
        }
        try await first.value
        #expect(order.first == "b")
    }

    @Test("a server whose pool is busy answers the question for its health")
    func health() async throws {
        let server = try await TestServer()
        let gate = Gate()
        let work = (0..<6).map { number in
            Task {
                try await server.work.run(bytes: number < 3 ? 1 : Self.large, key: "") {
                    () throws(APIError) in
                    gate.pass()
                }
            }
        }
        try await off { gate.waitFor(3) }
        #expect(try await server.send("GET", "/health").status == 200)
        #expect(try await server.send("GET", "/v1/models").status == 200)
        gate.open()
        for task in work { try await task.value }
        #expect(try await server.chat("Hello").status == 200)
    }
}
