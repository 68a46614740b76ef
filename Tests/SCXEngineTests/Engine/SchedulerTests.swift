import SCXEngine
import Testing

@Suite("scheduler")
struct SchedulerTests {
    func waiting(_ tokens: [Int]) -> [Scheduler.Waiting] {
        tokens.enumerated().map { .init(session: SessionID(number: UInt32($0)), tokens: $1) }
    }

    @Test("sessions that generate come before prompts, and a long prompt is cut to the room left")
    func generatingFirst() {
        let entries = Scheduler(tokensPerStep: 10).schedule(waiting([300, 1, 4, 1]))
        #expect(entries.map(\.session.number) == [1, 3, 0, 2])
        #expect(entries.map(\.tokens) == [1, 1, 4, 4])
    }

    @Test("beside sessions that generate, prompts get what keeps the step short; alone they get all of it")
    func pace() {
        var pace = Pace()
        let scheduler = Scheduler(tokensPerStep: 512)
        func prompt(_ tokens: [Int]) -> Int? {
            scheduler.schedule(waiting(tokens), pace: pace).first { $0.session.number == 0 }?.tokens
        }
        #expect(prompt([1000, 1]) == 511)
        pace.add(tokens: 20, seconds: 1)
        #expect(prompt([1000, 1]) == 16)
        pace = Pace()
        pace.add(tokens: 400, seconds: 1)
        #expect(prompt([1000, 1]) == 100)
        pace.add(tokens: 800, seconds: 1)
        #expect(prompt([1000, 1]) == 150)
        #expect(prompt([1000]) == 512)
        // A step that computed no prompt says nothing.
        pace.add(tokens: 0, seconds: 9)
        #expect(prompt([1000, 1]) == 150)
    }

    @Test("no step is larger than allowed, none is empty while somebody waits, nobody gets more than it has")
    func bounds() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<500 {
            let room = Int.random(in: 1...40, using: &generator)
            let tokens = (0..<Int.random(in: 0...12, using: &generator)).map { _ in
                Int.random(in: 1...50, using: &generator)
            }
            let entries = Scheduler(tokensPerStep: room).schedule(waiting(tokens))
            let total = entries.reduce(0) { $0 + $1.tokens }
            #expect(total == min(room, tokens.reduce(0, +)))
            #expect(Set(entries.map(\.session)).count == entries.count)
            for entry in entries {
                #expect(entry.tokens > 0 && entry.tokens <= tokens[Int(entry.session.number)])
            }
        }
    }

    @Test("every prompt is computed in the end, short ones without waiting for long ones")
    func progress() {
        let scheduler = Scheduler(tokensPerStep: 16)
        var left = [40, 7, 100, 1]
        var finished: [Int] = []
        for _ in 0..<20 {
            let open = left.enumerated().filter { $0.element > 0 }
            let entries = scheduler.schedule(
                open.map { .init(session: SessionID(number: UInt32($0.offset)), tokens: $0.element) })
            for entry in entries {
                left[Int(entry.session.number)] -= entry.tokens
                if left[Int(entry.session.number)] == 0 { finished.append(Int(entry.session.number)) }
            }
        }
        #expect(finished == [3, 1, 0, 2])
    }
}
