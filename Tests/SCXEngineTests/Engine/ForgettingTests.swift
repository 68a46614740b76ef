import SCXEngine
import Testing

/// What is kept of finished requests goes when its owner is gone.
@Suite("engine loop: forgetting")
struct ForgettingTests {
    private func cached(_ loop: EngineLoop, _ prompt: [Int32], _ owner: Owner) async throws -> Int? {
        var cached: Int?
        for try await event in try loop.submit(greedy(prompt, 2), owner: owner) {
            cached = event.usage.cachedTokens
        }
        return cached
    }

    @Test("an owner's sessions are forgotten, those of others stay")
    func owners() async throws {
        var limits = EngineLoop.Limits.unhurried
        limits.kept = 8
        let loop = EngineLoop(limits: limits) {
            Engine(
                forward: CountingForwardPass(), tokenizer: nil,
                vocabularySize: CountingForwardPass.vocabulary, maximumLength: 100)
        }
        let (alice, bob) = (Owner(key: "alice"), Owner(key: "bob"))
        for owner in [alice, bob] { #expect(try await cached(loop, [1, 2, 3, 4], owner) == 0) }
        loop.forget(alice)
        #expect(try await cached(loop, [1, 2, 3, 4, 5], alice) == 0)
        #expect((try await cached(loop, [1, 2, 3, 4, 5], bob) ?? 0) >= 4)
    }

    @Test("a loop that is closed takes no more, and has nothing left to wait for")
    func closed() async throws {
        let loop = EngineLoop {
            Engine(
                forward: CountingForwardPass(), tokenizer: nil,
                vocabularySize: CountingForwardPass.vocabulary, maximumLength: 100)
        }
        #expect(try await cached(loop, [1, 2], Owner()) == 0)
        loop.close()
        await loop.drain()
        #expect(throws: AdmissionError.draining) { try loop.submit(greedy([1], 2)) }
    }
}
