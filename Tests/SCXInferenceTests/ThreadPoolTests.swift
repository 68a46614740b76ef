import SCXInference
import Synchronization
import Testing

@Suite("thread pool")
struct ThreadPoolTests {
    @Test("every index is run once", arguments: [1, 2, 3, 8])
    func everyIndexOnce(threads: Int) {
        let pool = ThreadPool(threads: threads)
        for count in [0, 1, 2, 3, 17, 1_000] {
            let runs = Mutex([Int](repeating: 0, count: count))
            pool.run(count) { index in runs.withLock { $0[index] += 1 } }
            #expect(runs.withLock { $0 } == [Int](repeating: 1, count: count))
        }
    }

    @Test("many short jobs from several callers keep their own results")
    func severalCallers() async {
        let pool = ThreadPool(threads: 3)
        await withTaskGroup(of: Bool.self) { group in
            for caller in 0..<4 {
                group.addTask {
                    for round in 0..<2_000 {
                        let sum = Atomic(0)
                        pool.run(5) { index in sum.add(index + caller * round, ordering: .relaxed) }
                        guard sum.load(ordering: .relaxed) == 10 + 5 * caller * round else { return false }
                    }
                    return true
                }
            }
            for await right in group { #expect(right) }
        }
    }

    @Test("a job inside a job runs on the calling thread")
    func nested() {
        let pool = ThreadPool(threads: 2)
        let sum = Atomic(0)
        pool.run(4) { outer in pool.run(3) { inner in sum.add(outer * inner, ordering: .relaxed) } }
        #expect(sum.load(ordering: .relaxed) == 18)
    }
}
