import SCXEngine
import SCXLink
import SCXProfiles
import Testing

/// Computes all rows but those of one prompt, which it fails in a given way.
private final class PoisonedForwardPass: ForwardPass {
    static let poison: Int32 = 13
    let counting = CountingForwardPass()
    let failure: LinkError
    /// Fails only so often.
    var failuresLeft: Int
    /// Times that rows of the prompt were asked for.
    var tries = 0

    init(_ failure: LinkError, times: Int = .max) { (self.failure, failuresLeft) = (failure, times) }

    var traffic: Traffic { counting.traffic }

    func compute(_ segments: [BatchSegment]) throws(LinkError) -> [[Float]] {
        if segments.contains(where: { $0.position == 0 && $0.tokens.first == Self.poison }) {
            tries += 1
            if failuresLeft > 0 {
                failuresLeft -= 1
                if failure.losesWorker { counting.histories = [:] }
                throw failure
            }
        }
        return try counting.compute(segments)
    }

    func end(_ slot: Slot) { counting.end(slot) }
}

@Suite("engine: a failure is its session's alone")
struct EngineFailureTests {
    private struct Outcome {
        var tokens: [SessionID: [Int32]] = [:]
        var failures: [SessionID: LinkError] = [:]
        var usage: [SessionID: SessionUsage] = [:]
    }

    private func run(_ engine: Engine, _ prompts: [[Int32]]) throws -> ([SessionID], Outcome) {
        let ids = try prompts.map { try engine.submit(greedy($0, 6)) }
        var outcome = Outcome()
        var steps = 0
        while !engine.isIdle {
            steps += 1
            #expect(steps < 500, "it does not end")
            guard steps < 500 else { break }
            for event in try engine.step() {
                outcome.usage[event.session] = event.usage
                if let failure = event.failure as? LinkError { outcome.failures[event.session] = failure }
                if let token = event.token { outcome.tokens[event.session, default: []].append(token.id) }
            }
        }
        return (ids, outcome)
    }

    private func engine(_ forward: some ForwardPass) -> Engine {
        Engine(
            forward: forward, tokenizer: nil, vocabularySize: CountingForwardPass.vocabulary,
            maximumLength: 100)
    }

    private static let prompts: [[Int32]] = [[1, 2], [PoisonedForwardPass.poison, 4], [7], [9, 9, 9]]

    private func expected(_ prompt: [Int32]) -> [Int32] {
        var history = prompt
        for _ in 0..<6 { history.append(CountingForwardPass.next(after: history)) }
        return Array(history.dropFirst(prompt.count))
    }

    @Test(
        "a request that no worker computes fails alone, and is not sent without end",
        arguments: [LinkError.invalidRequest("too long"), .malformedFrame("too long"), .disconnected("died")])
    func failsAlone(failure: LinkError) throws {
        let forward = PoisonedForwardPass(failure)
        let engine = engine(forward)
        let (ids, outcome) = try run(engine, Self.prompts)
        for (id, prompt) in zip(ids, Self.prompts) {
            if prompt.first == PoisonedForwardPass.poison {
                #expect(outcome.failures[id] == failure)
                #expect(outcome.tokens[id] == nil)
            } else {
                #expect(outcome.failures[id] == nil)
                #expect(outcome.tokens[id] == expected(prompt))
            }
        }
        #expect(forward.tries <= Engine.mostRebuilds + 2)
        #expect(engine.rebuilds >= 1)
    }

    @Test("a worker that fails now and then loses nothing, and what it cost is counted")
    func recovers() throws {
        let forward = PoisonedForwardPass(.timedOut("silent"), times: 3)
        let (ids, outcome) = try run(engine(forward), Self.prompts)
        #expect(outcome.failures.isEmpty)
        for (id, prompt) in zip(ids, Self.prompts) { #expect(outcome.tokens[id] == expected(prompt)) }
        #expect(outcome.usage[ids[1]]?.rebuilds == 3)
    }

    @Test("a session's rebuilds are counted over its life, whatever succeeds in between")
    func countsOverItsLife() throws {
        // Every second step fails: each rebuild succeeds, and the next token fails again.
        final class Alternating: ForwardPass {
            let counting = CountingForwardPass()
            var step = 0
            var traffic: Traffic { counting.traffic }
            func compute(_ segments: [BatchSegment]) throws(LinkError) -> [[Float]] {
                step += 1
                if step.isMultiple(of: 2) {
                    counting.histories = [:]
                    throw .unexpectedAnswer("a failure on purpose")
                }
                return try counting.compute(segments)
            }
            func end(_ slot: Slot) { counting.end(slot) }
        }
        let forward = Alternating()
        let engine = engine(forward)
        let id = try engine.submit(greedy([1, 2, 3], 90))
        var failure: (any Error)?
        while !engine.isIdle {
            for event in try engine.step() where event.session == id { failure = event.failure ?? failure }
        }
        #expect(failure as? LinkError == .unexpectedAnswer("a failure on purpose"))
        #expect(engine.rebuilds == Engine.mostRebuilds + 1)
        #expect(forward.step == 2 * (Engine.mostRebuilds + 1))
    }
}
