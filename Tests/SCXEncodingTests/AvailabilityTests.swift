import Foundation
import SCXEncoding
import Synchronization
import Testing

@Suite("which workers can be asked", .timeLimit(.minutes(5)))
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

    @Test("one that is suspended is asked when nobody else is there")
    func suspended() {
        let availability = Availability(count: 2)
        #expect(availability.suspend(0) == .seconds(2))
        #expect(availability.ready == [1])
        let absent = Absent()
        availability.lose(1) { absent.repair() }
        #expect(availability.usable() == [0])
        #expect(availability.usable(besides: [0, 1]).isEmpty)
        #expect(availability.suspend(0) == .seconds(4))
        for _ in 0..<20 { #expect(availability.suspend(0) <= .seconds(300)) }
        absent.give(true)
        wait { availability.ready == [1] }
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
