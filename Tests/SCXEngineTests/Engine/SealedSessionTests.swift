import Foundation
import SCXEncoding
import SCXEngine
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker
import Testing

/// A worker that can fail: an exchange does, and those after one that loses the worker find a new one.
private final class FailingLink: WorkerLink, @unchecked Sendable {
    private let decoder: Decoder
    private var inner: InProcessLink
    // Of the next exchange. Only one thread exchanges, and none while this is set.
    var failure: LinkError?

    init(_ decoder: Decoder) {
        self.decoder = decoder
        inner = InProcessLink(Worker(model: decoder))
    }

    var traffic: Traffic { inner.traffic }

    func exchange(_ request: Request) throws(LinkError) -> Answer {
        if let failure {
            self.failure = nil
            if failure.losesWorker { inner = InProcessLink(Worker(model: decoder)) }
            throw failure
        }
        return try inner.exchange(request)
    }
}

@Suite("idle sessions wait sealed on disk")
struct SealedSessionTests {
    /// A vault in a directory that is removed in the end.
    final class Place {
        let path = FileManager.default.temporaryDirectory.appending(path: "scx-\(UUID().uuidString)").path
        deinit { try? FileManager.default.removeItem(atPath: path) }

        func vault() throws -> SessionVault { try SessionVault(directory: path) }

        func contents() throws -> [Data] {
            try FileManager.default.contentsOfDirectory(atPath: path).filter { $0.hasSuffix(".sealed") }
                .map { try Data(contentsOf: URL(filePath: "\(path)/\($0)")) }
        }
    }

    struct Reply: Equatable {
        var tokens: [Int32] = []
        var cached = 0
        var exchanges = 0
    }

    static func loop(
        _ model: ScxFixture, _ options: ScxOptions? = ScxOptions(), vault: SessionVault?
    ) throws -> EngineLoop {
        var limits = EngineLoop.Limits.unhurried
        limits.sealAfter = .milliseconds(1)
        return try EngineLoop(limits: limits, vault: vault) {
            if let options { try model.scx(options) } else { try model.plain() }
        }
    }

    static func ask(
        _ loop: EngineLoop, _ prompt: [Int32], _ count: Int = 5, owner: Owner = Owner(key: "alice")
    ) async throws -> Reply {
        var reply = Reply()
        for try await event in try loop.submit(greedy(prompt, count), owner: owner) {
            if let token = event.token { reply.tokens.append(token.id) }
            (reply.cached, reply.exchanges) = (event.usage.cachedTokens, event.usage.traffic.exchanges)
        }
        return reply
    }

    /// Waits until so many sessions were sealed.
    static func sealed(_ loop: EngineLoop, _ count: Int) async throws {
        for _ in 0..<100_000 where loop.load.vault.sealed < count {
            try await Task.sleep(for: .milliseconds(5))
        }
        #expect(loop.load.vault.sealed == count)
    }

    @Test(
        "a conversation gets the tokens of one that stays in memory, and computes as little",
        arguments: ["llama", "mistral"], [1, 2])
    func conversation(family: String, protected: Int) async throws {
        let model = try #require(ScxFixture.families[family])
        let options = ScxEquivalenceTests.options(protected, protected)
        let place = Place()
        let loops = [
            try Self.loop(model, options, vault: place.vault()), try Self.loop(model, options, vault: nil),
        ]
        var histories: [[Int32]] = [[], []]
        var exchanges = [0, 0]
        for turn in 0..<4 {
            var cached: [Int] = []
            for (i, loop) in loops.enumerated() {
                histories[i] += model.prompt([12, 1, 20, 2][turn], seed: turn + 2)
                // With one token in the answer the worker has no order of rows yet.
                let reply = try await Self.ask(loop, histories[i], turn == 0 ? 1 : 5)
                histories[i] += reply.tokens
                cached.append(reply.cached)
                exchanges[i] += reply.exchanges
            }
            #expect(cached[0] == cached[1])
            #expect(turn == 0 || cached[0] >= 12)
            try await Self.sealed(loops[0], turn + 1)
            #expect(try place.contents().count == 1)
        }
        #expect(histories[0] == histories[1])
        // Keys of the last blocks are locked again after each of three pauses; all else is as without.
        #expect(exchanges[0] <= exchanges[1] + 3 * protected)
        let use = loops[0].load.vault
        #expect(use.restored == 3 && use.lost == 0)
    }

    @Test("once the key is deleted a conversation is computed anew, and right")
    func keyDeleted() async throws {
        let model = try #require(ScxFixture.families["llama"])
        let place = Place()
        let loop = try Self.loop(model, vault: place.vault())
        let prompt = model.prompt(20)
        let first = try await Self.ask(loop, prompt)
        try await Self.sealed(loop, 1)
        try FileManager.default.removeItem(atPath: "\(place.path)/key")

        let longer = prompt + first.tokens + model.prompt(4, seed: 3)
        let second = try await Self.ask(loop, longer)
        let expected = try await Self.ask(Self.loop(model, nil, vault: nil), longer)
        #expect(second.tokens == expected.tokens)
        #expect(second.cached == 0)
        #expect(loop.load.vault.lost == 1)
        // A new key serves the next.
        try await Self.sealed(loop, 2)
        #expect(try await Self.ask(loop, longer + second.tokens + [1]).cached > longer.count)
    }

    @Test("files hold nothing of the tokens or of the caches that what is sealed holds")
    func filesSayNothing() throws {
        let model = try #require(ScxFixture.families["llama"])
        let engine = try model.scx(ScxOptions())
        let prompt = model.prompt(40)
        let id = try engine.submit(greedy(prompt, 4))
        try engine.run(id) { _ in true }
        let stored = try engine.store(id)
        guard let bytes = stored else {
            Issue.record("nothing was stored")
            return
        }
        #expect(engine.keeps(id))
        let plain = Data((0..<bytes.count).map { bytes.span[$0] })
        let tokens = unsafe prompt.withUnsafeBytes { unsafe Data($0) }
        #expect(plain.range(of: tokens) != nil)

        let place = Place()
        let vault = try place.vault()
        try vault.seal(bytes, id: SessionVault.ID(), namespace: "alice")
        let file = try #require(try place.contents().first)
        #expect(file.count > plain.count)
        var found = 0
        for start in stride(from: 0, to: plain.count - 8, by: 8) {
            let piece = plain[start..<start + 8]
            if piece.contains(where: { $0 != 0 }), file.range(of: piece) != nil { found += 1 }
        }
        #expect(found == 0)

        // Back in memory it serves as if it had never been away.
        let isRestored = engine.restore(id, bytes)
        #expect(isRestored)
        let next = try engine.submit(greedy(prompt + [3], 1), continuing: id)
        var cached = 0
        try engine.run(next) {
            cached = $0.usage.cachedTokens; return true
        }
        #expect(cached == 40)
    }

    @Test(
        "profile sealed: what a session holds leaves memory and comes back bit by bit, in every format",
        arguments: LayerCache.Format.allCases)
    func sealedStored(format: LayerCache.Format) throws {
        let fixture = try SealedFixture("llama-gqa2")
        var options = RingOptions()
        options.cacheFormat = format
        let engine = fixture.engine(fixture.sealed(options: options))
        let prompt = fixture.prompt(70)
        func ask(_ engine: Engine, _ prompt: [Int32], after id: SessionID?) throws -> (
            SessionID, [SampledToken], Int
        ) {
            let next =
                try id.map { try engine.submit(greedy(prompt, 4), continuing: $0) }
                ?? engine.submit(greedy(prompt, 4))
            var (tokens, cached) = ([SampledToken](), 0)
            try engine.run(next) {
                if let token = $0.token { tokens.append(token) }
                cached = $0.usage.cachedTokens
                return true
            }
            return (next, tokens, cached)
        }
        let (id, first, _) = try ask(engine, prompt, after: nil)
        let stored = try engine.store(id)
        guard let bytes = stored else {
            Issue.record("nothing was stored")
            return
        }
        // Of another size, or of another process: of no use.
        let cut = SecretBuffer(copying: bytes.span.extracting(..<(bytes.count - 1)))
        let other = fixture.engine(fixture.sealed(options: options))
        let (foreign, _, _) = try ask(other, prompt, after: nil)
        _ = try other.store(foreign)
        let isTaken = [engine.restore(id, cut), other.restore(foreign, bytes), engine.restore(id, bytes)]
        #expect(isTaken == [false, false, true])

        let longer = prompt + first.map(\.id) + [3]
        let (_, second, cached) = try ask(engine, longer, after: id)
        #expect(cached == longer.count - 2)
        let staying = fixture.engine(fixture.sealed(options: options))
        let (stays, _, _) = try ask(staying, prompt, after: nil)
        let (_, expected, _) = try ask(staying, longer, after: stays)
        #expect(second == expected)
    }

    @Test("what was stored before the worker was lost is not used, nor are bytes of another size")
    func workerLost() throws {
        let model = try #require(ScxFixture.families["qwen3"])
        let link = FailingLink(model.decoder)
        let engine = try model.scx(ScxOptions(), link)
        let prompt = model.prompt(20)
        let first = try engine.submit(greedy(prompt, 3))
        try engine.run(first) { _ in true }
        let stored = try engine.store(first)
        guard let bytes = stored else {
            Issue.record("nothing was stored")
            return
        }
        var cut = SecretBuffer<UInt8>(repeating: 0, count: bytes.count - 4)
        for i in 0..<cut.count {
            var span = cut.mutableSpan
            span[i] = bytes.span[i]
        }
        var restored = [engine.restore(first, cut)]
        restored.append(engine.restore(first, SecretBuffer<UInt8>(repeating: 0, count: 7)))
        restored.append(engine.restore(first, SecretBuffer<UInt8>(repeating: 255, count: 64)))

        link.failure = .disconnected("for a test")
        let other = try engine.submit(greedy(model.prompt(5), 1))
        try engine.run(other) { _ in true }
        restored.append(engine.restore(first, bytes))
        #expect(restored == [false, false, false, false])

        // Even when somebody continues it all the same.
        var found: [Int32] = []
        let next = try engine.submit(greedy(prompt + [5], 4), continuing: first)
        try engine.run(next) {
            found.append($0.token?.id ?? -1); return true
        }
        let plain = try model.plain()
        var expected: [Int32] = []
        try plain.run(plain.submit(greedy(prompt + [5], 4))) {
            expected.append($0.token?.id ?? -1); return true
        }
        #expect(found == expected)
    }

    @Test("sealed conversations serve others of their salt, and nobody else")
    func owners() async throws {
        let model = try #require(ScxFixture.families["llama"])
        let place = Place()
        let loop = try Self.loop(model, vault: place.vault())
        let beginning = model.prompt(33)
        let salted = Owner(key: "alice", salt: "team")
        _ = try await Self.ask(loop, beginning + [1, 2, 3], owner: salted)
        try await Self.sealed(loop, 1)
        for owner in [Owner(key: "alice"), Owner(key: "bob", salt: "team"), Owner(key: "alice", salt: "x")] {
            #expect(try await Self.ask(loop, beginning + [4, 5, 6], owner: owner).cached == 0)
        }
        // The longest beginning that is known of a sealed session may be shorter than what is common.
        #expect(try await Self.ask(loop, beginning + [4, 5, 6], owner: salted).cached >= 32)
    }

    @Test("what must stay in memory stays, and is continued from there")
    func staysInMemory() async throws {
        let model = try #require(ScxFixture.families["llama"])
        let place = Place()
        let vault = try place.vault()
        for options in [nil, ScxEquivalenceTests.options(1, 1, .auto, .session)] {
            let loop = try Self.loop(model, options, vault: vault)
            let prompt = model.prompt(20)
            let first = try await Self.ask(loop, prompt)
            try await Task.sleep(for: .milliseconds(20))
            let second = try await Self.ask(loop, prompt + first.tokens + [1])
            #expect(second.cached >= 20)
            #expect(loop.load.vault == EngineLoop.VaultUse())
            #expect(vault.byteCount == 0)
        }
    }

    @Test("sessions that are forgotten leave no file")
    func forgotten() async throws {
        let model = try #require(ScxFixture.families["llama"])
        let place = Place()
        let vault = try place.vault()
        var limits = EngineLoop.Limits.unhurried
        limits.sealAfter = .milliseconds(1)
        limits.idle = .milliseconds(300)
        let loop = try EngineLoop(limits: limits, vault: vault) { try model.scx(ScxOptions()) }
        _ = try await Self.ask(loop, model.prompt(9))
        try await Self.sealed(loop, 1)
        for _ in 0..<100_000 where vault.byteCount > 0 { try await Task.sleep(for: .milliseconds(5)) }
        #expect(vault.byteCount == 0)
        #expect(try place.contents().isEmpty)
    }

    @Test("a worker that is full or lost takes sealed sessions with it, and the conversations go on")
    func workerFails() async throws {
        let model = try #require(ScxFixture.families["llama"])
        for failure in [LinkError.workerFull("for a test"), .disconnected("for a test")] {
            let place = Place()
            let vault = try place.vault()
            let link = FailingLink(model.decoder)
            var limits = EngineLoop.Limits.unhurried
            limits.sealAfter = .milliseconds(1)
            let loop = try EngineLoop(limits: limits, vault: vault) { try model.scx(ScxOptions(), link) }
            let prompt = model.prompt(20)
            let first = try await Self.ask(loop, prompt)
            try await Self.sealed(loop, 1)
            link.failure = failure
            let other = try await Self.ask(loop, model.prompt(7, seed: 9))
            try await Self.sealed(loop, 2)
            #expect(try place.contents().count == (failure.losesWorker ? 2 : 1))

            let longer = prompt + first.tokens + [1]
            let second = try await Self.ask(loop, longer)
            #expect(second.cached == 0)
            let plain = try Self.loop(model, nil, vault: nil)
            let expected = try await Self.ask(plain, longer)
            #expect(second.tokens == expected.tokens)
            #expect(other.tokens == (try await Self.ask(plain, model.prompt(7, seed: 9)).tokens))
        }
    }

    @Test("conversations that go on at any moment of sealing get their tokens")
    func concurrent() async throws {
        let model = try #require(ScxFixture.families["qwen2"])
        let place = Place()
        var limits = EngineLoop.Limits.unhurried
        limits.sealAfter = .zero
        let loop = try EngineLoop(limits: limits, vault: place.vault()) { try model.scx(ScxOptions()) }
        let plain = try Self.loop(model, nil, vault: nil)
        func talk(_ loop: EngineLoop, _ seed: Int) async throws -> [Int32] {
            var history: [Int32] = []
            for turn in 0..<3 {
                history += model.prompt(5 + seed, seed: seed * 10 + turn)
                history += try await Self.ask(loop, history, 3, owner: Owner(key: "key \(seed % 2)")).tokens
            }
            return history
        }
        try await withThrowingTaskGroup { group in
            for seed in 0..<6 {
                group.addTask {
                    let found = try await talk(loop, seed)
                    #expect(try await talk(plain, seed) == found)
                }
            }
            try await group.waitForAll()
        }
        #expect(loop.load.vault.lost == 0)
    }
}
