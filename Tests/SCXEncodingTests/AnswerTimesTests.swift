import SCXEncoding
import Testing

@Suite("how long an answer is waited for")
struct AnswerTimesTests {
    @Test("10 s and ten times what is expected, 300 s at most")
    func limits() {
        var times = AnswerTimes()
        #expect(times.speed == nil)
        // Before the first answer somebody slow is expected.
        #expect(times.limit(work: 0) == .seconds(10))
        #expect(times.limit(work: 1e9) == .seconds(20))
        #expect(times.limit(work: 1e15) == .seconds(300))
        times.add(work: 4e9, took: .seconds(2))
        #expect(times.speed == 2e9)
        #expect(times.limit(work: 4e9) == .seconds(30))
        #expect(times.limit(work: .greatestFiniteMagnitude) == .seconds(300))
        // One answer changes little.
        times.add(work: 1e9, took: .seconds(1))
        #expect(times.speed.map { abs($0 - 1.8e9) < 1 } == true)
        times.add(work: 0, took: .zero)
        #expect(times.limit(work: 1e9) > .seconds(10))
    }
}
