import Foundation
import SCXEncoding
import SCXLink
import Synchronization
import Testing

@Suite("which workers can be asked", .timeLimit(.minutes(60)))
struct AvailabilityTests {
    /// A worker whose attempts to come back wait for the test.
    final class Absent: Sendable {
        private let results = Mutex<[Bool]>([])
        private let given = DispatchSemaphore(value: 0)
        private let attempts = Mutex(0)

        var attempted: Int { attempts.withLock { $0 } }

        func repair() -> Bool {
            attempts.withLock { $0 += 1 }
            given.wait()
            return results.withLock { $0.removeFirst() }
        }

        /// Lets the attempt under way, or the next one, end.
        func give(_ result: Bool) {
            results.withLock { $0.append(result) }
            given.signal()
        }
    }

    private func wait(until holds: () -> Bool) {
        while !holds() { Thread.sleep(forTimeInterval: 0.001) }
    }

    @Test("one that is lost is asked no more until it is back, and the others meanwhile")
    func lost() {
        let availability = Availability(count: 3)
        let absent = Absent()
        #expect(availability.ready == [0, 1, 2])
        #expect(availability.lose(1) { absent.repair() })
        #expect(!availability.lose(1) { true })
        #expect(availability.ready == [0, 2] && availability.usable() == [0, 2])
        #expect(availability.usable(besides: [0]) == [2])
        // A first attempt that fails is followed by another.
        absent.give(false)
        absent.give(true)
        wait { availability.ready == [0, 1, 2] }
        #expect(absent.attempted == 2)
    }

    @Test(
        "when all are lost, callers wait for the first attempt alone")
    func allLost() {
        let availability = Availability(count: 2)
        let absent = [Absent(), Absent()]
        for (index, absent) in absent.enumerated() { availability.lose(index) { absent.repair() } }
        let found = Mutex<[[Int]]>([])
        let thread = Thread {
            for _ in 0..<2 {
                let usable = availability.usable()
                found.withLock { $0.append(usable) }
                guard usable == [1] else { continue }
                availability.lose(1) { absent[1].repair() }
            }
        }
        thread.start()
        absent[1].give(true)
        wait { found.withLock { $0.count } == 1 && absent[1].attempted == 2 }
        #expect(found.withLock { $0 } == [[1]])
        for absent in absent { absent.give(false) }
        wait { found.withLock { $0.count } == 2 }
        #expect(found.withLock { $0 } == [[1], []])
        #expect(availability.usable().isEmpty && availability.ready.isEmpty)
        for absent in absent { absent.give(true) }
        wait { availability.ready == [0, 1] }
    }

    /// A clock that moves when it is told to.
    final class Clock: Sendable {
        private let moment = Mutex(ContinuousClock.now)
        func advance(_ duration: Duration) { moment.withLock { $0 += duration } }
        var now: @Sendable () -> ContinuousClock.Instant { { self.moment.withLock { $0 } } }
    }

    @Test("one that is suspended is asked when nobody else is there, for a while that doubles")
    func suspended() {
        let clock = Clock()
        let availability = Availability(count: 2, now: clock.now)
        #expect(availability.suspend(0) == .seconds(2))
        #expect(availability.suspend(0) == nil)
        #expect(availability.ready == [1])
        let absent = Absent()
        availability.lose(1) { absent.repair() }
        #expect(availability.suspend(1) == nil)
        #expect(availability.usable() == [0])
        #expect(availability.usable(besides: [0, 1]).isEmpty)
        for pause in [4, 8, 16, 32, 64, 128, 256, 300, 300] {
            clock.advance(.seconds(300))
            #expect(availability.ready == [0])
            #expect(availability.suspend(0) == .seconds(pause))
        }
        #expect(availability.ready.isEmpty)
        absent.give(true)
        wait { availability.ready == [1] }
    }

    @Test("one that is barred is asked by nobody until its time is over, also when it was connected to again")
    func barred() {
        let clock = Clock()
        let availability = Availability(count: 1, now: clock.now)
        for pause in [2, 8, 32, 128, 300, 300] {
            #expect(availability.bar(0) == .seconds(pause))
            #expect(availability.bar(0) == nil)
            let absent = Absent()
            availability.lose(0) { absent.repair() }
            // Nobody waits for one that is barred.
            #expect(availability.usable().isEmpty && availability.barredNow == [0])
            absent.give(true)
            // It is back once it can be suspended.
            wait { availability.suspend(0) != nil }
            #expect(availability.usable().isEmpty && availability.ready.isEmpty)
            clock.advance(.seconds(pause))
            #expect(availability.barredNow.isEmpty && availability.usable() == [0])
            clock.advance(.seconds(300))
        }
    }

    @Test("why one cannot be connected to any more is told once")
    func reasons() {
        let lines = Mutex<[String]>([])
        let errors = Mutex<[LinkError]>([
            .incompatible("another owner"), .incompatible("another owner"), .incompatible("another model"),
        ])
        let availability = Availability(count: 1)
        availability.lose(0, named: "peer a", .disconnected("killed")) { line in
            lines.withLock { $0.append(line) }
        } connect: { () throws(LinkError) in
            if let error = errors.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) { throw error }
        }
        wait { availability.ready == [0] }
        // The first may be told by either thread first.
        #expect(
            Set(lines.withLock { $0 }) == [
                "peer a is left out until it is back: the connection is gone: killed",
                "peer a stays left out: the peer cannot be used: another owner",
                "peer a stays left out: the peer cannot be used: another model", "peer a is back",
            ])
        #expect(lines.withLock { $0.count } == 4)
    }

    @Test("closing ends what waits")
    func closing() {
        let availability = Availability(count: 1)
        let absent = Absent()
        availability.lose(0) { absent.repair() }
        let isDone = Atomic(false)
        let thread = Thread {
            if availability.usable().isEmpty { isDone.store(true, ordering: .releasing) }
        }
        thread.start()
        availability.close()
        wait { isDone.load(ordering: .acquiring) }
        absent.give(false)
    }
}
